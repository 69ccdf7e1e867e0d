// SPDX-License-Identifier: MIT
/* The preload library's sampling against libm, and against populations whose sums are known. Seeds
 * are fixed: each of these is one experiment, always the same. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "preload/sample.h"

#define RUNS 200

static struct sampler sampler_of(const struct sample_rule *rule, uint64_t seed)
{
	struct sampler sampler = { .left = 0 };

	sampler_seed(&sampler, seed);
	sampler_follow(&sampler, rule);
	return sampler;
}

static struct sample_rule by_bytes(uint64_t bytes)
{
	return sample_rule(MT_PRELOAD_BY_BYTES, bytes, 0);
}

static struct sample_rule by_calls(double probability)
{
	return sample_rule(MT_PRELOAD_BY_CALLS, 0,
			   (uint64_t)(probability * (double)MT_PRELOAD_PROBABILITY_ONE));
}

/* ---- numbers -----------------------------------------------------------------------------------
 */

Test(preload_sample, knows_the_logarithm_as_well_as_libm)
{
	uint64_t state = 1;
	double worst = 0;

	for (int i = 0; i < 1000000; i++) {
		/* all magnitudes down to the smallest that is drawn, 2^-53 */
		double x = ldexp((double)((sample_random(&state) >> 11) + 1) * 0x1p-53, -(i % 53));
		double wanted = -log(x), got = sample_minus_log(x);

		worst = fmax(worst, fabs(got - wanted) / fmax(wanted, 1e-3));
	}
	cr_expect_lt(worst, 1e-12, "%g", worst);
	cr_expect_eq(sample_minus_log(1), 0);
}

Test(preload_sample, knows_the_chance_of_a_block_as_well_as_libm)
{
	double worst = 0;

	for (double x = 1e-13; x < 100; x *= 1.0001) {
		double wanted = -expm1(-x), got = sample_one_minus_exp(x);

		worst = fmax(worst, fabs(got - wanted) / wanted);
	}
	cr_expect_lt(worst, 1e-13, "%g", worst);
	cr_expect_eq(sample_one_minus_exp(0), 0);
	cr_expect_eq(sample_one_minus_exp(1e300), 1);
}

/* ---- who is taken ------------------------------------------------------------------------------
 */

/* Distances are exponential: Kolmogorov and Smirnov's distance, whose 1 % point is 1.63 / sqrt(n).
 */
static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

Test(preload_sample, draws_distances_from_the_exponential_distribution)
{
	static double distance[100000];
	const size_t cnt = sizeof(distance) / sizeof(distance[0]);
	struct sample_rule rule = by_bytes(1 << 20);
	struct sampler sampler = sampler_of(&rule, 7);
	double worst = 0;

	for (size_t i = 0; i < cnt; i++) {
		distance[i] = (double)sampler.left;
		sampler_follow(&sampler, &rule);
	}
	qsort(distance, cnt, sizeof(distance[0]), ascending);
	for (size_t i = 0; i < cnt; i++) {
		double below = -expm1(-distance[i] / (1 << 20));

		worst = fmax(worst, fabs(below - (double)i / (double)cnt));
	}
	cr_expect_lt(worst, 1.63 / sqrt((double)cnt), "%g", worst);
}

/* How many of n are taken, in standard deviations from what p says. */
static double deviation(const struct sample_rule *rule, uint64_t size, double p, int n,
			uint64_t seed)
{
	struct sampler sampler = sampler_of(rule, seed);
	int taken = 0;

	for (int i = 0; i < n; i++)
		taken += sampler_take(&sampler, size).count != 0;
	return (taken - n * p) / sqrt(n * p * (1 - p));
}

Test(preload_sample, takes_a_block_with_the_chance_of_its_size)
{
	static const uint64_t sizes[] = { 1, 7, 100, 511, 4096, 9000, 20000 };
	struct sample_rule rule = by_bytes(4096);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		double p = -expm1(-(double)sizes[i] / 4096);
		double off = deviation(&rule, sizes[i], p, 2000000, i + 1);

		cr_expect_lt(fabs(off), 3, "%lu bytes: %g deviations", (unsigned long)sizes[i],
			     off);
	}
}

Test(preload_sample, takes_calls_with_the_chance_asked_for_whatever_their_size)
{
	static const double chances[] = { 0.001, 0.1, 0.25, 0.26, 0.5, 0.9 };

	for (size_t i = 0; i < sizeof(chances) / sizeof(chances[0]); i++) {
		struct sample_rule rule = by_calls(chances[i]);
		double off = deviation(&rule, i * 1000, chances[i], 2000000, i + 11);

		cr_expect_lt(fabs(off), 3, "%g: %g deviations", chances[i], off);
	}
}

Test(preload_sample, takes_every_call_with_chance_one_and_none_with_zero)
{
	struct sample_rule one = by_calls(1), zero = by_calls(0);
	struct sampler all = sampler_of(&one, 1), none = sampler_of(&zero, 1);

	for (uint64_t size = 0; size < 1000; size++) {
		struct sample_weight weight = sampler_take(&all, size);

		cr_expect_eq(weight.bytes, size);
		cr_expect_eq(weight.count, MT_PRELOAD_COUNT_ONE);
		cr_expect_eq(sampler_take(&none, size).count, 0U);
	}
}

