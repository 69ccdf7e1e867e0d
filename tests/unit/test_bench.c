// SPDX-License-Identifier: MIT
/* test_bench.c - the figures, tables and pictures of the benchmarks, from grids made by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "parts/grid.h"
#include "parts/plot.h"
#include "parts/spread.h"
#include "parts/table.h"
#include "parts/verdict.h"

enum { UNTRACED, EXACT, SAMPLED, HEAPTRACK, VARIANTS };
enum { PAIRS, REDIS, WORKLOADS };

static struct grid *grid;
static struct strbuf out;

static void measured(size_t workload, size_t variant, double first, double second, double third)
{
	double *ns = grid->cells[workload][variant].ns;

	ns[0] = first;
	ns[1] = second;
	ns[2] = third;
}

static void set_up(void)
{
	grid = malloc(sizeof(*grid));
	cr_assert(grid);
	strbuf_init(&out);
	grid_init(grid);
	grid->workload_cnt = WORKLOADS;
	grid->workloads[PAIRS] = (struct grid_workload){ "pairs-16", "malloc & free, < 17 frames",
							 "pair", "", 0.25 };
	grid->workloads[REDIS] =
		(struct grid_workload){ "redis", "redis-server", "request", "", 0 };
	grid->variant_cnt = VARIANTS;
	grid->variants[UNTRACED] = (struct grid_variant){ "untraced", "untraced", GRID_UNTRACED };
	grid->variants[EXACT] = (struct grid_variant){ "exact", "preload, exact", GRID_OURS };
	grid->variants[SAMPLED] =
		(struct grid_variant){ "sampled-512k", "preload, 512 KiB", GRID_OURS };
	grid->variants[HEAPTRACK] = (struct grid_variant){ "heaptrack", "heaptrack", GRID_PEER };
	grid->round_cnt = 3;
}

static void tear_down(void)
{
	strbuf_fini(&out);
	free(grid);
}

TestSuite(bench, .init = set_up, .fini = tear_down);

/* ---- figures -------------------------------------------------------------------------------- */

Test(bench, the_middle_and_the_quartiles_of_runs_in_any_order)
{
	struct spread odd = spread_of((double[]){ 5, 1, 4, 2, 3 }, 5);
	struct spread even = spread_of((double[]){ 40, 10, 30, 20 }, 4);

	cr_expect_eq(odd.median, 3);
	cr_expect_eq(odd.q1, 2);
	cr_expect_eq(odd.q3, 4);
	cr_expect_eq(even.median, 25);
	cr_expect_eq(even.q1, 17.5);
	cr_expect_eq(even.q3, 32.5);
}

Test(bench, a_run_that_was_not_made_is_no_value)
{
	struct spread some = spread_of((double[]){ NAN, 7, NAN, 9 }, 4);
	struct spread none = spread_of((double[]){ NAN, NAN }, 2);

	cr_expect_eq(some.cnt, 2);
	cr_expect_eq(some.median, 8);
	cr_expect_eq(none.cnt, 0);
	cr_expect(isnan(none.median));
}

Test(bench, ratios_are_of_medians_and_also_within_each_round)
{
	measured(PAIRS, UNTRACED, 10, 20, 40);
	measured(PAIRS, EXACT, 30, NAN, 40);
	cr_expect_eq(grid_ratio(grid, PAIRS, EXACT), 35.0 / 20);
	cr_expect_eq(grid_round_ratios(grid, PAIRS, EXACT).median, 2); /* of 3 and 1 */
	cr_expect_eq(grid_round_ratios(grid, PAIRS, EXACT).cnt, 2);
	cr_expect(isnan(grid_ratio(grid, PAIRS, HEAPTRACK)));
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static struct verdict verdict_on(const char *workload, const char *variant, const char *against)
{
	struct verdict verdict, found = { .sentence = NULL };

	for (size_t i = 0; i < verdict_cnt; i++) {
		verdict_decide(grid, i, &verdict);
		if (!strcmp(verdict.workload, workload) && !strcmp(verdict.variant, variant) &&
		    !strcmp(verdict.against, against))
			found = verdict;
	}
	cr_assert(found.sentence, "nothing is promised of that");
	return found;
}

Test(bench, what_is_as_fast_as_promised_is_met_and_what_is_not_is_missed)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 900, 900, 900);
	measured(PAIRS, SAMPLED, 10, 10, 10);
	measured(PAIRS, HEAPTRACK, 900, 900, 900);
	cr_expect_eq(verdict_on("pairs-16", "exact", "heaptrack").outcome, VERDICT_MET);
	cr_expect_eq(verdict_on("pairs-16", "sampled-512k", "untraced").outcome, VERDICT_MET);
	cr_expect_eq(verdict_on("pairs-16", "sampled-512k", "untraced").value, 5);

	measured(PAIRS, EXACT, 901, 901, 901);
	measured(PAIRS, SAMPLED, 10.1, 10.1, 10.1);
	cr_expect_eq(verdict_on("pairs-16", "exact", "heaptrack").outcome, VERDICT_MISSED);
	cr_expect_eq(verdict_on("pairs-16", "sampled-512k", "untraced").outcome, VERDICT_MISSED);
}

