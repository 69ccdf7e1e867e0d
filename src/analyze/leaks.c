/* SPDX-License-Identifier: MIT */
#include "analyze/leaks.h"

#include <errno.h>
#include <stdlib.h>

#include "analyze/grouping.h"
#include "analyze/verdict.h"
#include "model/estimate.h"
#include "model/snapshot.h"

static bool has_aged(const struct memtrace_site *site)
{
	return site->aged_blocks != 0;
}

static bool bigger(const struct memtrace_site *a, const struct memtrace_site *b)
{
	if (a->aged_bytes != b->aged_bytes)
		return a->aged_bytes > b->aged_bytes;
	if (a->aged_blocks != b->aged_blocks)
		return a->aged_blocks > b->aged_blocks;
	return a->id < b->id;
}

static const struct grouping_rule by_aged = { .takes = has_aged, .bigger = bigger };

/* Sums of variances, and of what is certain. */
static void leak_add_estimates(struct leak *leak, const struct memtrace_site *site)
{
	if (site->estimates) {
		leak->estimated = true;
		estimate_add(&leak->blocks_95, &site->estimates->aged_blocks);
		estimate_add(&leak->bytes_95, &site->estimates->aged_bytes);
	} else {
		estimate_add_exact(&leak->blocks_95, site->aged_blocks);
		estimate_add_exact(&leak->bytes_95, site->aged_bytes);
	}
}

static struct leak leak_of(const struct memtrace_snapshot *snapshot, const struct group *group)
{
	const struct memtrace_site *site = group->biggest->site;
	const struct memtrace_process *process = snapshot_find_process(snapshot, site->process);
	struct leak leak = {
		.site = site->id,
		.process = site->process,
		.oldest_age_s = -1,
		.youngest_age_s = -1,
		.ended = process && process->ended_by != MEMTRACE_RUNNING,
		.site_cnt = group->site_cnt,
	};

	for (const struct group_member *m = group->biggest; m; m = m->next) {
		double youngest_s = m->site->aged_youngest_s;

		leak.live_blocks += m->site->aged_blocks;
		leak.live_bytes += m->site->aged_bytes;
		leak_add_estimates(&leak, m->site);
		/* the oldest live block is the oldest aged one too */
		if (m->site->oldest_age_s > leak.oldest_age_s)
			leak.oldest_age_s = m->site->oldest_age_s;
		if (youngest_s >= 0 &&
		    (leak.youngest_age_s < 0 || youngest_s < leak.youngest_age_s))
			leak.youngest_age_s = youngest_s;
	}
	estimate_bound(&leak.blocks_95, leak.live_blocks, ESTIMATE_NO_STEP);
	estimate_bound(&leak.bytes_95, leak.live_bytes, ESTIMATE_NO_STEP);
	return leak;
}

static int leak_order(const void *left, const void *right)
{
	const struct leak *a = left, *b = right;

	if (a->verdict != b->verdict)
		return a->verdict < b->verdict ? -1 : 1;
	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	if (a->oldest_age_s != b->oldest_age_s)
		return a->oldest_age_s > b->oldest_age_s ? -1 : 1;
	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	return 0;
}

static int leaks_fill(const struct memtrace_snapshot *snapshot, const struct grouping *grouping,
		      struct arena *arena, struct leaks_result *result)
{
	size_t keep;

	result->rows = arena_array(arena, grouping->group_cnt, sizeof(*result->rows));
	if (!result->rows)
		return -ENOMEM;
	for (size_t i = 0; i < grouping->group_cnt; i++) {
		struct leak leak = leak_of(snapshot, &grouping->groups[i]);

		if (leak.live_bytes < result->params.min_bytes) {
			result->small_rows++;
			result->small_blocks += leak.live_blocks;
			result->small_bytes += leak.live_bytes;
			continue;
		}
		leak.sites = group_list_sites(&grouping->groups[i], arena);
		if (!leak.sites)
			return -ENOMEM;
		result->total_blocks += leak.live_blocks;
		result->total_bytes += leak.live_bytes;
		result->estimated |= leak.estimated;
		estimate_add(&result->total_blocks_95, &leak.blocks_95);
		estimate_add(&result->total_bytes_95, &leak.bytes_95);
		result->rows[result->total_rows++] = leak;
	}
	estimate_bound(&result->total_blocks_95, result->total_blocks, ESTIMATE_NO_STEP);
	estimate_bound(&result->total_bytes_95, result->total_bytes, ESTIMATE_NO_STEP);
	verdicts_find(snapshot, result);
	if (result->total_rows)
		qsort(result->rows, result->total_rows, sizeof(*result->rows), leak_order);
	keep = result->params.top;
	result->row_cnt = keep && keep < result->total_rows ? keep : result->total_rows;
	return 0;
}

int leaks_find(const struct memtrace_snapshot *snapshot, const struct leaks_params *params,
	       struct arena *arena, struct leaks_result *result)
{
	struct leaks_result found = { 0 };
	struct grouping grouping = { 0 };
	struct arena scratch;
	int err;

	if (params)
		found.params = *params;
	arena_init(&scratch);
	err = grouping_make(snapshot, &by_aged, &scratch, &grouping);
	if (!err)
		err = leaks_fill(snapshot, &grouping, arena, &found);
	arena_fini(&scratch);
	if (!err)
		*result = found;
	return err;
}
