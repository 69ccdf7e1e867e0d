// SPDX-License-Identifier: MIT
#include "model/series.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES_DEFAULT (64u << 20)
#define TICKS_MIN 16 /* want of memory takes no more ticks than leave these */

/* The figures from this tick on, until the next point. */
struct point {
	uint64_t live_bytes, alloc_bytes;
	uint32_t tick;
};

struct history {
	uint64_t id;
	struct point *points;
	uint32_t cnt, cap;
	bool broken; /* there was no room for all points */
};

/* Of processes only, beside their histories. */
struct life {
	double from_s;	    /* its account began */
	double to_s;	    /* it ended; INFINITY: not that anybody knows */
	uint32_t last_tick; /* it was seen at */
	bool over;	    /* nothing changes any more */
};

struct table {
	struct history *rows;
	size_t cnt, cap;
	uint32_t *slots; /* number of the row + 1; open addressing, at most half full */
	size_t slot_cnt;
};

struct series {
	double ticks[SERIES_TICKS];
	uint32_t tick_cnt;
	double step_s;
	size_t max_bytes, bytes; /* of rows, slots and points */
	size_t left_out;
	struct table processes, sites;
	struct life *lives; /* by row of processes */
	size_t life_cap;
	struct history tree;
};

struct series *series_new(size_t max_bytes)
{
	struct series *series = calloc(1, sizeof(*series));

	if (series)
		series->max_bytes = max_bytes ? max_bytes : MAX_BYTES_DEFAULT;
	return series;
}

static void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->cnt; i++)
		free(table->rows[i].points);
	free(table->rows);
	free(table->slots);
}

void series_destroy(struct series *series)
{
	if (!series)
		return;
	table_fini(&series->processes);
	table_fini(&series->sites);
	free(series->tree.points);
	free(series->lives);
	free(series);
}

double series_step_s(const struct series *series)
{
	return series->step_s;
}

size_t series_tick_cnt(const struct series *series)
{
	return series->tick_cnt;
}

size_t series_left_out(const struct series *series)
{
	return series->left_out;
}

size_t series_bytes(const struct series *series)
{
	return series->bytes;
}

/* ---- rows by id ------------------------------------------------------------------------------ */

static size_t slot_of(const struct table *table, uint64_t id)
{
	return (id * 0x9e3779b97f4a7c15 >> 20) & (table->slot_cnt - 1);
}

static struct history *table_find(const struct table *table, uint64_t id)
{
	if (!table->slot_cnt)
		return NULL;
	for (size_t slot = slot_of(table, id); table->slots[slot];
	     slot = (slot + 1) & (table->slot_cnt - 1)) {
		struct history *row = &table->rows[table->slots[slot] - 1];

		if (row->id == id)
			return row;
	}
	return NULL;
}

static void table_index(struct table *table, size_t row)
{
	size_t slot = slot_of(table, table->rows[row].id);

	while (table->slots[slot])
		slot = (slot + 1) & (table->slot_cnt - 1);
	table->slots[slot] = (uint32_t)row + 1;
}

static int table_grow(struct series *series, struct table *table)
{
	size_t cap = table->cap ? table->cap * 2 : 64, slot_cnt = cap * 2;
	struct history *rows;
	uint32_t *slots;

	if (cap >= UINT32_MAX / 2)
		return -ENOMEM;
	rows = realloc(table->rows, cap * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	table->rows = rows;
	slots = calloc(slot_cnt, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(table->slots);
	table->slots = slots;
	series->bytes +=
		(cap - table->cap) * sizeof(*rows) + (slot_cnt - table->slot_cnt) * sizeof(*slots);
	table->slot_cnt = slot_cnt;
	table->cap = cap;
	for (size_t i = 0; i < table->cnt; i++)
		table_index(table, i);
	return 0;
}

static struct history *table_add(struct series *series, struct table *table, uint64_t id)
{
	if (table->cnt == table->cap && table_grow(series, table))
		return NULL;
	table->rows[table->cnt] = (struct history){ .id = id };
	table_index(table, table->cnt);
	return &table->rows[table->cnt++];
}

/* ---- points ---------------------------------------------------------------------------------- */

static int history_resize(struct series *series, struct history *history, uint32_t cap)
{
	struct point *points = realloc(history->points, cap * sizeof(*points));

	if (!points)
		return -ENOMEM;
	series->bytes += (size_t)cap * sizeof(*points);
	series->bytes -= (size_t)history->cap * sizeof(*points);
	history->points = points;
	history->cap = cap;
	return 0;
}

/* Every second tick is left: what was in between took effect at the one after it. */
static uint32_t thinned(uint32_t tick)
{
	return (tick + 1) / 2;
}

static void history_thin(struct series *series, struct history *history)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < history->cnt; i++) {
		struct point point = history->points[i];

		point.tick = thinned(point.tick);
		if (n && history->points[n - 1].tick == point.tick)
			n--;
		history->points[n++] = point;
	}
	history->cnt = n;
	if (n && n <= history->cap / 4) /* not less: it is going to grow again */
		history_resize(series, history, history->cap / 2);
}

