/* SPDX-License-Identifier: MIT */
/*
 * grid.h - the figures of a comparison: workloads down, variants across. Plain data; a test makes
 * one by hand.
 *
 *	           untraced   exact   heaptrack
 *	pairs-16   5.4 ns     700 ns  970 ns       a cell has a value for each round it ran in
 *	redis      9.1 us     12 us   skipped: why
 *
 * Times are nanoseconds for one unit of the workload, so that variants may do different amounts of
 * it. The first variant is what others are compared with. A round's values were measured one after
 * another, so ratios of one round are free of slow drift.
 */
#ifndef BENCH_GRID_H
#define BENCH_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "parts/spread.h"

#define GRID_WORKLOADS 8
#define GRID_VARIANTS 16
#define GRID_ROUNDS 99
#define GRID_WHY 160

enum grid_kind { GRID_UNTRACED, GRID_FLOOR, GRID_OURS, GRID_PEER };

struct grid_workload {
	const char *name, *title, *unit; /* unit: "pair" */
	char skipped[GRID_WHY];		 /* why it could not be run; "": it was */
	double others; /* processors busy with something else meanwhile: the fewer the better */
};

struct grid_variant {
	const char *name, *title;
	enum grid_kind kind;
};

struct grid_cell {
	double ns[GRID_ROUNDS];	     /* NAN: not run in this round, or did not count */
	double start_s[GRID_ROUNDS]; /* from its start to the work's */
	double end_s[GRID_ROUNDS];   /* from the work's end to its own */
	uint64_t allocs;	     /* that the tool counted in the last run; 0: it does not say */
	unsigned int rejected;	     /* runs that did not count */
	char skipped[GRID_WHY];	     /* why it is not there at all; "": it is */
	char why[GRID_WHY];	     /* what was wrong with the last run that was rejected */
};

struct grid {
	struct grid_workload workloads[GRID_WORKLOADS];
	struct grid_variant variants[GRID_VARIANTS];
	struct grid_cell cells[GRID_WORKLOADS][GRID_VARIANTS];
	size_t workload_cnt, variant_cnt, round_cnt;
	char machine[GRID_WHY]; /* kernel, processor */
};

/* Nothing measured yet; no workloads, no variants. */
void grid_init(struct grid *grid);

/* Index by name, or SIZE_MAX. */
size_t grid_find_workload(const struct grid *grid, const char *name);
size_t grid_find_variant(const struct grid *grid, const char *name);

struct spread grid_time(const struct grid *grid, size_t workload, size_t variant);

/* Median over the median untraced; NAN where one of them is not known. */
double grid_ratio(const struct grid *grid, size_t workload, size_t variant);

/* Of the ratios to untraced within each round. */
struct spread grid_round_ratios(const struct grid *grid, size_t workload, size_t variant);

#endif
