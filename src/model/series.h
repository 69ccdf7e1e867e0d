/* SPDX-License-Identifier: MIT */
/*
 * series.h - how heaps went on: live bytes of the tree, of processes and of call paths over time.
 *
 * Snapshots are appended as they are taken; what is kept of them is bounded. Times are ticks, at
 * most SERIES_TICKS of them: when they are used up every second one goes and the distance doubles,
 * so that a series always reaches back to its beginning. The newest tick is always there; it moves
 * on until it is as far from the one before as the others are.
 *
 * A history is the points at which something changed, so one that never changes costs one point.
 * Call paths are known by their id. Time only goes forward: what is appended as earlier than the
 * newest tick is taken as of that tick. A process that is missing in a snapshot is over. Call paths
 * of a process that came and went between two ticks have no history.
 *
 * A curve is a history in full: a point for each tick of its process's life, strictly later than
 * the one before, and first of all 0 bytes when the account of the process began.
 */
#ifndef MEMTRACE_MODEL_SERIES_H
#define MEMTRACE_MODEL_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "memtrace/memtrace.h"

#define SERIES_TICKS 128
#define SERIES_POINTS (SERIES_TICKS + 1) /* of a curve, at most */

struct series_point {
	double t_s; /* since ready */
	uint64_t live_bytes;
	uint64_t alloc_bytes; /* allocated until then */
};

struct series;

/* NULL when memory ran out. max_bytes bounds the histories (0: 64 MiB): beyond it ticks go early,
 * then call paths that change are left out. */
struct series *series_new(size_t max_bytes);
void series_destroy(struct series *series); /* takes NULL */

/* Takes live_bytes and alloc_bytes of every process and site, and nothing else. Processes that
 * ended before the snapshot appended last may be missing. 0 or -ENOMEM; the series stays usable,
 * and may lack some of this snapshot's figures. */
int series_append(struct series *series, const struct memtrace_snapshot *snapshot);

/* How far apart snapshots have to be to be kept; nearer ones only move the newest tick. */
double series_step_s(const struct series *series);

size_t series_tick_cnt(const struct series *series);

/* Histories that were left out or cut short by max_bytes. */
size_t series_left_out(const struct series *series);

/* Memory the histories take. */
size_t series_bytes(const struct series *series);

/* Curves, into room for SERIES_POINTS; the number of points, 0 when there is no such history. Of
 * several sites of one process: their sum. Of the tree: what runs. */
size_t series_of_tree(const struct series *series, struct series_point *points);
size_t series_of_process(const struct series *series, uint64_t process,
			 struct series_point *points);
size_t series_of_sites(const struct series *series, uint64_t process, const uint64_t *sites,
		       size_t site_cnt, struct series_point *points);

#endif
