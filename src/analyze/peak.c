// SPDX-License-Identifier: MIT
#include "analyze/peak.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analyze/grouping.h"

#define STILL_THERE 0.95

/* What a path that was not live at the peak holds now may be merged with one that was. */
static bool ever_held(const struct memtrace_site *site)
{
	return site->bytes_at_peak || site->live_bytes;
}

static bool bigger(const struct memtrace_site *a, const struct memtrace_site *b)
{
	if (a->bytes_at_peak != b->bytes_at_peak)
		return a->bytes_at_peak > b->bytes_at_peak;
	return a->id < b->id;
}

static const struct grouping_rule by_peak = { .takes = ever_held, .bigger = bigger };

static int id_order(const void *key, const void *element)
{
	uint64_t id = *(const uint64_t *)key;
	const struct peak_process *p = element;

	return id < p->process->id ? -1 : id > p->process->id;
}

static struct peak_process *find_process(const struct peak *peak, uint64_t process)
{
	if (!peak->process_cnt)
		return NULL;
	return bsearch(&process, peak->processes, peak->process_cnt, sizeof(*peak->processes),
		       id_order);
}

const struct peak_process *peak_find_process(const struct peak *peak, uint64_t process)
{
	return find_process(peak, process);
}

static int process_order(const void *left, const void *right)
{
	const struct peak_process *a = left, *b = right;

	return a->process->id < b->process->id ? -1 : a->process->id > b->process->id;
}

static int take_processes(const struct memtrace_snapshot *snapshot, struct arena *arena,
			  struct peak *peak)
{
	peak->process_cnt = snapshot->process_cnt;
	peak->processes = arena_array(arena, peak->process_cnt, sizeof(*peak->processes));
	if (!peak->processes)
		return -ENOMEM;
	for (size_t i = 0; i < peak->process_cnt; i++)
		peak->processes[i].process = &snapshot->processes[i];
	if (peak->process_cnt)
		qsort(peak->processes, peak->process_cnt, sizeof(*peak->processes), process_order);
	for (size_t i = 0; i < snapshot->site_cnt; i++) {
		const struct memtrace_site *site = &snapshot->sites[i];
		struct peak_process *p = find_process(peak, site->process);

		if (p)
			p->kept_bytes_max += site->live_bytes < site->bytes_at_peak ?
						     site->live_bytes :
						     site->bytes_at_peak;
	}
	for (size_t i = 0; i < peak->process_cnt; i++) {
		struct peak_process *p = &peak->processes[i];

		p->over = (double)p->kept_bytes_max < STILL_THERE * (double)p->process->peak_bytes;
	}
	return 0;
}

/* Whether the process held its peak when the tree did: the same call made both, or (a sum as large
 * as one of its addends) no other process held anything. */
static bool peaked_with(const struct memtrace_totals *tree, const struct memtrace_process *p)
{
	return p->peak_bytes && (p->peak_bytes == tree->peak_bytes ||
				 (p->peak_bytes < tree->peak_bytes && tree->peak_at_s >= 0 &&
				  p->peak_at_s == tree->peak_at_s));
}

static void take_tree(const struct memtrace_snapshot *snapshot, struct peak *peak)
{
	const struct memtrace_totals *tree = &snapshot->totals;
	const struct memtrace_process *whose = NULL;

	peak->bytes = tree->peak_bytes;
	peak->blocks = tree->peak_blocks;
	peak->at_s = tree->peak_at_s;
	for (size_t i = 0; i < peak->process_cnt; i++) {
		const struct memtrace_process *p = peak->processes[i].process;

		if (!peaked_with(tree, p))
			continue;
		if (!whose || p->peak_bytes > whose->peak_bytes ||
		    (p->peak_bytes == whose->peak_bytes && p->peak_at_s < whose->peak_at_s))
			whose = p;
	}
	peak->process = whose ? whose->id : 0;
	peak->share = whose ? (double)whose->peak_bytes / (double)tree->peak_bytes : NAN;
}

