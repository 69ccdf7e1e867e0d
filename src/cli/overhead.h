/* SPDX-License-Identifier: MIT */
/*
 * overhead.h - remarks on what tracing does to the targets, while it does it.
 *
 * Who was attached to is told about once, as soon as it is known, if tracing takes a noticeable
 * part of its time (or with --verbose); that a sample was widened is said each time.
 */
#ifndef MEMTRACE_CLI_OVERHEAD_H
#define MEMTRACE_CLI_OVERHEAD_H

#include <stdbool.h>

#include "cli/options.h"
#include "memtrace/memtrace.h"

struct overhead_news {
	bool projected;
	double widened_at_s; /* the last one said */
};

/* Says what is new. Cheap when nothing is. */
void overhead_news_say(struct overhead_news *news, const struct cli_options *options,
		       const struct memtrace *session);

#endif
