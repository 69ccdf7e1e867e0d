/* SPDX-License-Identifier: MIT */
/*
 * analysis.h - what every analyzer found in one snapshot, for the outputs.
 *
 * The analysis owns its rows and points into the snapshot, which must outlive it.
 */
#ifndef MEMTRACE_ANALYZE_ANALYSIS_H
#define MEMTRACE_ANALYZE_ANALYSIS_H

#include "analyze/forecast.h"
#include "analyze/leaks.h"
#include "analyze/overhead.h"
#include "analyze/peak.h"
#include "analyze/pressure.h"
#include "analyze/ranking.h"
#include "analyze/rates.h"
#include "base/arena.h"
#include "memtrace/memtrace.h"

struct analysis_params {
	struct leaks_params leaks;
};

struct analysis {
	struct leaks_result leaks;
	struct peak peak;
	struct ranking ranking;
	struct pressure pressure;
	struct rates rates;
	struct overhead overhead;
	struct forecast forecast;
	struct arena arena;
};

/* params NULL: everything, uncut. 0 or -ENOMEM; on failure there is nothing to end. */
int analysis_init(struct analysis *analysis, const struct memtrace_snapshot *snapshot,
		  const struct analysis_params *params);
void analysis_fini(struct analysis *analysis);

#endif
