// SPDX-License-Identifier: MIT
#include "analyze/forecast.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analyze/growth.h"
#include "analyze/verdict.h"
#include "model/series.h"

#define REACH 100 /* times the time of the trend: a straight line is not drawn further */

/* Of running processes; of one, or of all (0). */
static double leaking_rate(const struct leaks_result *leaks, uint64_t process)
{
	double sum = 0;

	/* they come first */
	for (size_t i = 0; i < leaks->verdict_rows[LEAK_LEAKING]; i++)
		if (!leaks->rows[i].ended && (!process || leaks->rows[i].process == process))
			sum += leak_rate(&leaks->rows[i]);
	return sum;
}

static bool goes_on(const struct growth *growth, double leaking_rate)
{
	if (growth->shape == GROWTH_PLATEAU)
		return growth->trend.low > 0 && leaking_rate >= growth->trend.slope / 2;
	return growth->shape == GROWTH_STEADY;
}

/* False when there is nothing to say. */
static bool draw_on(const struct series_point *points, size_t cnt, double leaking_rate,
		    uint64_t limit_bytes, struct forecast_row *row)
{
	struct growth growth = growth_of(points, cnt, false);
	const struct trend *trend = &growth.trend;
	double missing, passed_s;

	if (!goes_on(&growth, leaking_rate) || points[cnt - 1].live_bytes >= limit_bytes)
		return false;
	missing = (double)limit_bytes - trend->mid_bytes;
	passed_s = points[cnt - 1].t_s - trend->mid_t_s;
	row->live_bytes = points[cnt - 1].live_bytes;
	row->bytes_per_s = trend->slope;
	row->low_bytes_per_s = trend->low;
	row->high_bytes_per_s = trend->high;
	row->reaches_in_s = fmax(missing / trend->slope - passed_s, 0);
	row->soonest_s = fmax(missing / trend->high - passed_s, 0);
	row->latest_s = fmax(missing / trend->low - passed_s, 0);
	row->trend_s = growth.trend_s;
	return row->reaches_in_s <= REACH * growth.trend_s && isfinite(row->latest_s);
}

static int sooner_first(const void *left, const void *right)
{
	const struct forecast_row *a = left, *b = right;

	if (a->reaches_in_s != b->reaches_in_s)
		return a->reaches_in_s < b->reaches_in_s ? -1 : 1;
	return a->process < b->process ? -1 : a->process > b->process;
}

int forecast_find(const struct memtrace_snapshot *snapshot, const struct leaks_result *leaks,
		  struct arena *arena, struct forecast *forecast)
{
	const struct memtrace_limit *limit = &snapshot->limit;
	struct forecast found = { .limit_bytes = limit->bytes };
	const struct series *series = leaks->params.series;
	struct series_point points[SERIES_POINTS];
	size_t running = 0, cnt;

	for (size_t i = 0; i < snapshot->process_cnt; i++)
		running += snapshot->processes[i].ended_by == MEMTRACE_RUNNING;
	found.rows = arena_array(arena, running, sizeof(*found.rows));
	if (!found.rows)
		return -ENOMEM;
	for (size_t i = 0; series && limit->bytes && i < snapshot->process_cnt; i++) {
		const struct memtrace_process *process = &snapshot->processes[i];
		struct forecast_row row = { .process = process->id };

		if (process->ended_by != MEMTRACE_RUNNING)
			continue;
		cnt = series_of_process(series, process->id, points);
		if (draw_on(points, cnt, leaking_rate(leaks, process->id), limit->bytes, &row))
			found.rows[found.row_cnt++] = row;
	}
	if (found.row_cnt)
		qsort(found.rows, found.row_cnt, sizeof(*found.rows), sooner_first);
	if (series && limit->bytes && running && limit->scope == MEMTRACE_LIMIT_TREE &&
	    limit->tree_cnt == 1) {
		cnt = series_of_tree(series, points);
		found.has_tree =
			draw_on(points, cnt, leaking_rate(leaks, 0), limit->bytes, &found.tree);
	}
	*forecast = found;
	return 0;
}
