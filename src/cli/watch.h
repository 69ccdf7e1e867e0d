/* SPDX-License-Identifier: MIT */
/*
 * watch.h - keeps the series of a session while it runs, and says leaks as they show.
 *
 * It looks at the counters ten times a second at first, less often as the series gets longer (it
 * keeps about a hundred points, see model/series.h), and never more than takes 1 % of a processor.
 * Every --leak-interval it judges all curves; what is leaking is said once, with its stack. Where
 * reports come as often, they say it.
 *
 * Without memory for the series there is none, and verdicts say that growth is not known.
 */
#ifndef MEMTRACE_CLI_WATCH_H
#define MEMTRACE_CLI_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "cli/report.h"
#include "memtrace/memtrace.h"
#include "model/series.h"

struct watch {
	struct series *series; /* NULL: out of memory */
	double look_at_s, judge_at_s; /* by the clock of who calls */
	double judge_every_s;	      /* 0: never */
	uint64_t *said; /* call paths; owned */
	size_t said_cnt;
};

/* The session is ready. The report gets the series. */
void watch_begin(struct watch *watch, struct report *report, double now_s);
void watch_fini(struct watch *watch);

/* When there is something to do next. */
double watch_due_s(const struct watch *watch);

/* Does what is due. 0, or what made the session fail. */
int watch_step(struct watch *watch, struct memtrace *session, const struct report *report,
	       double now_s);

/* A snapshot that was taken for something else is one more point. */
void watch_take(struct watch *watch, struct report *report,
		const struct memtrace_snapshot *snapshot);

#endif
