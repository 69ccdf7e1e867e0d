/* SPDX-License-Identifier: MIT */
#include "analyze/ranking.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "model/estimate.h"

bool ranking_incomplete(const struct memtrace_process *process)
{
	return !isnan(process->followed_after_s) && process->followed_after_s != 0;
}

static int process_order(const void *left, const void *right)
{
	const struct memtrace_process *a = *(const struct memtrace_process *const *)left;
	const struct memtrace_process *b = *(const struct memtrace_process *const *)right;

	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	if (a->peak_bytes != b->peak_bytes)
		return a->peak_bytes > b->peak_bytes ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return 0;
}

static void add_running(struct ranking *ranking, const struct memtrace_process *process)
{
	const struct memtrace_estimates *estimates = process->estimates;

	ranking->running_cnt++;
	ranking->running_bytes += process->live_bytes;
	ranking->running_blocks += process->live_blocks;
	if (process->filter_bytes != MEMTRACE_UNKNOWN)
		ranking->filter_bytes += (uint64_t)process->filter_bytes;
	if (estimates) {
		estimate_add(&ranking->running_bytes_95, &estimates->live_bytes);
		estimate_add(&ranking->running_blocks_95, &estimates->live_blocks);
	} else {
		estimate_add_exact(&ranking->running_bytes_95, process->live_bytes);
		estimate_add_exact(&ranking->running_blocks_95, process->live_blocks);
	}
}

int ranking_find(const struct memtrace_snapshot *snapshot, struct arena *arena,
		 struct ranking *ranking)
{
	struct ranking found = { .row_cnt = snapshot->process_cnt };

	found.rows = arena_array(arena, found.row_cnt, sizeof(*found.rows));
	if (!found.rows)
		return -ENOMEM;
	for (size_t i = 0; i < found.row_cnt; i++) {
		const struct memtrace_process *process = &snapshot->processes[i];

		found.rows[i] = process;
		found.incomplete_cnt += ranking_incomplete(process);
		found.attached_cnt += process->since_attach;
		found.estimated_cnt += process->estimates != NULL;
		if (process->ended_by == MEMTRACE_RUNNING)
			add_running(&found, process);
		else
			found.left_bytes += process->live_bytes;
	}
	estimate_bound(&found.running_bytes_95, found.running_bytes, estimate_bytes_step(snapshot));
	estimate_bound(&found.running_blocks_95, found.running_blocks, estimate_blocks_step(snapshot));
	if (found.row_cnt)
		qsort(found.rows, found.row_cnt, sizeof(*found.rows), process_order);
	*ranking = found;
	return 0;
}
