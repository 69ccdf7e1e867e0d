/* SPDX-License-Identifier: MIT */
/*
 * grouping.h - sites that read the same, together.
 *
 * Call paths of one process read the same when module and offset are equal in every frame, and
 * both were cut in the same way: the same code mapped twice is one path. Different processes never
 * share a group.
 */
#ifndef MEMTRACE_ANALYZE_GROUPING_H
#define MEMTRACE_ANALYZE_GROUPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "memtrace/memtrace.h"

struct grouping_rule {
	bool (*takes)(const struct memtrace_site *site);
	/* Whether a goes before b: an order in which no two sites are equal. */
	bool (*bigger)(const struct memtrace_site *a, const struct memtrace_site *b);
};

struct group_member {
	const struct memtrace_site *site;
	struct group_member *next;
};

struct group {
	uint64_t hash;
	struct group_member *biggest; /* first of them all, in the order of the rule */
	size_t site_cnt;
};

struct grouping {
	struct group *groups; /* in the order of their first sites */
	size_t group_cnt;
	uint32_t *slots; /* number of the group + 1; open addressing, at most half full */
	size_t slot_mask;
};

/* Groups the sites that the rule takes. All of it lives in the arena and points into the snapshot.
 * 0 or -ENOMEM. */
int grouping_make(const struct memtrace_snapshot *snapshot, const struct grouping_rule *rule,
		  struct arena *arena, struct grouping *grouping);

/* The ids of the group's site_cnt sites, in its order; NULL when memory ran out. */
uint64_t *group_list_sites(const struct group *group, struct arena *arena);

#endif
