// SPDX-License-Identifier: MIT
#include "preload/sample.h"

#include <stddef.h>

#define LN2 0.693147180559945309417232121458
#define NEVER INT64_MAX
#define DISTANCE_MAX 0x1p62

/* ---- numbers -------------------------------------------------------------------------------- */

/* The finalizer of splitmix64: every bit of the result depends on every bit. */
uint64_t sample_mix(uint64_t bits)
{
	bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ULL;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111ebULL;
	return bits ^ bits >> 31;
}

uint64_t sample_random(uint64_t *state)
{
	return sample_mix(*state += 0x9e3779b97f4a7c15ULL);
}

/* 2 atanh(s) = ln((1+s)/(1-s)), for |s| <= 0.172: the first term left out is below 1e-14 */
static double log_ratio(double s)
{
	double square = s * s, sum = 0;

	for (int odd = 17; odd > 0; odd -= 2)
		sum = sum * square + 1.0 / odd;
	return 2 * s * sum;
}

double sample_minus_log(double x)
{
	union {
		double number;
		uint64_t bits;
	} u = { x };
	int exponent = (int)(u.bits >> 52 & 0x7ff) - 1023;

	u.bits = (u.bits & ~(0x7ffULL << 52)) | 1023ULL << 52; /* mantissa in [1, 2) */
	if (u.number > 1.4142135623730951) {
		u.number /= 2;
		exponent++;
	}
	return -(exponent * LN2 + log_ratio((u.number - 1) / (u.number + 1)));
}

/* 1 - exp(-x) by its series, for x <= ln 2 */
static double small_one_minus_exp(double x)
{
	double term = x, sum = x;

	for (int n = 2; n <= 18; n++) {
		term *= -x / n;
		sum += term;
	}
	return sum;
}

double sample_one_minus_exp(double x)
{
	union {
		uint64_t bits;
		double number;
	} power;
	int halvings;

	if (x <= LN2)
		return small_one_minus_exp(x);
	if (x > 40) /* less than half a unit of the last place below 1 */
		return 1;
	halvings = (int)(x / LN2);
	power.bits = (uint64_t)(1023 - halvings) << 52;
	return 1 - power.number * (1 - small_one_minus_exp(x - halvings * LN2));
}

/* In (0, 1]. */
static double uniform(uint64_t *state)
{
	return (double)((sample_random(state) >> 11) + 1) * 0x1p-53;
}

/* Up with the probability of the fraction. */
static uint64_t round_at_random(double x, uint64_t *state)
{
	uint64_t whole;

	if (x >= 0x1p63)
		return 1ULL << 63;
	whole = (uint64_t)x;
	return whole + (uniform(state) <= x - (double)whole);
}

/* ---- rules ---------------------------------------------------------------------------------- */

struct sample_rule sample_rule(uint32_t mode, uint64_t sample_bytes, uint64_t probability)
{
	struct sample_rule rule = { .mode = MT_PRELOAD_OFF };

	if (mode == MT_PRELOAD_EXACT)
		rule.mode = MT_PRELOAD_EXACT;
	if (mode == MT_PRELOAD_BY_BYTES) {
		if (sample_bytes > MT_PRELOAD_SAMPLE_BYTES_MAX)
			sample_bytes = MT_PRELOAD_SAMPLE_BYTES_MAX;
		rule.mode = MT_PRELOAD_BY_BYTES;
		rule.mean_bytes = sample_bytes ? (double)sample_bytes : 1;
	}
	if (mode == MT_PRELOAD_BY_CALLS && probability) {
		if (probability > MT_PRELOAD_PROBABILITY_ONE)
			probability = MT_PRELOAD_PROBABILITY_ONE;
		rule.mode = MT_PRELOAD_BY_CALLS;
		rule.probability = (double)probability / (double)MT_PRELOAD_PROBABILITY_ONE;
	}
	return rule;
}

/* How many bytes, or calls, go by before the one to take. */
static int64_t draw(struct sampler *sampler)
{
	const struct sample_rule *rule = &sampler->rule;
	double distance, log_stay;

	if (rule->mode == MT_PRELOAD_BY_BYTES) {
		/* floor(x) - size < 0 exactly when x < size: cutting the fraction off changes
		 * nothing */
		distance = sample_minus_log(uniform(&sampler->random)) * rule->mean_bytes;
	} else if (rule->mode == MT_PRELOAD_BY_CALLS) {
		if (rule->probability >= 1)
			return 0;
		log_stay = rule->probability > 0.25
				   ? sample_minus_log(1 - rule->probability)
				   : log_ratio(rule->probability / (2 - rule->probability));
		distance = sample_minus_log(uniform(&sampler->random)) / log_stay;
	} else {
		return NEVER;
	}
	return distance < DISTANCE_MAX ? (int64_t)distance : (int64_t)DISTANCE_MAX;
}

void sampler_seed(struct sampler *sampler, uint64_t seed)
{
	sampler->random = sample_mix(seed ^ 0x6d656d7472616365ULL);
}

void sampler_follow(struct sampler *sampler, const struct sample_rule *rule)
{
	sampler->rule = *rule;
	sampler->step_mask = rule->mode == MT_PRELOAD_BY_BYTES ? ~0ULL : 0;
	sampler->left = draw(sampler);
}

static struct sample_weight weigh(struct sampler *sampler, uint64_t size)
{
	const struct sample_rule *rule = &sampler->rule;
	struct sample_weight weight;
	double stands_for;

	if (rule->mode == MT_PRELOAD_BY_BYTES)
		stands_for = 1 / sample_one_minus_exp((double)(size + !size) / rule->mean_bytes);
	else
		stands_for = 1 / rule->probability;
	if (stands_for <= 1)
		return (struct sample_weight){ size, MT_PRELOAD_COUNT_ONE };
	weight.bytes = round_at_random((double)size * stands_for, &sampler->random);
	weight.count = round_at_random(stands_for * (double)MT_PRELOAD_COUNT_ONE, &sampler->random);
	return weight;
}

struct sample_weight sampler_taken(struct sampler *sampler, uint64_t size)
{
	struct sample_weight weight;

	switch (sampler->rule.mode) {
	case MT_PRELOAD_EXACT:
		return (struct sample_weight){ size, MT_PRELOAD_COUNT_ONE };
	case MT_PRELOAD_BY_BYTES:
		break; /* or so large that it was not counted: it is taken for certain */
	case MT_PRELOAD_BY_CALLS:
		if (sampler->left >= 0)
			return (struct sample_weight){ 0, 0 };
		break;
	default:
		sampler->left = NEVER;
		return (struct sample_weight){ 0, 0 };
	}
	weight = weigh(sampler, size);
	sampler->left = draw(sampler);
	return weight;
}

struct sample_weight sampler_take(struct sampler *sampler, uint64_t size)
{
	if (sampler->rule.mode == MT_PRELOAD_EXACT)
		return (struct sample_weight){ size, MT_PRELOAD_COUNT_ONE };
	if (sampler_passes(sampler, size))
		return (struct sample_weight){ 0, 0 };
	return sampler_taken(sampler, size);
}