Test(bench, nothing_is_said_of_what_was_not_measured)
{
	measured(REDIS, UNTRACED, 9000, 9000, 9000);
	cr_expect_eq(verdict_on("redis", "sampled-512k", "untraced").outcome, VERDICT_UNDECIDED);
	cr_expect_eq(verdict_on("sqlite", "sampled-512k", "untraced").outcome, VERDICT_UNDECIDED);
	measured(REDIS, SAMPLED, 9270, 9270, 9270);
	cr_expect_eq(verdict_on("redis", "sampled-512k", "untraced").outcome, VERDICT_MISSED);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* The line of the text that begins with these words. */
static const char *line_of(const char *words)
{
	const char *at = strstr(strbuf_text(&out), words);
	static char line[512];

	cr_assert(at, "no '%s' in:\n%s", words, strbuf_text(&out));
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
	return line;
}

Test(bench, the_table_has_each_variant_with_its_time_or_with_why_there_is_none)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 500, 600, 700);
	strcpy(grid->cells[PAIRS][SAMPLED].skipped, "not available");
	strcpy(grid->cells[PAIRS][HEAPTRACK].why, "counted 0 allocations");
	grid->cells[PAIRS][HEAPTRACK].rejected = 3;
	table_workload(grid, PAIRS, &out);
	cr_expect(strstr(line_of("  preload, exact"), "600.0 ns"));
	cr_expect(strstr(line_of("  preload, exact"), "550.0 .. 650.0"));
	cr_expect(strstr(line_of("  preload, exact"), "120.0x"));
	cr_expect(strstr(line_of("  preload, 512 KiB"), "not available"));
	cr_expect(strstr(line_of("  heaptrack"), "counted 0 allocations"));
	cr_expect(strstr(line_of("  meanwhile"), "0.25 processors"));
}

Test(bench, runs_that_did_not_count_are_told_beside_those_that_did)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 500, NAN, 700);
	grid->cells[PAIRS][EXACT].rejected = 1;
	strcpy(grid->cells[PAIRS][EXACT].why, "2 losses");
	table_workload(grid, PAIRS, &out);
	cr_expect(strstr(line_of("  preload, exact"), "1 more did not count: 2 losses"));
}

Test(bench, a_workload_that_cannot_run_says_why_in_text_and_json)
{
	strcpy(grid->workloads[REDIS].skipped, "redis-server is not installed");
	table_workload(grid, REDIS, &out);
	cr_expect(strstr(strbuf_text(&out), "skipped: redis-server is not installed"));
	strbuf_clear(&out);
	table_json(grid, &out);
	cr_expect(strstr(strbuf_text(&out), "\"skipped\":\"redis-server is not installed\""));
}

Test(bench, json_has_every_run_and_null_for_those_not_made)
{
	measured(PAIRS, UNTRACED, 5, 6, 7);
	measured(PAIRS, EXACT, 500, NAN, 700);
	table_json(grid, &out);
	cr_expect(strstr(strbuf_text(&out), "\"rounds_ns\":[500.0,null,700.0]"));
	cr_expect(strstr(strbuf_text(&out),
			 "\"ns\":{\"q1\":550.0,\"median\":600.0,\"q3\":650.0,\"runs\":2}"));
	cr_expect(strstr(strbuf_text(&out), "\"ratio\":100.0"));
	cr_expect(strstr(strbuf_text(&out), "\"outcome\":\"not measured\""));
}