Test(preload_sample, takes_what_is_larger_than_any_distance_as_itself)
{
	struct sample_rule rule = by_bytes(512);
	struct sampler sampler = sampler_of(&rule, 1);

	for (int shift = 20; shift < 64; shift++) {
		struct sample_weight weight = sampler_take(&sampler, 1ULL << shift);

		cr_expect_eq(weight.bytes, 1ULL << shift);
		cr_expect_eq(weight.count, MT_PRELOAD_COUNT_ONE);
	}
	cr_expect_eq(sampler_take(&sampler, UINT64_MAX).bytes, UINT64_MAX);
	cr_expect_geq(sampler.left, 0);
}

Test(preload_sample, does_not_take_a_huge_call_for_certain_when_calls_are_sampled)
{
	struct sample_rule rule = by_calls(0.01);
	double off = deviation(&rule, UINT64_MAX, 0.01, 100000, 5);

	cr_expect_lt(fabs(off), 3, "%g", off);
}

Test(preload_sample, counts_exactly_when_nothing_is_sampled)
{
	struct sample_rule rule = sample_rule(MT_PRELOAD_EXACT, 0, 0);
	struct sampler sampler = sampler_of(&rule, 1);

	for (uint64_t size = 0; size < 100; size++) {
		cr_expect_eq(sampler_take(&sampler, size).bytes, size);
		cr_expect_eq(sampler_take(&sampler, size).count, MT_PRELOAD_COUNT_ONE);
	}
}

Test(preload_sample, takes_nothing_when_off_or_in_a_mode_it_does_not_know)
{
	static const uint32_t modes[] = { MT_PRELOAD_OFF, 99 };

	for (size_t i = 0; i < 2; i++) {
		struct sample_rule rule = sample_rule(modes[i], 1, MT_PRELOAD_PROBABILITY_ONE);
		struct sampler sampler = sampler_of(&rule, 1);

		for (int n = 0; n < 1000; n++)
			cr_expect_eq(sampler_take(&sampler, UINT64_MAX >> n % 64).count, 0U);
	}
}

Test(preload_sample, decides_alike_on_the_short_way_and_on_the_long_one)
{
	struct sample_rule rules[2] = { by_bytes(3000), by_calls(0.05) };

	for (size_t r = 0; r < 2; r++) {
		struct sampler a = sampler_of(&rules[r], 3), b = sampler_of(&rules[r], 3);
		uint64_t state = 9;

		for (int i = 0; i < 100000; i++) {
			uint64_t size = sample_random(&state) >> 40 >> sample_random(&state) % 24;
			struct sample_weight x = sampler_take(&a, size), y = { 0, 0 };

			if (!sampler_passes(&b, size))
				y = sampler_taken(&b, size);
			cr_assert_eq(x.bytes, y.bytes);
			cr_assert_eq(x.count, y.count);
		}
	}
}

/* ---- what it stands for ------------------------------------------------------------------------
 */

struct estimate {
	double bytes, bytes_variance, blocks, blocks_variance;
};

struct population {
	uint64_t sizes[20000];
	size_t cnt;
	double bytes;
};

static void add(struct estimate *estimate, uint64_t size, struct sample_weight weight)
{
	double bytes = (double)weight.bytes, count = (double)weight.count / MT_PRELOAD_COUNT_ONE;

	if (!weight.count)
		return;
	estimate->bytes += bytes;
	estimate->bytes_variance += bytes * (bytes - (double)size);
	estimate->blocks += count;
	estimate->blocks_variance += count * (count - 1);
}

static struct estimate sample(const struct population *population, const struct sample_rule *rule,
			      uint64_t seed)
{
	struct sampler sampler = sampler_of(rule, seed);
	struct estimate estimate = { 0 };

	for (size_t i = 0; i < population->cnt; i++)
		add(&estimate, population->sizes[i], sampler_take(&sampler, population->sizes[i]));
	return estimate;
}

/* RUNS seeds: is the mean within 3 standard errors, does the 95 % interval hold the truth in 182 to
 * 198? */
static void expect_unbiased(const struct population *population, const struct sample_rule *rule,
			    const char *what)
{
	double sum[2] = { 0 }, squares[2] = { 0 };
	double truth[2] = { population->bytes, (double)population->cnt };
	int held[2] = { 0 };

	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		struct estimate e = sample(population, rule, seed);
		double got[2] = { e.bytes, e.blocks };
		double variance[2] = { e.bytes_variance, e.blocks_variance };

		for (int k = 0; k < 2; k++) {
			sum[k] += got[k];
			squares[k] += (got[k] - truth[k]) * (got[k] - truth[k]);
			held[k] += fabs(got[k] - truth[k]) <= 1.96 * sqrt(variance[k]);
		}
	}
	for (int k = 0; k < 2; k++) {
		double error = sqrt(squares[k] / RUNS) / sqrt(RUNS);

		cr_expect_lt(fabs(sum[k] / RUNS - truth[k]), 3 * error,
			     "%s of %s: off by %g errors", k ? "blocks" : "bytes", what,
			     (sum[k] / RUNS - truth[k]) / error);
		cr_expect(held[k] >= 182 && held[k] <= 198, "%s of %s: held %d times",
			  k ? "blocks" : "bytes", what, held[k]);
	}
}

