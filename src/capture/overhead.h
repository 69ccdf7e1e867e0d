/* SPDX-License-Identifier: MIT */
/*
 * overhead.h - measures, while the session runs, what tracing costs its targets.
 *
 *	runs of the probes' programs and their time	the kernel's own statistics of them
 *	+ the trap that leads to each			measured on ourselves (trap.h)
 *	of the targets' CPU time			their clocks (cpu_time.h)
 *
 * The kernel's statistics cost 0.1 us a run, so where there are many runs they are on for a short
 * window now and then. In between the cost is that of a call in the latest windows, times the calls
 * that the tables counted. A timer in the session's epoll set moves that along.
 *
 * What the preload library does for a call that it keeps, to tell it later, is a constant. Not in
 * it: what comes once for a process (probes being placed, libraries loaded), and what the library
 * takes for a call that it leaves out of a sample (some ns).
 */
#ifndef CAPTURE_OVERHEAD_H
#define CAPTURE_OVERHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/cpu_time.h"
#include "capture/programs.h"
#include "capture/trap.h"
#include "memtrace/memtrace.h"

#define OVERHEAD_WINDOWS 5

/* Figures of accounts whose slots are, or may be, somebody else's now. */
struct overhead_gone {
	int64_t live_blocks;
	uint64_t reallocs, failed, unknown, inherited;
};

struct overhead_reading {
	uint64_t at_ns;
	uint64_t calls; /* never less than before */
	struct programs_work work;
};

struct overhead_meter {
	struct trap_meter *trap;
	struct trap_costs costs;
	struct cpu_time cpu;
	struct overhead_gone gone;
	uint32_t stepped;	/* bit of enum mt_call: the kernel single-steps there */
	int timer_fd, stats_fd; /* stats_fd: -1 between windows */
	bool known;		/* everything could be measured so far */
	uint64_t gap_ns;	/* until the next window */
	bool stopped;
	uint64_t stopped_ns;

	struct overhead_reading from;
	double per_call_ns[OVERHEAD_WINDOWS]; /* a ring */
	size_t window_cnt;
	double cost_ns;		 /* up to from, but for these: */
	uint64_t unpriced_calls; /* between the last window and the next */

	struct memtrace_overhead checked; /* sums at the latest check, or at the end */
	struct memtrace_overhead recent;  /* between the latest two checks; time_s 0: none yet */
	unsigned int passed_cnt;	  /* intervals in a row that passed the maximum */
	double passed_percent;		  /* by how much, when that was for too long; else 0 */
	uint64_t widened_ns;		  /* when sampling was widened last; and why: */
	double widened_percent;
};

struct memtrace;

/* Begins to measure what a trap costs. Never fails: what cannot be measured is unknown. */
void overhead_init(struct overhead_meter *meter);
void overhead_fini(struct overhead_meter *meter);

/* Accounts can be had. Just before anything is counted. */
int overhead_start(struct memtrace *s);

/* The timer, or any other moment: looks whether something is due. */
void overhead_poll(struct memtrace *s);

/* An account has ended, a moment ago; and it is copied, and its slot will be another one's. */
void overhead_account_ends(struct memtrace *s, uint32_t slot);
void overhead_account_ended(struct memtrace *s, uint32_t slot);

/* The latest interval; false when there was none yet. */
bool overhead_recent(const struct memtrace *s, struct memtrace_overhead *recent);

/* Tracing is about to end: what is known then stays. */
void overhead_stop(struct memtrace *s);

/* Of the whole session, for a snapshot whose totals and duration are there. */
void overhead_take(struct memtrace *s, struct memtrace_snapshot *snapshot);

#endif
