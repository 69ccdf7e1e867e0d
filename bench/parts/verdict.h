/* SPDX-License-Identifier: MIT */
/*
 * verdict.h - what memtrace promises of its cost, and what a grid says of that.
 *
 * A promise is one figure of a workload and a bound. Promises about what was not measured are not
 * decided: neither met nor missed.
 */
#ifndef BENCH_VERDICT_H
#define BENCH_VERDICT_H

#include <stddef.h>

#include "parts/grid.h"

enum verdict_outcome { VERDICT_MET, VERDICT_MISSED, VERDICT_UNDECIDED };

enum verdict_figure {
	VERDICT_RATIO,	 /* median over that of another variant */
	VERDICT_ADDED_NS /* median less that of another variant */
};

struct verdict {
	const char *sentence; /* "preload, exact, against heaptrack" */
	const char *workload, *variant, *against;
	enum verdict_figure figure;
	double most; /* met up to this */

	enum verdict_outcome outcome;
	double value;		       /* NAN when undecided */
	double variant_ns, against_ns; /* medians */
	struct spread rounds;	       /* of the same figure within each round */
};

extern const size_t verdict_cnt;

/* Fills verdict number i. */
void verdict_decide(const struct grid *grid, size_t i, struct verdict *verdict);

#endif
