/* SPDX-License-Identifier: MIT */
/* overhead.h - what tracing cost the targets, as the reports say it. src/model/overhead.h has what
 * is what. */
#ifndef MEMTRACE_ANALYZE_OVERHEAD_H
#define MEMTRACE_ANALYZE_OVERHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "memtrace/memtrace.h"

/* NAN is unknown. */
struct overhead {
	uint64_t calls;
	double calls_per_s, ns_per_call;
	double cost_s, cpu_s;
	double share, slowdown;
	bool ended; /* tracing ended because it slowed the targets down by more than max_percent */
	bool widened; /* the same, but only the sample was widened */
	double max_percent, ended_at_s, ended_percent, widened_at_s, widened_percent;
};

struct overhead overhead_of(const struct memtrace_overhead *measured);

#endif
