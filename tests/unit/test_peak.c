/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "analyze/analysis.h"
#include "output/text.h"
#include "snapshot_fixture.h"

struct scene {
	struct memtrace_snapshot *snapshot;
	struct arena arena;
	struct peak found;
};

static struct scene scene;

static void set_up(void)
{
	scene.snapshot = fixture_new("x");
	arena_init(&scene.arena);
}

static void tear_down(void)
{
	memtrace_snapshot_free(scene.snapshot);
	arena_fini(&scene.arena);
}

TestSuite(peak, .init = set_up, .fini = tear_down);

static struct memtrace_process *process(uint64_t id, uint64_t peak_bytes, double at_s)
{
	struct memtrace_process *p = fixture_process(scene.snapshot, id, (pid_t)(100 + id), "bench");

	p->peak_bytes = peak_bytes;
	p->peak_at_s = at_s;
	return p;
}

/* A site with the stack of that place. */
static struct memtrace_site *site_at(uint64_t id, uint64_t process, uint64_t place,
				     uint64_t at_peak, uint64_t live)
{
	struct memtrace_frame own = { .address = place, .module = "/bin/bench", .offset = place };
	struct memtrace_site *site =
		fixture_site(scene.snapshot, id, process, live != 0, live, 1, 1, &own, 1);

	site->bytes_at_peak = site->peak_bytes = at_peak;
	return site;
}

static struct memtrace_site *site(uint64_t id, uint64_t process, uint64_t at_peak, uint64_t live)
{
	return site_at(id, process, id, at_peak, live);
}

static void tree(uint64_t bytes, double at_s)
{
	scene.snapshot->totals.peak_bytes = bytes;
	scene.snapshot->totals.peak_at_s = at_s;
}

static void find(void)
{
	cr_assert_eq(peak_find(scene.snapshot, &scene.arena, &scene.found), 0);
}

static void expect_order(const uint64_t *sites, size_t cnt)
{
	cr_assert_eq(scene.found.row_cnt, cnt);
	for (size_t i = 0; i < cnt; i++)
		cr_expect_eq(scene.found.rows[i].site, sites[i], "row %zu", i);
}

static const char *text(size_t top)
{
	static struct strbuf out;
	struct analysis analysis;

	strbuf_clear(&out);
	cr_assert_eq(analysis_init(&analysis, scene.snapshot, NULL), 0);
	cr_assert_eq(text_report(scene.snapshot, &analysis, &(struct text_options){ .top = top },
				 &out),
		     0);
	analysis_fini(&analysis);
	return strbuf_text(&out);
}

static void expect_said(const char *words)
{
	const char *got = text(0);

	cr_expect(strstr(got, words), "\"%s\" is missing in:\n%s", words, got);
}

Test(peak, an_empty_snapshot_has_none)
{
	find();
	cr_expect_eq(scene.found.row_cnt, 0);
	cr_expect_eq(scene.found.process, 0);
	cr_expect(!strstr(text(0), "\npeak:"));
}

Test(peak, rows_add_up_to_it_and_come_largest_first)
{
	static const uint64_t expected[] = { 2, 3, 1 };
	uint64_t sum = 0;
	double shares = 0;

	process(1, 1000, 2.5);
	site(1, 1, 100, 0);
	site(2, 1, 600, 7);
	site(3, 1, 300, 900);
	find();
	expect_order(expected, 3);
	for (size_t i = 0; i < 3; i++) {
		sum += scene.found.rows[i].bytes_at_peak;
		shares += scene.found.rows[i].share;
	}
	cr_expect_eq(sum, 1000);
	cr_expect_float_eq(shares, 1, 1e-12);
	cr_expect_float_eq(scene.found.rows[0].share, 0.6, 1e-12);
	cr_expect_eq(scene.found.rows[0].live_bytes, 7);
}

Test(peak, equal_rows_come_by_process_then_by_site_what_is_nobodys_last)
{
	static const uint64_t expected[] = { 4, 9, 0, 3 };

	process(1, 300, 1)->peak_unattributed_bytes = 100;
	process(2, 100, 1);
	site(3, 2, 100, 0);
	site(9, 1, 100, 0);
	site(4, 1, 100, 0);
	find();
	expect_order(expected, 4);
	cr_expect_eq(scene.found.rows[2].process, 1);
	cr_expect_float_eq(scene.found.rows[2].share, 1.0 / 3, 1e-12);
	expect_said("(of no certain call path: threads raced there)");
}

Test(peak, sites_that_read_the_same_are_one_row_of_one_process)
{
	process(1, 700, 1);
	process(2, 200, 1);
	site_at(1, 1, 0x10, 200, 1);
	site_at(2, 1, 0x10, 500, 2);
	site_at(3, 1, 0x10, 0, 4); /* held nothing at the peak, but the path holds it now */
	site_at(4, 2, 0x10, 200, 8);
	find();
	cr_assert_eq(scene.found.row_cnt, 2);
	cr_expect_eq(scene.found.rows[0].site, 2, "that which held most stands for them");
	cr_expect_eq(scene.found.rows[0].site_cnt, 3);
	cr_expect_eq(scene.found.rows[0].sites[1], 1);
	cr_expect_eq(scene.found.rows[0].bytes_at_peak, 700);
	cr_expect_eq(scene.found.rows[0].live_bytes, 7);
	cr_expect_eq(scene.found.rows[1].bytes_at_peak, 200);
}

Test(peak, paths_that_held_nothing_at_it_are_no_rows)
{
	process(1, 50, 1);
	site(1, 1, 0, 1000);
	site(2, 1, 50, 0);
	find();
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_expect_eq(scene.found.rows[0].site, 2);
}

