/* SPDX-License-Identifier: MIT */
/*
 * snapshot_fixture.h - snapshots made by hand, in few words.
 *
 * Out of memory here is the machine's trouble, not a case: it is asserted away.
 */
#ifndef TESTS_SNAPSHOT_FIXTURE_H
#define TESTS_SNAPSHOT_FIXTURE_H

#include <assert.h>
#include <math.h>
#include <stddef.h>

#include "memtrace/memtrace.h"
#include "model/snapshot.h"

/* Where a stack ended, as indices of stack_quality. */
enum { END_COMPLETE, END_BROKEN, END_OFF };

static inline struct memtrace_snapshot *fixture_new(const char *target)
{
	struct memtrace_snapshot *s = snapshot_new();

	assert(s);
	s->tool_version = "1.2.3";
	s->target = target;
	s->lane = "uprobe";
	s->final = true;
	s->duration_s = 12.5;
	s->min_age_s = 10;
	snapshot_add_counter(s, SNAPSHOT_LOSSES, "table_full", "live table was full", 0);
	snapshot_add_counter(s, SNAPSHOT_LOSSES, "probe_missed", "the kernel skipped a probe", 0);
	snapshot_add_counter(s, SNAPSHOT_NOTICES, "stale_entries", "calls that never returned", 0);
	snapshot_add_counter(s, SNAPSHOT_STACK_QUALITY, "complete", "ended at a root frame", 0);
	snapshot_add_counter(s, SNAPSHOT_STACK_QUALITY, "broken_chain",
			     "the next frame pointer made no sense", 0);
	snapshot_add_counter(s, SNAPSHOT_STACK_QUALITY, "not_recorded", "stacks are off", 0);
	return s;
}

/* A process that ran to its end: status 0, followed from its start. */
static inline struct memtrace_process *fixture_process(struct memtrace_snapshot *s, uint64_t id,
						       pid_t pid, const char *comm)
{
	struct memtrace_process *p = snapshot_add_process(s, id);

	assert(p);
	p->pid = pid;
	p->ppid = 1;
	p->comm = comm;
	p->exe = "/usr/bin/bench";
	p->lane = "uprobe";
	p->ended_by = MEMTRACE_ENDED_EXIT;
	p->ended_s = 12.25;
	return p;
}

/* All of the site's live blocks are old: ages in seconds, youngest first. */
static inline struct memtrace_site *fixture_site(struct memtrace_snapshot *s, uint64_t id,
						 uint64_t process, uint64_t blocks, uint64_t bytes,
						 double youngest_s, double oldest_s,
						 const struct memtrace_frame *frames,
						 uint32_t frame_cnt)
{
	struct memtrace_site *site = snapshot_add_site(s, id, process, frame_cnt);

	assert(site);
	site->live_blocks = site->alloc_blocks = site->aged_blocks = blocks;
	site->live_bytes = site->alloc_bytes = site->aged_bytes = bytes;
	site->peak_bytes = site->bytes_at_peak = bytes;
	site->youngest_age_s = site->aged_youngest_s = youngest_s;
	site->oldest_age_s = oldest_s;
	for (uint32_t i = 0; i < frame_cnt; i++)
		site->frames[i] = frames[i];
	return site;
}

/* Of a row that is from a sample; all zero. */
static inline struct memtrace_estimates *fixture_estimates(struct memtrace_snapshot *s)
{
	struct memtrace_estimates *e = arena_alloc(snapshot_arena(s), sizeof(*e));

	assert(e);
	return e;
}

#endif
