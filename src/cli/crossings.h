/* SPDX-License-Identifier: MIT */
/*
 * crossings.h - which crossings of the limit were said: each is, once, by the first snapshot that
 * has it. Who crosses does so once, a process its own limit or that of its tree, so its id will do.
 */
#ifndef MEMTRACE_CLI_CROSSINGS_H
#define MEMTRACE_CLI_CROSSINGS_H

#include <stddef.h>
#include <stdint.h>

#include "cli/report.h"
#include "memtrace/memtrace.h"

struct crossings {	/* begins zeroed */
	uint64_t *said; /* ids of the crossers; owned */
	size_t cnt;
};

/* Says those of the snapshot that were not said yet. */
void crossings_say(struct crossings *crossings, const struct report *report,
		   const struct memtrace_snapshot *snapshot);
void crossings_fini(struct crossings *crossings);

#endif