static double share_of(uint64_t bytes, const struct peak_process *p)
{
	if (!p || !p->process->peak_bytes)
		return NAN;
	return (double)bytes / (double)p->process->peak_bytes;
}

static struct peak_row row_of(const struct peak *peak, const struct group *group)
{
	const struct memtrace_site *site = group->biggest->site;
	const struct peak_process *p = find_process(peak, site->process);
	struct peak_row row = {
		.process = site->process,
		.site = site->id,
		.site_cnt = group->site_cnt,
		.over = p && p->over,
	};

	for (const struct group_member *m = group->biggest; m; m = m->next) {
		row.bytes_at_peak += m->site->bytes_at_peak;
		row.live_bytes += m->site->live_bytes;
		row.estimated |= m->site->estimates != NULL;
	}
	row.share = share_of(row.bytes_at_peak, p);
	return row;
}

static int row_order(const void *left, const void *right)
{
	const struct peak_row *a = left, *b = right;

	if (a->over != b->over)
		return a->over ? -1 : 1;
	if (a->bytes_at_peak != b->bytes_at_peak)
		return a->bytes_at_peak > b->bytes_at_peak ? -1 : 1;
	if (a->process != b->process)
		return a->process < b->process ? -1 : 1;
	if (!a->site || !b->site)
		return a->site ? -1 : b->site != 0;
	return a->site < b->site ? -1 : a->site > b->site;
}

static void add_row(struct peak *peak, struct peak_row row)
{
	peak->rows[peak->row_cnt++] = row;
	peak->over_rows += row.over;
	peak->over_bytes += row.over ? row.bytes_at_peak : 0;
}

static void add_unattributed(struct peak *peak)
{
	for (size_t i = 0; i < peak->process_cnt; i++) {
		const struct peak_process *p = &peak->processes[i];
		int64_t bytes = p->process->peak_unattributed_bytes;

		peak->over_processes += p->over;
		if (bytes <= 0) /* or not known */
			continue;
		add_row(peak, (struct peak_row){ .process = p->process->id,
						 .bytes_at_peak = (uint64_t)bytes,
						 .share = share_of((uint64_t)bytes, p),
						 .estimated = p->process->estimates != NULL,
						 .over = p->over });
	}
}

static int take_rows(const struct grouping *grouping, struct arena *arena, struct peak *peak)
{
	peak->rows = arena_array(arena, grouping->group_cnt + peak->process_cnt,
				 sizeof(*peak->rows));
	if (!peak->rows)
		return -ENOMEM;
	for (size_t i = 0; i < grouping->group_cnt; i++) {
		struct peak_row row = row_of(peak, &grouping->groups[i]);

		if (!row.bytes_at_peak)
			continue;
		row.sites = group_list_sites(&grouping->groups[i], arena);
		if (!row.sites)
			return -ENOMEM;
		add_row(peak, row);
	}
	add_unattributed(peak);
	if (peak->row_cnt)
		qsort(peak->rows, peak->row_cnt, sizeof(*peak->rows), row_order);
	return 0;
}

int peak_find(const struct memtrace_snapshot *snapshot, struct arena *arena, struct peak *peak)
{
	struct grouping grouping = { 0 };
	struct peak found = { 0 };
	struct arena scratch;
	int err;

	arena_init(&scratch);
	err = take_processes(snapshot, arena, &found);
	if (!err)
		err = grouping_make(snapshot, &by_peak, &scratch, &grouping);
	if (!err)
		err = take_rows(&grouping, arena, &found);
	arena_fini(&scratch);
	if (err)
		return err;
	take_tree(snapshot, &found);
	*peak = found;
	return 0;
}

uint64_t peak_rest_bytes(const struct peak *peak, size_t shown)
{
	uint64_t bytes = 0;

	for (size_t i = shown; i < peak->over_rows; i++)
		bytes += peak->rows[i].bytes_at_peak;
	return bytes;
}
