/* SPDX-License-Identifier: MIT */
/* Intervals of estimates: against samples that the preload library's own sampler takes, of known
 * sums. */
#include <criterion/criterion.h>
#include <math.h>

#include "model/estimate.h"
#include "model/snapshot.h"
#include "preload/sample.h"

#define ONE ((double)MT_PRELOAD_COUNT_ONE)

static struct memtrace_estimate bounded(uint64_t value, double variance, uint64_t seen, double step)
{
	struct memtrace_estimate e = { .variance = variance, .seen = seen };

	estimate_bound(&e, value, step);
	return e;
}

Test(estimate, what_is_certain_has_no_width)
{
	struct memtrace_estimate e = bounded(4711, 0, 4711, ESTIMATE_NO_STEP);

	cr_expect_eq(e.low, 4711);
	cr_expect_eq(e.high, 4711);
}

Test(estimate, of_a_large_sample_is_two_standard_deviations_each_way)
{
	struct memtrace_estimate e = bounded(1000000, 1000.0 * 1000, 0, ESTIMATE_NO_STEP);

	cr_expect_geq(e.low, 1000000 - 1961 + 2);
	cr_expect_leq(e.low, 1000000 - 1959 + 3);
	cr_expect_geq(e.high, 1000000 + 1959);
	cr_expect_leq(e.high, 1000000 + 1964);
}

Test(estimate, is_never_below_what_was_seen)
{
	cr_expect_eq(bounded(1000, 990.0 * 1000, 900, ESTIMATE_NO_STEP).low, 900);
	cr_expect_lt(bounded(1000, 990.0 * 1000, 0, ESTIMATE_NO_STEP).low, 900);
}

/* So many bytes are missed altogether with a chance of exp(-3.84) = 2.1 %. */
Test(estimate, of_nothing_seen_is_what_may_have_been_missed)
{
	struct memtrace_estimate e = bounded(0, 0, 0, 1000);

	cr_expect_eq(e.low, 0);
	cr_expect_eq(e.high, 3842);
	e = bounded(0, 0, 0, INFINITY);
	cr_expect_eq(e.low, 0);
	cr_expect_eq(e.high, MEMTRACE_UNBOUNDED);
}

Test(estimate, allows_for_kinds_of_blocks_that_were_not_seen)
{
	struct memtrace_estimate e = bounded(1 << 30, 0, 1 << 30, 4096);

	cr_expect_eq(e.low, 1 << 30);
	cr_expect_geq(e.high, (1 << 30) + 3 * 4096);
	cr_expect_leq(e.high, (1 << 30) + 4 * 4096);
}

Test(estimate, of_sums_is_from_the_sum_of_variances)
{
	struct memtrace_estimate sum = { 0 }, one = bounded(500, 90000, 20, ESTIMATE_NO_STEP);

	one.skew = 5;
	estimate_add(&sum, &one);
	estimate_add(&sum, &one);
	estimate_add_exact(&sum, 7);
	cr_expect_eq(sum.variance, 180000);
	cr_expect_eq(sum.skew, 10);
	cr_expect_eq(sum.seen, 47);
}

Test(estimate, steps_are_those_of_the_way_of_sampling)
{
	struct memtrace_snapshot *s = snapshot_new();

	cr_expect_eq(estimate_bytes_step(s), 0);
	cr_expect_eq(estimate_blocks_step(s), 0);
	s->sampling = MEMTRACE_SAMPLING_BYTES;
	s->sample_bytes = 512;
	cr_expect_eq(estimate_bytes_step(s), 512);
	cr_expect_eq(estimate_blocks_step(s), 0);
	s->sampling = MEMTRACE_SAMPLING_RATE;
	s->sampling_rate = 0.25;
	cr_expect_eq(estimate_bytes_step(s), 0);
	cr_expect_eq(estimate_blocks_step(s), 3);
	memtrace_snapshot_free(s);
}

/* ---- against samples ---------------------------------------------------------------------------
 */

/* From 16 bytes to some thousands, small ones mostly. */
static uint64_t size_of_block(uint64_t i)
{
	return 16 + (i * 7919 % 97) * (i * 104729 % 61);
}

struct sample {
	double blocks, bytes;
	struct memtrace_estimate blocks_95, bytes_95;
};

static struct sample sample_of(const struct sample_rule *rule, uint64_t blocks, uint64_t seed)
{
	struct sample s = { 0 };
	struct sampler sampler;

