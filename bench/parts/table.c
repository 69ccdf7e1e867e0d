// SPDX-License-Identifier: MIT
#include "parts/table.h"

#include <math.h>

#include "output/json_writer.h"
#include "parts/verdict.h"

static const char *const outcome_names[] = { "met", "missed", "not measured" };
static const char *const kind_names[] = { "untraced", "floor", "memtrace", "peer" };

/* ---- text ----------------------------------------------------------------------------------- */

struct scale {
	double ns;
	const char *name;
};

static struct scale scale_for(double ns)
{
	static const struct scale scales[] = {
		{ 1, "ns" }, { 1e3, "us" }, { 1e6, "ms" }, { 1e9, "s" }
	};
	size_t i = 0;

	while (i < 3 && ns >= 1e4 * scales[i].ns)
		i++;
	return scales[i];
}

static void put_time(struct strbuf *out, const struct spread *time)
{
	struct scale scale = scale_for(time->median);
	int decimals = time->median / scale.ns < 100 ? 2 : 1;

	strbuf_printf(out, "%9.*f %-2s  %9.*f .. %-9.*f", decimals, time->median / scale.ns,
		      scale.name, decimals, time->q1 / scale.ns, decimals, time->q3 / scale.ns);
}

static void put_ratio(struct strbuf *out, double ratio)
{
	if (isnan(ratio))
		strbuf_printf(out, "%10s", "-");
	else
		strbuf_printf(out, "%9.*fx", ratio < 10 ? 3 : 1, ratio);
}

static void put_cell(const struct grid *grid, size_t w, size_t v, struct strbuf *out)
{
	const struct grid_cell *cell = &grid->cells[w][v];
	struct spread time = grid_time(grid, w, v), ratios = grid_round_ratios(grid, w, v);
	struct spread start = spread_of(cell->start_s, grid->round_cnt);
	struct spread end = spread_of(cell->end_s, grid->round_cnt);

	strbuf_printf(out, "  %-30s", grid->variants[v].title);
	if (!time.cnt) {
		strbuf_printf(out, "  %s\n",
			      cell->skipped[0] ? cell->skipped
			      : cell->why[0]   ? cell->why
					       : "not run");
		return;
	}
	put_time(out, &time);
	put_ratio(out, grid_ratio(grid, w, v));
	if (v && ratios.cnt)
		strbuf_printf(out, "  %6.*f .. %-6.*f", ratios.median < 10 ? 3 : 1, ratios.q1,
			      ratios.median < 10 ? 3 : 1, ratios.q3);
	else
		strbuf_printf(out, "  %16s", "");
	strbuf_printf(out, " %4zu  %5.2f  %5.2f", time.cnt, start.median, end.median);
	if (cell->rejected)
		strbuf_printf(out, "  (%u more did not count: %s)", cell->rejected, cell->why);
	strbuf_putc(out, '\n');
}

void table_workload(const struct grid *grid, size_t workload, struct strbuf *out)
{
	const struct grid_workload *row = &grid->workloads[workload];

	strbuf_printf(out, "%s: %s\n", row->name, row->title);
	if (row->skipped[0]) {
		strbuf_printf(out, "  skipped: %s\n", row->skipped);
		return;
	}
	strbuf_printf(out, "  time of a %-20s%12s  %-22s%10s  %-16s %4s  %5s  %5s\n", row->unit,
		      "median", "   quartiles", "ratio", " by round", "runs", "start", "end s");
	for (size_t v = 0; v < grid->variant_cnt; v++)
		put_cell(grid, workload, v, out);
	strbuf_printf(out, "  meanwhile %.2f processors were busy with something else\n",
		      row->others);
}

static void put_short_time(struct strbuf *out, double ns)
{
	struct scale scale = scale_for(ns);

	strbuf_printf(out, "%.2f %s", ns / scale.ns, scale.name);
}

static void put_figure(struct strbuf *out, const struct verdict *verdict, double value)
{
	strbuf_printf(out, verdict->figure == VERDICT_RATIO ? "%.3fx" : "%+.2f ns", value);
}

static void put_verdict(const struct verdict *verdict, struct strbuf *out)
{
	strbuf_printf(out, "  %-12s  %-9s %-36s ", outcome_names[verdict->outcome],
		      verdict->workload, verdict->sentence);
	if (verdict->outcome != VERDICT_UNDECIDED) {
		put_figure(out, verdict, verdict->value);
		strbuf_puts(out, " (");
		put_short_time(out, verdict->variant_ns);
		strbuf_puts(out, " and ");
		put_short_time(out, verdict->against_ns);
		strbuf_puts(out, "; by round ");
		put_figure(out, verdict, verdict->rounds.q1);
		strbuf_puts(out, " .. ");
		put_figure(out, verdict, verdict->rounds.q3);
		strbuf_puts(out, "), ");
	}
	strbuf_puts(out, "wanted: at most ");
	put_figure(out, verdict, verdict->most);
	strbuf_putc(out, '\n');
}