Test(peak, a_cut_sums_up_the_rest)
{
	process(1, 1500, 1);
	for (uint64_t i = 1; i <= 5; i++)
		site(i, 1, i * 100, 0);
	find();
	cr_expect_eq(peak_rest_bytes(&scene.found, 0), 1500);
	cr_expect_eq(peak_rest_bytes(&scene.found, 2), 600);
	cr_expect_eq(peak_rest_bytes(&scene.found, 5), 0);
	cr_expect(strstr(text(2), "... and 3 more: 600 B (--top N shows more)"), "%s", text(2));
	cr_expect(strstr(text(2), "the first 2 of 5 shown"));
	cr_expect(!strstr(text(2), "  3. 300 B"));
}

Test(peak, what_is_still_live_is_not_told_again)
{
	process(1, 1000, 1);
	site(1, 1, 1000, 950);
	find();
	cr_expect_eq(scene.found.processes[0].kept_bytes_max, 950);
	cr_expect_eq(scene.found.over_rows, 0);
	cr_expect_eq(scene.found.row_cnt, 1, "but the row is there, for programs");
	cr_expect(!strstr(text(0), "\npeak:"));
}

Test(peak, other_memory_of_the_same_size_does_not_hide_it)
{
	process(1, 1000, 1);
	site(1, 1, 1000, 0);
	site(2, 1, 0, 1000);
	find();
	cr_expect_eq(scene.found.processes[0].kept_bytes_max, 0);
	cr_expect_eq(scene.found.over_rows, 1);
	expect_said("nothing of it left at the end");
}

Test(peak, with_nothing_live_any_more_it_is_told_whole)
{
	process(1, 1000, 0.25);
	site(1, 1, 1000, 0);
	expect_said("peak: 1000 B at 250 ms, nothing of it left at the end; largest first");
	expect_said("  1. 1000 B, 100.0 % of the peak; 0 B left at the end\n     bench+0x1\n");
}

Test(peak, a_running_process_has_some_of_it_live)
{
	process(1, 1000, 1)->ended_by = MEMTRACE_RUNNING;
	site(1, 1, 1000, 300);
	expect_said("at most 30.0 % of it still live");
	expect_said("100.0 % of the peak; 300 B live now");
}

Test(peak, a_call_path_that_a_leak_showed_is_not_shown_twice)
{
	process(1, 1000, 1);
	site(1, 1, 400, 400);
	site(2, 1, 600, 500);
	expect_said("60.0 % of the peak; 500 B left at the end\n     (the call path of leak 1)");
	expect_said("40.0 % of the peak; 400 B left at the end\n     (the call path of leak 2)");
}

Test(peak, of_processes_that_peaked_apart_nobody_knows_the_shares_at_the_peak_of_all)
{
	process(1, 600, 1);
	process(2, 700, 2);
	site(1, 1, 600, 0);
	site(2, 2, 700, 0);
	tree(900, 1.5);
	find();
	cr_expect_eq(scene.found.process, 0);
	cr_expect_float_eq(scene.found.rows[1].share, 1, 1e-12, "of its own process's peak");
	cr_expect(isnan(scene.found.share));
	expect_said("2 of 2 processes held more at their peaks than last; "
		    "what each held at the peak of all is not known");
}

Test(peak, a_process_whose_peak_is_that_of_all_held_all_of_it)
{
	process(1, 900, 3);
	process(2, 900, 2);
	process(3, 900, 4);
	process(4, 100, 1);
	tree(900, 2);
	find();
	cr_expect_eq(scene.found.process, 2, "the first that came so far");
	site(1, 2, 900, 0);
	expect_said("; of the peak of all pid 102 (bench) held 100.0 %");
}

Test(peak, a_process_that_peaked_when_all_did_has_its_share_of_it)
{
	process(1, 600, 1);
	process(2, 1999, 2.5);
	process(3, 1, 2.5);
	tree(2000, 2.5);
	site(1, 2, 1999, 0);
	find();
	cr_expect_eq(scene.found.process, 2);
	cr_expect_float_eq(scene.found.share, 0.9995, 1e-12);
	expect_said("; of the peak of all pid 102 (bench) held 99.9 %;");
}

Test(peak, rows_of_a_process_that_is_not_there_have_no_share)
{
	site(1, 7, 100, 0);
	find();
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_expect(isnan(scene.found.rows[0].share));
	cr_expect(!scene.found.rows[0].over);
}

Test(peak, what_is_not_known_to_be_anybodys_is_no_row)
{
	process(1, 100, 1)->peak_unattributed_bytes = MEMTRACE_UNKNOWN;
	process(2, 100, 1)->peak_unattributed_bytes = -5; /* read while it moved */
	find();
	cr_expect_eq(scene.found.row_cnt, 0);
}

Test(peak, estimates_say_so)
{
	process(1, 1000, 1)->estimates = fixture_estimates(scene.snapshot);
	site(1, 1, 1000, 0)->estimates = fixture_estimates(scene.snapshot);
	expect_said("peak: about 1000 B");
	expect_said("  1. about 1000 B, 100.0 % of the peak");
}

Test(peak, without_memory_the_result_is_left_alone)
{
	process(1, 1000, 1);
	for (uint64_t id = 1; id <= 10; id++)
		site(id, 1, 100, 0);
	scene.found.row_cnt = 4711;
	for (size_t bound = 16; bound <= 10 * sizeof(struct peak_row); bound += 48) {
		arena_fini(&scene.arena);
		scene.arena.max_bytes = bound;
		cr_assert_eq(peak_find(scene.snapshot, &scene.arena, &scene.found), -ENOMEM);
		cr_expect_eq(scene.found.row_cnt, 4711);
	}
}