static struct population population_of(uint64_t (*size)(size_t i, uint64_t *state), size_t cnt)
{
	static struct population population;
	uint64_t state = 2024;

	population.cnt = cnt;
	population.bytes = 0;
	for (size_t i = 0; i < cnt; i++) {
		population.sizes[i] = size(i, &state);
		population.bytes += (double)population.sizes[i];
	}
	return population;
}

static uint64_t all_equal(size_t i, uint64_t *state)
{
	(void)i;
	(void)state;
	return 64;
}

/* From 1 byte to 64 KiB, each magnitude as often. */
static uint64_t mixed(size_t i, uint64_t *state)
{
	return (1ULL << i % 16) + sample_random(state) % (1ULL << i % 16);
}

static uint64_t with_empty(size_t i, uint64_t *state)
{
	(void)state;
	return i % 3 ? 40 : 0;
}

Test(preload_sample, estimates_bytes_and_blocks_without_bias, .timeout = 120)
{
	struct population population = population_of(all_equal, 20000);
	struct sample_rule rule = by_bytes(1024);

	expect_unbiased(&population, &rule, "equal sizes");
	population = population_of(mixed, 20000);
	rule = by_bytes(16384);
	/* small blocks are seldom seen and stand for many: their number is told by no interval like
	 * this */
	rule = by_calls(0.1);
	expect_unbiased(&population, &rule, "a tenth of the calls");
	rule = by_calls(0.5);
	expect_unbiased(&population, &rule, "half of the calls");
	population = population_of(with_empty, 20000);
	rule = by_bytes(64);
	expect_unbiased(&population, &rule, "a third of no bytes");
}

/* Sizes that differ widely: bytes have an interval that holds; blocks are unbiased, but a rare
 * small one stands for thousands, so that an interval of this kind says little about their number.
 */
Test(preload_sample, estimates_bytes_of_all_magnitudes_without_bias)
{
	struct population population = population_of(mixed, 20000);
	struct sample_rule rule = by_bytes(16384);
	double sum = 0, squares = 0, blocks = 0, block_squares = 0;
	int held = 0;

	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		struct estimate e = sample(&population, &rule, seed);
		double off = e.bytes - population.bytes, more = e.blocks - (double)population.cnt;

		sum += off;
		squares += off * off;
		blocks += more;
		block_squares += more * more;
		held += fabs(off) <= 1.96 * sqrt(e.bytes_variance);
	}
	cr_expect_lt(fabs(sum / RUNS), 3 * sqrt(squares / RUNS / RUNS));
	cr_expect_lt(fabs(blocks / RUNS), 3 * sqrt(block_squares / RUNS / RUNS));
	cr_expect(held >= 182 && held <= 198, "%d", held);
}

/* The interval is no wider than it has to be: its variance is that of theory, S(1/p - 1) S summed.
 */
Test(preload_sample, states_the_variance_of_theory)
{
	struct population population = population_of(mixed, 20000);
	struct sample_rule rule = by_bytes(16384);
	double theory = 0, stated = 0;

	for (size_t i = 0; i < population.cnt; i++) {
		double size = (double)population.sizes[i], p = -expm1(-size / 16384);

		theory += size * size * (1 / p - 1);
	}
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		stated += sample(&population, &rule, seed).bytes_variance / RUNS;
	cr_expect_lt(fabs(sqrt(stated / theory) - 1), 0.02, "%g", sqrt(stated / theory));
}

Test(preload_sample, rounds_weights_without_bias)
{
	/* 1/p of 1 byte at a mean of 2 is 2.54...: rounded to the nearest all would be 3 */
	struct sample_rule rule = by_bytes(2);
	struct sampler sampler = sampler_of(&rule, 4);
	double wanted = 1 / -expm1(-0.5), sum = 0;
	int cnt = 0;

	while (cnt < 1000000) {
		struct sample_weight weight = sampler_take(&sampler, 1);

		if (!weight.count)
			continue;
		cr_assert(weight.bytes == 2 || weight.bytes == 3);
		sum += (double)weight.bytes;
		cnt++;
	}
	cr_expect_lt(fabs(sum / cnt - wanted), 3 * 0.5 / 1000, "%g", sum / cnt);
}

Test(preload_sample, gives_streams_of_their_own_to_seeds_that_differ_little)
{
	struct sample_rule rule = by_bytes(1 << 20);
	double together = 0;

	/* neighbours' distances are not correlated: 1000 pairs, 3 deviations */
	for (uint64_t seed = 0; seed < 1000; seed++) {
		struct sampler a = sampler_of(&rule, seed), b = sampler_of(&rule, seed + 1);

		together += ((double)a.left / (1 << 20) - 1) * ((double)b.left / (1 << 20) - 1);
	}
	cr_expect_lt(fabs(together / 1000), 3 / sqrt(1000), "%g", together / 1000);
}