/* Only when another tick is about to be added, which takes over what is known at the one that
 * goes. */
static void series_thin(struct series *series)
{
	double first_s = series->ticks[0], last_s = series->ticks[series->tick_cnt - 1];

	for (size_t i = 0; i < series->processes.cnt; i++) {
		history_thin(series, &series->processes.rows[i]);
		series->lives[i].last_tick = thinned(series->lives[i].last_tick);
	}
	for (size_t i = 0; i < series->sites.cnt; i++)
		history_thin(series, &series->sites.rows[i]);
	history_thin(series, &series->tree);
	for (uint32_t i = 0; i * 2 < series->tick_cnt; i++)
		series->ticks[i] = series->ticks[i * 2];
	series->tick_cnt = (series->tick_cnt + 1) / 2;
	series->step_s = (last_s - first_s) / series->tick_cnt;
}

static int history_put(struct series *series, struct history *history, uint64_t live_bytes,
		       uint64_t alloc_bytes)
{
	uint32_t tick = series->tick_cnt - 1;
	struct point *last = history->cnt ? &history->points[history->cnt - 1] : NULL;

	if (history->broken)
		return 0;
	if (last && last->live_bytes == live_bytes && last->alloc_bytes == alloc_bytes)
		return 0;
	if (!last || last->tick != tick) {
		if (history->cnt == history->cap) {
			uint32_t cap = history->cap ? history->cap * 2 : 1;

			if (series->bytes + (cap - history->cap) * sizeof(*last) >
			    series->max_bytes) {
				history->broken = true;
				series->left_out++;
				return 0;
			}
			if (history_resize(series, history, cap))
				return -ENOMEM;
		}
		last = &history->points[history->cnt++];
	}
	*last = (struct point){ live_bytes, alloc_bytes, tick };
	return 0;
}

/* ---- appending ------------------------------------------------------------------------------- */

/* The tick the snapshot is of, the newest one after this. */
static void series_tick(struct series *series, double t_s)
{
	uint32_t cnt = series->tick_cnt;
	double *newest = &series->ticks[cnt ? cnt - 1 : 0];

	if (!cnt) {
		series->ticks[series->tick_cnt++] = isfinite(t_s) && t_s > 0 ? t_s : 0;
		return;
	}
	if (!(t_s > *newest) || !isfinite(t_s))
		return;
	if (cnt > 1 && *newest - newest[-1] < series->step_s * 0.999) {
		*newest = t_s;
		return;
	}
	if (cnt == SERIES_TICKS ||
	    (cnt > TICKS_MIN * 2 && series->bytes > series->max_bytes - series->max_bytes / 8))
		series_thin(series);
	series->ticks[series->tick_cnt++] = t_s;
}

static struct history *add_process(struct series *series, const struct memtrace_process *process)
{
	struct history *history;

	if (series->processes.cnt == series->life_cap) {
		size_t cap = series->life_cap ? series->life_cap * 2 : 64;
		struct life *lives = realloc(series->lives, cap * sizeof(*lives));

		if (!lives)
			return NULL;
		series->bytes += (cap - series->life_cap) * sizeof(*lives);
		series->lives = lives;
		series->life_cap = cap;
	}
	history = table_add(series, &series->processes, process->id);
	if (history)
		series->lives[history - series->processes.rows] = (struct life){
			.from_s = process->started_s > 0 ? process->started_s : 0,
			.to_s = INFINITY,
		};
	return history;
}

static int append_process(struct series *series, const struct memtrace_process *process)
{
	struct history *history = table_find(&series->processes, process->id);
	struct life *life;

	if (!history)
		history = add_process(series, process);
	if (!history)
		return -ENOMEM;
	life = &series->lives[history - series->processes.rows];
	if (life->over)
		return 0;
	life->last_tick = series->tick_cnt - 1;
	if (process->ended_by != MEMTRACE_RUNNING && process->ended_s >= 0)
		life->to_s = process->ended_s;
	return history_put(series, history, process->live_bytes, process->alloc_bytes);
}

static int append_site(struct series *series, const struct memtrace_site *site)
{
	struct history *process = table_find(&series->processes, site->process), *history;
	const struct life *life;

	if (!process || !process->cnt)
		return 0;
	life = &series->lives[process - series->processes.rows];
	/* of a life that is one point long there is nothing to tell, and such processes are many */
	if (life->over || (life->to_s < INFINITY && process->points[0].tick == life->last_tick))
		return 0;
	history = table_find(&series->sites, site->id);
	if (!history) {
		if (series->bytes + sizeof(*history) * 2 > series->max_bytes) {
			series->left_out++;
			return 0;
		}
		history = table_add(series, &series->sites, site->id);
	}
	if (!history)
		return -ENOMEM;
	return history_put(series, history, site->live_bytes, site->alloc_bytes);
}