	sampler_seed(&sampler, seed);
	sampler_follow(&sampler, rule);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t size = size_of_block(i);
		struct sample_weight weight = sampler_take(&sampler, size);
		double count = (double)weight.count / ONE, bytes = count * (double)size;

		if (!weight.count)
			continue;
		s.blocks += count;
		s.bytes += bytes;
		s.blocks_95.variance += count * (count - 1);
		s.blocks_95.skew += count * (count - 1) * (count - 1);
		s.bytes_95.variance += bytes * (bytes - (double)size);
		s.bytes_95.skew += bytes * (bytes - (double)size) * (bytes - (double)size);
		s.blocks_95.seen++;
		s.bytes_95.seen += size;
	}
	estimate_bound(&s.blocks_95, (uint64_t)(s.blocks + 0.5), ESTIMATE_NO_STEP);
	estimate_bound(&s.bytes_95, (uint64_t)(s.bytes + 0.5), ESTIMATE_NO_STEP);
	return s;
}

static bool holds(const struct memtrace_estimate *e, uint64_t truth)
{
	return e->low <= truth && truth <= e->high;
}

static double width(const struct memtrace_estimate *e)
{
	return (double)(e->high - e->low);
}

/* What all samples of these blocks vary by. */
static struct sample theory_of(const struct sample_rule *rule, uint64_t blocks)
{
	struct sample t = { 0 };

	for (uint64_t i = 0; i < blocks; i++) {
		double size = (double)size_of_block(i), p = rule->probability;

		if (rule->mode == MT_PRELOAD_BY_BYTES)
			p = 1 - exp(-size / rule->mean_bytes);
		t.blocks += 1;
		t.bytes += size;
		t.blocks_95.variance += 1 / p - 1;
		t.bytes_95.variance += size * size * (1 / p - 1);
	}
	return t;
}

static void expect_intervals_hold(const struct sample_rule *rule, uint64_t blocks)
{
	struct sample truth = theory_of(rule, blocks);
	double blocks_width = 0, bytes_width = 0;
	unsigned int blocks_held = 0, bytes_held = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct sample s = sample_of(rule, blocks, seed);

		blocks_held += holds(&s.blocks_95, (uint64_t)truth.blocks);
		bytes_held += holds(&s.bytes_95, (uint64_t)truth.bytes);
		blocks_width += width(&s.blocks_95) / 200;
		bytes_width += width(&s.bytes_95) / 200;
	}
	cr_expect(blocks_held >= 182 && blocks_held <= 198, "blocks: %u of 200", blocks_held);
	cr_expect(bytes_held >= 182 && bytes_held <= 198, "bytes: %u of 200", bytes_held);
	cr_expect_leq(blocks_width, 1.15 * 2 * 1.96 * sqrt(truth.blocks_95.variance));
	cr_expect_leq(bytes_width, 1.15 * 2 * 1.96 * sqrt(truth.bytes_95.variance));
}

Test(estimate, intervals_of_samples_by_bytes_hold_the_truth_as_often_as_they_say)
{
	struct sample_rule rule = sample_rule(MT_PRELOAD_BY_BYTES, 4096, 0);

	expect_intervals_hold(&rule, 5000);
	expect_intervals_hold(&rule, 20000);
}

Test(estimate, intervals_of_samples_by_calls_hold_the_truth_as_often_as_they_say)
{
	struct sample_rule rule =
		sample_rule(MT_PRELOAD_BY_CALLS, 0, MT_PRELOAD_PROBABILITY_ONE / 10);

	expect_intervals_hold(&rule, 5000);
	expect_intervals_hold(&rule, 500);
}

/* Five blocks are in the sample on average. Two standard deviations each way held 87 % of these
 * truths. */
Test(estimate, intervals_of_few_blocks_hold_the_truth_too)
{
	struct sample_rule rule =
		sample_rule(MT_PRELOAD_BY_CALLS, 0, MT_PRELOAD_PROBABILITY_ONE / 10);
	unsigned int held = 0, plain = 0, some = 0;

	for (uint64_t seed = 1; seed <= 4000; seed++) {
		struct sample s = sample_of(&rule, 50, seed);

		if (!s.blocks_95.seen)
			continue;
		some++;
		held += holds(&s.blocks_95, 50);
		plain += fabs(s.blocks - 50) <= 1.96 * sqrt(s.blocks_95.variance);
	}
	cr_expect_geq(held, some * 93 / 100, "%u of %u", held, some);
	cr_expect_lt(plain, some * 92 / 100, "%u of %u", plain, some);
}
