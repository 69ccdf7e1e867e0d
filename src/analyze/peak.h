/* SPDX-License-Identifier: MIT */
/*
 * peak.h - what was live when the heap was at its largest.
 *
 * A process's peak is exact, and so is what its call paths held at it; where threads raced there,
 * what cannot be said to be any path's is a figure (and a row) of its own. Call paths that read the
 * same are one row (see grouping.h).
 *
 * The tree's peak is that of the sum over processes. What each of them held then is not kept; it is
 * known of a process whose own peak came with it, at the same time, or is as large: then no other
 * held anything.
 *
 * Rows come largest first; of equal ones the process that began first, then by site id, what is
 * nobody's last.
 */
#ifndef MEMTRACE_ANALYZE_PEAK_H
#define MEMTRACE_ANALYZE_PEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "memtrace/memtrace.h"

/* What a call path held at its process's peak. */
struct peak_row {
	uint64_t process;  /* id */
	uint64_t site;	   /* id; of merged ones the one that held most; 0: not attributed to any */
	uint64_t *sites;   /* every call path in the row, that one first */
	size_t site_cnt;
	uint64_t bytes_at_peak; /* never 0 */
	double share;		/* of the process's peak; NAN when that is unknown */
	uint64_t live_bytes; /* now, or at the process's end: the same blocks, or later ones */
	bool estimated;
	bool over; /* the peak is more than what the process still holds: see peak_process */
};

struct peak_process {
	const struct memtrace_process *process; /* has bytes, blocks and time of its peak */
	/* Of what was live at the peak no more than this can be live now (or at the process's end):
	 * of each call path the smaller of both figures. */
	uint64_t kept_bytes_max;
	/* Less than 95 % of the peak: there is more to say of it than what is live. */
	bool over;
};

struct peak {
	uint64_t bytes; /* of the tree */
	int64_t blocks; /* MEMTRACE_UNKNOWN of several processes */
	double at_s;
	uint64_t process; /* id of the largest that peaked with it; 0: none, or not known */
	double share; /* of that one in it; NAN without one */
	struct peak_process *processes; /* every one, in the snapshot's order */
	size_t process_cnt;
	struct peak_row *rows; /* rows of processes that are over come first */
	size_t row_cnt;
	size_t over_processes, over_rows;
	uint64_t over_bytes; /* of the rows that are over */
};

/* Rows live in the arena, and point into the snapshot. 0 or -ENOMEM. */
int peak_find(const struct memtrace_snapshot *snapshot, struct arena *arena, struct peak *peak);

/* Bytes at the peak of rows that are over, without the first so many: what a cut leaves out. */
uint64_t peak_rest_bytes(const struct peak *peak, size_t shown);

/* By id; NULL when there is none. */
const struct peak_process *peak_find_process(const struct peak *peak, uint64_t process);

#endif
