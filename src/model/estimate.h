/* SPDX-License-Identifier: MIT */
/*
 * estimate.h - how far an estimate may be off: the 95 % interval of a sum over sampled blocks.
 *
 * A block that was taken with probability p stands for count = 1/p blocks, so the sum of x * count
 * over the sample has no bias, and the sum of x * x * count * (count - 1) over it is an estimate of
 * that sum's variance, also without bias (Horvitz and Thompson). Variances of different blocks add
 * up.
 *
 * The interval is not the estimate plus and minus two standard deviations: of a small sample the
 * variance is as much a matter of luck as the sum, and of an empty one it is 0. It holds every
 * truth whose own sample would have been as far off with that chance (Wilson's interval, with the
 * variance in proportion to the sum). Both are one as samples grow: of 100 blocks it is 0.5 %
 * wider, of ten 5 %.
 *
 * The variance for each unit of the sum is a block's step: x * (count - 1). Below, it is taken as
 * the mean; above, where blocks that stand for many and were missed make the difference, the mean
 * weighed by variance: skew / variance, skew being the sum of variance times step.
 */
#ifndef MEMTRACE_MODEL_ESTIMATE_H
#define MEMTRACE_MODEL_ESTIMATE_H

#include <stdint.h>

#include "memtrace/memtrace.h"

#define ESTIMATE_NO_STEP 0.0

/* Fills in low and high; the rest is there. What was not seen at all may be of another kind than
 * what was: step is how large its steps may be (ESTIMATE_NO_STEP: as large as those seen; INFINITY:
 * nobody knows). */
void estimate_bound(struct memtrace_estimate *estimate, uint64_t value, double step);

/* The largest steps that the way of sampling lets be, of sums over blocks of any kind; 0 where it
 * says nothing of that. */
double estimate_blocks_step(const struct memtrace_snapshot *snapshot);
double estimate_bytes_step(const struct memtrace_snapshot *snapshot);

/* The mean step; 0 of nothing. */
double estimate_step(const struct memtrace_estimate *estimate, uint64_t value);

/* Adds all but low and high, which are to be made anew then. exact is added as something certain.
 */
void estimate_add(struct memtrace_estimate *sum, const struct memtrace_estimate *more);
void estimate_add_exact(struct memtrace_estimate *sum, uint64_t exact);

#endif
