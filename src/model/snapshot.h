/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - making and asking a struct memtrace_snapshot.
 *
 * A snapshot made by snapshot_new() owns an arena (its .arena) that holds the struct's strings and
 * arrays; memtrace_snapshot_free() ends all at once. Fields that are not set read as "nothing
 * happened" where that is a figure, and as unknown where 0 would be a claim.
 *
 * The add functions return the new row, zeroed but for the unknowns, or NULL when memory ran out;
 * the snapshot is then as it was. A row may move at the next add of its kind: keep ids, not
 * pointers.
 */
#ifndef MEMTRACE_MODEL_SNAPSHOT_H
#define MEMTRACE_MODEL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "memtrace/memtrace.h"

/* NULL when memory ran out. */
struct memtrace_snapshot *snapshot_new(void);

/* For whatever else is to live as long as the snapshot. */
struct arena *snapshot_arena(struct memtrace_snapshot *snapshot);

/* The one copy of a string in this snapshot; NULL for NULL, or when memory ran out. */
const char *snapshot_intern(struct memtrace_snapshot *snapshot, const char *string);

/* Room for so many rows in all, so that adding them copies nothing. 0 or -ENOMEM. */
int snapshot_reserve(struct memtrace_snapshot *snapshot, size_t process_cnt, size_t site_cnt);

struct memtrace_process *snapshot_add_process(struct memtrace_snapshot *snapshot, uint64_t id);

/* With room for frame_cnt frames, all unknown. */
struct memtrace_site *snapshot_add_site(struct memtrace_snapshot *snapshot, uint64_t id,
					uint64_t process, uint32_t frame_cnt);

enum snapshot_counters { SNAPSHOT_LOSSES, SNAPSHOT_NOTICES, SNAPSHOT_STACK_QUALITY };

/* name and text are interned. */
struct memtrace_counter *snapshot_add_counter(struct memtrace_snapshot *snapshot,
					      enum snapshot_counters kind, const char *name,
					      const char *text, uint64_t value);

/* A copy of the crossing, in its place by time; the first of all is the limit's too. */
struct memtrace_crossing *snapshot_add_crossing(struct memtrace_snapshot *snapshot,
						struct memtrace_crossing crossing);

/* By id; NULL when there is none. Quick when rows were added in the order of their ids. */
const struct memtrace_process *snapshot_find_process(const struct memtrace_snapshot *snapshot,
						     uint64_t id);
const struct memtrace_site *snapshot_find_site(const struct memtrace_snapshot *snapshot,
					       uint64_t id);

/* Why the site's stack ended; NULL when the snapshot does not say. */
const struct memtrace_counter *snapshot_stack_end(const struct memtrace_snapshot *snapshot,
						  const struct memtrace_site *site);

/* True when nothing is known to be missing at the root end of the site's stack. */
bool snapshot_stack_complete(const struct memtrace_snapshot *snapshot,
			     const struct memtrace_site *site);

/* Accounting events missed, all causes. */
uint64_t snapshot_losses(const struct memtrace_snapshot *snapshot);

#endif