/* ---- the picture ---------------------------------------------------------------------------- */

/* As far as it is needed: every element is closed, in order, and no & or < stands for itself. */
static void expect_xml(const char *text)
{
	char open[16][32];
	size_t depth = 0;

	for (const char *at = text; (at = strpbrk(at, "<&")); at++) {
		size_t len = strcspn(at + 1, " >/");
		const char *end = strchr(at, '>');

		if (*at == '&') {
			cr_assert(!strncmp(at, "&lt;", 4) || !strncmp(at, "&gt;", 4) ||
				  !strncmp(at, "&amp;", 5));
			continue;
		}
		cr_assert(end);
		if (at[1] == '/') {
			cr_assert_gt(depth, 0);
			depth--;
			cr_assert(!strncmp(at + 2, open[depth], strlen(open[depth])),
				  "%.20s closes %s", at, open[depth]);
		} else if (end[-1] != '/') {
			cr_assert_lt(depth, 16);
			snprintf(open[depth++], sizeof(open[0]), "%.*s", (int)len, at + 1);
		}
		at = end;
	}
	cr_assert_eq(depth, 0);
}

/* Width of the bar of number n, legend apart. */
static double bar_width(size_t n)
{
	const char *at = strbuf_text(&out);
	char begin[32];

	snprintf(begin, sizeof(begin), "<rect x=\"%d\"", PLOT_AXIS_X);
	for (size_t i = 0; i <= n; i++) {
		at = strstr(at, begin);
		cr_assert(at, "there are %zu bars only", i);
		at += strlen(begin);
	}
	at = strstr(at, "width=\"");
	return atof(at + strlen("width=\""));
}

Test(bench, the_axis_ends_at_the_power_of_ten_that_holds_all)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	cr_expect_eq(plot_axis_end(grid), 10);
	measured(PAIRS, EXACT, 50, 50, 50);
	cr_expect_eq(plot_axis_end(grid), 10);
	measured(PAIRS, EXACT, 51, 51, 51);
	cr_expect_eq(plot_axis_end(grid), 100);
}

Test(bench, a_bar_is_as_long_as_the_logarithm_of_its_ratio)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 500, 500, 500);	/* 100x: the whole axis */
	measured(PAIRS, SAMPLED, 5, 5, 5);	/* 1x: nothing, drawn as a hair */
	measured(PAIRS, HEAPTRACK, 50, 50, 50); /* 10x: half of it */
	plot_svg(grid, &out);
	cr_expect_eq(bar_width(0), PLOT_AXIS_LEN);
	cr_expect_eq(bar_width(1), 1);
	cr_expect_eq(bar_width(2), PLOT_AXIS_LEN / 2.0);
}

Test(bench, faster_than_untraced_is_a_hair_and_the_label_says_how_fast)
{
	measured(PAIRS, UNTRACED, 100, 100, 100);
	measured(PAIRS, SAMPLED, 98, 98, 98);
	plot_svg(grid, &out);
	cr_expect_eq(bar_width(0), 1);
	cr_expect(strstr(strbuf_text(&out), ">0.980x</text>"));
}

Test(bench, the_picture_is_xml_whatever_titles_say)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 500, 600, 700);
	strcpy(grid->machine, "a < b & c > d");
	plot_svg(grid, &out);
	expect_xml(strbuf_text(&out));
	cr_expect(strstr(strbuf_text(&out), "malloc &amp; free, &lt; 17 frames"));
	cr_expect(strstr(strbuf_text(&out), "a &lt; b &amp; c &gt; d"));
}

Test(bench, what_was_not_measured_has_no_bar)
{
	measured(PAIRS, UNTRACED, 5, 5, 5);
	measured(PAIRS, EXACT, 500, 600, 700);
	measured(REDIS, EXACT, 500, 600, 700); /* compared with nothing */
	plot_svg(grid, &out);
	cr_expect(strstr(strbuf_text(&out), ">preload, exact</text>"));
	cr_expect(!strstr(strbuf_text(&out), ">heaptrack</text>"));
	cr_expect(!strstr(strbuf_text(&out), "redis-server"));
}
