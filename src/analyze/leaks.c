/* SPDX-License-Identifier: MIT */
#include "analyze/leaks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/verdict.h"
#include "model/estimate.h"
#include "model/snapshot.h"

/* A site on its way into a row. Sites of one call path are linked, the biggest first. */
struct member {
	const struct memtrace_site *site;
	struct member *next;
};

struct group {
	uint64_t hash;
	struct member *biggest;
	size_t site_cnt;
};

/* Groups found so far, by the hash of their call path. */
struct grouping {
	struct group *groups;
	size_t group_cnt;
	uint32_t *slots; /* number of the group + 1; open addressing, at most half full */
	size_t slot_mask;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

static uint64_t mix_string(uint64_t hash, const char *string)
{
	while (string && *string)
		hash = (hash ^ (unsigned char)*string++) * 0x100000001b3;
	return mix(hash, 0);
}

static uint64_t path_hash(const struct memtrace_site *site)
{
	uint64_t hash = mix(site->process, site->frame_cnt);

	for (uint32_t i = 0; i < site->frame_cnt; i++) {
		hash = mix_string(hash, site->frames[i].module);
		hash = mix(hash, site->frames[i].offset);
	}
	return hash;
}

static bool same_string(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_path(const struct memtrace_site *a, const struct memtrace_site *b)
{
	if (a->process != b->process || a->frame_cnt != b->frame_cnt ||
	    a->stack_end != b->stack_end)
		return false;
	for (uint32_t i = 0; i < a->frame_cnt; i++)
		if (a->frames[i].offset != b->frames[i].offset ||
		    !same_string(a->frames[i].module, b->frames[i].module))
			return false;
	return true;
}

static bool bigger(const struct memtrace_site *a, const struct memtrace_site *b)
{
	if (a->aged_bytes != b->aged_bytes)
		return a->aged_bytes > b->aged_bytes;
	if (a->aged_blocks != b->aged_blocks)
		return a->aged_blocks > b->aged_blocks;
	return a->id < b->id;
}

static void group_add(struct group *group, struct member *member)
{
	struct member **at = &group->biggest;

	while (*at && bigger((*at)->site, member->site))
		at = &(*at)->next;
	member->next = *at;
	*at = member;
	group->site_cnt++;
}

static struct group *grouping_find(struct grouping *grouping, const struct memtrace_site *site)
{
	uint64_t hash = path_hash(site);
	size_t slot = hash & grouping->slot_mask;
	struct group *group;

	for (; grouping->slots[slot]; slot = (slot + 1) & grouping->slot_mask) {
		group = &grouping->groups[grouping->slots[slot] - 1];
		if (group->hash == hash && same_path(group->biggest->site, site))
			return group;
	}
	group = &grouping->groups[grouping->group_cnt++];
	group->hash = hash;
	grouping->slots[slot] = (uint32_t)grouping->group_cnt;
	return group;
}

static int group_sites(const struct memtrace_snapshot *snapshot, struct arena *scratch,
		       struct grouping *grouping)
{
	struct member *members;
	size_t cnt = 0, slot_cnt = 16;

	for (size_t i = 0; i < snapshot->site_cnt; i++)
		cnt += snapshot->sites[i].aged_blocks != 0;
	if (cnt >= UINT32_MAX / 2)
		return -ENOMEM;
	while (slot_cnt < cnt * 2)
		slot_cnt *= 2;
	members = arena_array(scratch, cnt, sizeof(*members));
	grouping->groups = arena_array(scratch, cnt, sizeof(*grouping->groups));
	grouping->slots = arena_array(scratch, slot_cnt, sizeof(*grouping->slots));
	grouping->slot_mask = slot_cnt - 1;
	if (!members || !grouping->groups || !grouping->slots)
		return -ENOMEM;

	for (size_t i = 0; i < snapshot->site_cnt; i++) {
		const struct memtrace_site *site = &snapshot->sites[i];

		if (!site->aged_blocks)
			continue;
		members->site = site;
		group_add(grouping_find(grouping, site), members++);
	}
	return 0;
}

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

	for (const struct member *m = group->biggest; m; m = m->next) {
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

static int leak_list_sites(struct leak *leak, const struct group *group, struct arena *arena)
{
	size_t i = 0;

	leak->sites = arena_array(arena, group->site_cnt, sizeof(*leak->sites));
	if (!leak->sites)
		return -ENOMEM;
	for (const struct member *m = group->biggest; m; m = m->next)
		leak->sites[i++] = m->site->id;
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
		if (leak_list_sites(&leak, &grouping->groups[i], arena))
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
	err = group_sites(snapshot, &scratch, &grouping);
	if (!err)
		err = leaks_fill(snapshot, &grouping, arena, &found);
	arena_fini(&scratch);
	if (!err)
		*result = found;
	return err;
}