static int append_tree(struct series *series, const struct memtrace_snapshot *snapshot)
{
	uint64_t live_bytes = 0, alloc_bytes = 0;

	for (size_t i = 0; i < snapshot->process_cnt; i++) {
		const struct memtrace_process *process = &snapshot->processes[i];

		if (process->ended_by != MEMTRACE_RUNNING)
			continue;
		live_bytes += process->live_bytes;
		alloc_bytes += process->alloc_bytes;
	}
	return history_put(series, &series->tree, live_bytes, alloc_bytes);
}

int series_append(struct series *series, const struct memtrace_snapshot *snapshot)
{
	int err;

	series_tick(series, snapshot->duration_s);
	err = append_tree(series, snapshot);
	for (size_t i = 0; i < snapshot->process_cnt && !err; i++)
		err = append_process(series, &snapshot->processes[i]);
	for (size_t i = 0; i < snapshot->site_cnt && !err; i++)
		err = append_site(series, &snapshot->sites[i]);
	for (size_t i = 0; i < series->processes.cnt; i++)
		if (series->lives[i].to_s < INFINITY)
			series->lives[i].over = true;
	return err;
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* Adds the history to a curve that has the ticks first..last. */
static void curve_add(const struct history *history, uint32_t first, uint32_t last,
		      struct series_point *points)
{
	const struct point *point = history->points, *end = point + history->cnt;
	uint64_t live_bytes = 0, alloc_bytes = 0;

	for (uint32_t tick = 0; tick <= last; tick++) {
		for (; point < end && point->tick <= tick; point++) {
			live_bytes = point->live_bytes;
			alloc_bytes = point->alloc_bytes;
		}
		if (tick < first)
			continue;
		points[tick - first].live_bytes += live_bytes;
		points[tick - first].alloc_bytes += alloc_bytes;
	}
}

/* Beginnings and ends of lives are exact, ticks are not: the times of a life that began at from_s
 * and was over at to_s. Points that would not be later than the one before replace it. */
static size_t curve_bound(struct series_point *points, size_t cnt, double from_s, double to_s)
{
	struct series_point begin = { .t_s = from_s };
	size_t n = 0;

	if (cnt && points[0].t_s > from_s) {
		memmove(points + 1, points, cnt * sizeof(*points));
		points[0] = begin;
		cnt++;
	}
	for (size_t i = 0; i < cnt; i++) {
		struct series_point point = points[i];

		if (point.t_s > to_s)
			point.t_s = to_s;
		if (n && !(point.t_s > points[n - 1].t_s)) {
			point.t_s = points[n - 1].t_s;
			n--;
		}
		points[n++] = point;
	}
	return n;
}

static void curve_begin(const struct series *series, uint32_t first, uint32_t last,
			struct series_point *points)
{
	for (uint32_t tick = first; tick <= last; tick++)
		points[tick - first] = (struct series_point){ .t_s = series->ticks[tick] };
}

size_t series_of_tree(const struct series *series, struct series_point *points)
{
	if (!series->tick_cnt || series->tree.broken)
		return 0;
	curve_begin(series, 0, series->tick_cnt - 1, points);
	curve_add(&series->tree, 0, series->tick_cnt - 1, points);
	return curve_bound(points, series->tick_cnt, 0, INFINITY);
}

/* Its history and the ticks of its life; NULL when there is none. */
static const struct history *find_life(const struct series *series, uint64_t process,
				       const struct life **life, uint32_t *first)
{
	const struct history *history = table_find(&series->processes, process);

	if (!history || history->broken || !history->cnt)
		return NULL;
	*life = &series->lives[history - series->processes.rows];
	*first = history->points[0].tick;
	return history;
}

size_t series_of_process(const struct series *series, uint64_t process, struct series_point *points)
{
	const struct life *life;
	uint32_t first;
	const struct history *history = find_life(series, process, &life, &first);

	if (!history)
		return 0;
	curve_begin(series, first, life->last_tick, points);
	curve_add(history, first, life->last_tick, points);
	return curve_bound(points, life->last_tick - first + 1, life->from_s, life->to_s);
}

size_t series_of_sites(const struct series *series, uint64_t process, const uint64_t *sites,
		       size_t site_cnt, struct series_point *points)
{
	const struct life *life;
	uint32_t first;

	if (!find_life(series, process, &life, &first))
		return 0;
	curve_begin(series, first, life->last_tick, points);
	for (size_t i = 0; i < site_cnt; i++) {
		const struct history *history = table_find(&series->sites, sites[i]);

		if (!history || history->broken)
			return 0;
		curve_add(history, first, life->last_tick, points);
	}
	return curve_bound(points, life->last_tick - first + 1, life->from_s, life->to_s);
}
