/* SPDX-License-Identifier: MIT */
/*
 * rates.h - how fast memory is asked for and given back.
 *
 * A final report is asked about the whole run, a live one about the last interval. The first
 * snapshot of a session has no interval before it, so it too speaks of the whole time.
 */
#ifndef MEMTRACE_ANALYZE_RATES_H
#define MEMTRACE_ANALYZE_RATES_H

#include <stdbool.h>

#include "memtrace/memtrace.h"

struct rates {
	double allocs_per_s, frees_per_s, bytes_per_s; /* NAN when unknown */
	double over_s; /* the time they are of; NAN when unknown */
	bool whole_run;
};

struct rates rates_of(const struct memtrace_snapshot *snapshot);

#endif