void table_verdicts(const struct grid *grid, struct strbuf *out)
{
	struct verdict verdict;

	strbuf_puts(out, "promises (medians; quartiles of the same figure within each round)\n");
	for (size_t i = 0; i < verdict_cnt; i++) {
		verdict_decide(grid, i, &verdict);
		put_verdict(&verdict, out);
	}
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_spread(struct json_writer *w, const char *key, const struct spread *spread)
{
	json_key(w, key);
	if (!spread->cnt) {
		json_null(w);
		return;
	}
	json_object_begin(w);
	json_key(w, "q1");
	json_double(w, spread->q1);
	json_key(w, "median");
	json_double(w, spread->median);
	json_key(w, "q3");
	json_double(w, spread->q3);
	json_key(w, "runs");
	json_uint(w, spread->cnt);
	json_object_end(w);
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	json_string(w, text[0] ? text : NULL);
}

static void put_json_cell(const struct grid *grid, size_t workload, size_t v, struct json_writer *w)
{
	const struct grid_cell *cell = &grid->cells[workload][v];
	struct spread time = grid_time(grid, workload, v);
	struct spread ratios = grid_round_ratios(grid, workload, v);
	struct spread start = spread_of(cell->start_s, grid->round_cnt);
	struct spread end = spread_of(cell->end_s, grid->round_cnt);

	json_object_begin(w);
	put_text(w, "name", grid->variants[v].name);
	put_text(w, "kind", kind_names[grid->variants[v].kind]);
	put_text(w, "skipped", cell->skipped);
	put_spread(w, "ns", &time);
	json_key(w, "ratio");
	json_double(w, grid_ratio(grid, workload, v));
	put_spread(w, "ratio_by_round", &ratios);
	put_spread(w, "start_s", &start);
	put_spread(w, "end_s", &end);
	json_key(w, "allocs");
	if (cell->allocs)
		json_uint(w, cell->allocs);
	else
		json_null(w);
	json_key(w, "rejected");
	json_uint(w, cell->rejected);
	put_text(w, "rejected_why", cell->why);
	json_key(w, "rounds_ns");
	json_array_begin(w);
	for (size_t round = 0; round < grid->round_cnt; round++)
		json_double(w, cell->ns[round]);
	json_array_end(w);
	json_object_end(w);
}

static void put_json_verdict(const struct verdict *verdict, struct json_writer *w)
{
	json_object_begin(w);
	put_text(w, "workload", verdict->workload);
	put_text(w, "variant", verdict->variant);
	put_text(w, "against", verdict->against);
	put_text(w, "figure", verdict->figure == VERDICT_RATIO ? "ratio" : "added_ns");
	json_key(w, "at_most");
	json_double(w, verdict->most);
	json_key(w, "value");
	json_double(w, verdict->value);
	put_spread(w, "by_round", &verdict->rounds);
	put_text(w, "outcome", outcome_names[verdict->outcome]);
	json_object_end(w);
}

void table_json(const struct grid *grid, struct strbuf *out)
{
	struct verdict verdict;
	struct json_writer w;

	json_init(&w, out);
	json_object_begin(&w);
	put_text(&w, "schema", "memtrace.bench/1");
	put_text(&w, "machine", grid->machine);
	json_key(&w, "rounds");
	json_uint(&w, grid->round_cnt);
	json_key(&w, "workloads");
	json_array_begin(&w);
	for (size_t i = 0; i < grid->workload_cnt; i++) {
		json_object_begin(&w);
		put_text(&w, "name", grid->workloads[i].name);
		put_text(&w, "title", grid->workloads[i].title);
		put_text(&w, "unit", grid->workloads[i].unit);
		put_text(&w, "skipped", grid->workloads[i].skipped);
		json_key(&w, "others_cpu");
		json_double(&w, grid->workloads[i].others);
		json_key(&w, "variants");
		json_array_begin(&w);
		for (size_t v = 0; v < grid->variant_cnt; v++)
			put_json_cell(grid, i, v, &w);
		json_array_end(&w);
		json_object_end(&w);
	}
	json_array_end(&w);
	json_key(&w, "promises");
	json_array_begin(&w);
	for (size_t i = 0; i < verdict_cnt; i++) {
		verdict_decide(grid, i, &verdict);
		put_json_verdict(&verdict, &w);
	}
	json_array_end(&w);
	json_object_end(&w);
	strbuf_putc(out, '\n');
}
