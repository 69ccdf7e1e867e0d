/* SPDX-License-Identifier: MIT */
/*
 * sample.h - which allocations are taken, and what each stands for.
 *
 * A sampler belongs to one thread. It counts down to the next allocation to take: bytes or calls,
 * whatever a rule says. Distances are drawn from the exponential (bytes) or geometric (calls)
 * distribution, both without memory: a countdown may be thrown away and drawn anew at any time.
 *
 * The estimates are those of Horvitz and Thompson: what is taken with probability p stands for 1/p
 * of itself. Weights are whole numbers, rounded up with the probability of the fraction cut off, so
 * the rounding has no bias; rounded to nearest, a site with blocks of one size would keep one.
 *
 * No libm: the logarithm and the exponential here are good to some 1e-13 (tested against libm's).
 */
#ifndef PRELOAD_SAMPLE_H
#define PRELOAD_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "memtrace/preload.h"

/* What a configuration asks for, in the form in which it is used. */
struct sample_rule {
	enum mt_preload_mode mode;
	double mean_bytes;  /* BY_BYTES */
	double probability; /* BY_CALLS */
};

struct sample_weight {
	uint64_t bytes;
	uint64_t count; /* 0: not taken */
};

struct sampler {
	struct sample_rule rule;
	uint64_t random; /* state of the generator */
	/*
	 * What is left until one is taken; negative: the one that made it so is. Each allocation
	 * takes away size & step_mask, or 1 where that is 0.
	 */
	int64_t left;
	uint64_t step_mask;
};

/* A rule from what the page says; numbers out of range are taken as the nearest that is in it. */
struct sample_rule sample_rule(uint32_t mode, uint64_t sample_bytes, uint64_t probability);

/* Seeds differ, streams differ. A sampler keeps its generator when its rule changes. */
void sampler_seed(struct sampler *sampler, uint64_t seed);
void sampler_follow(struct sampler *sampler, const struct sample_rule *rule);

/* One allocation of the size, that sampler_passes() has not counted. */
struct sample_weight sampler_take(struct sampler *sampler, uint64_t size);
/* After sampler_passes() said no. */
struct sample_weight sampler_taken(struct sampler *sampler, uint64_t size);

/* The idle path: counts an allocation; true if it is certainly not taken. */
static inline __attribute__((always_inline)) bool sampler_passes(struct sampler *sampler,
								 uint64_t size)
{
	uint64_t step = size & sampler->step_mask;
	int64_t left = sampler->left - (int64_t)(step + !step);

	sampler->left = left;
	/* a size of more than 2^63 would count up */
	return (left | (int64_t)size) >= 0;
}

uint64_t sample_random(uint64_t *state);
uint64_t sample_mix(uint64_t bits);
double sample_minus_log(double x);     /* -ln x, 0 < x <= 1 */
double sample_one_minus_exp(double x); /* 1 - exp(-x), x >= 0 */

#endif
