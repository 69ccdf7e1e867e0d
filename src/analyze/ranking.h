/* SPDX-License-Identifier: MIT */
/*
 * ranking.h - processes in the order of what they hold.
 *
 * Most live bytes first; of equals the higher peak first, then in the order they began.
 */
#ifndef MEMTRACE_ANALYZE_RANKING_H
#define MEMTRACE_ANALYZE_RANKING_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "memtrace/memtrace.h"

struct ranking {
	const struct memtrace_process **rows;
	size_t row_cnt;	       /* every process of the snapshot */
	size_t incomplete_cnt; /* processes whose first part was missed; see ranking_incomplete() */
	size_t attached_cnt;   /* processes whose earlier heap is unknown */
	size_t running_cnt;
	/* of processes that run; what ended ones left behind is not live any more */
	uint64_t running_bytes, running_blocks;
	uint64_t left_bytes; /* by processes that ended, at their ends */
	size_t estimated_cnt; /* processes whose figures are estimates */
	struct memtrace_estimate running_bytes_95, running_blocks_95; /* when there are any */
	uint64_t filter_bytes; /* in processes that run, for telling sampled frees */
};

/* Rows live in the arena and point into the snapshot. 0 or -ENOMEM. */
int ranking_find(const struct memtrace_snapshot *snapshot, struct arena *arena,
		 struct ranking *ranking);

/* True when the process began under our eyes and was followed late, or never. */
bool ranking_incomplete(const struct memtrace_process *process);

#endif
