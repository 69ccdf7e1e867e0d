/* SPDX-License-Identifier: MIT */
/* Curves whose truth is known, because they were made from it. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "analyze/growth.h"
#include "series_fixture.h"

#define KIB 1024.0

static uint64_t seed;

static void set_up(void)
{
	seed = 0x5eed5eed5eed;
}

TestSuite(growth, .init = set_up);
TestSuite(trend, .init = set_up);

static struct growth of(double (*bytes)(double t_s), size_t cnt, double over_s, double noise)
{
	struct series_point points[SERIES_POINTS];

	for (size_t i = 0; i < cnt; i++) {
		double t_s = over_s * (double)i / (double)(cnt - 1);
		double y = bytes(t_s) + noise * fixture_normal(&seed);

		points[i] = (struct series_point){ .t_s = t_s,
						   .live_bytes = y > 0 ? (uint64_t)y : 0 };
	}
	return growth_of(points, cnt, true);
}

#define EXPECT_SHAPE(curve, expected)                                                              \
	do {                                                                                       \
		enum growth_shape got = (curve).shape;                                             \
		cr_expect_eq(got, expected, "%s is %s, not %s", #curve, growth_name(got),          \
			     growth_name(expected));                                               \
	} while (0)

/* ---- curves over 100 s ----------------------------------------------------------------------- */

static double line(double t_s)
{
	return 5 * KIB + KIB * t_s;
}

static double level(double t_s)
{
	(void)t_s;
	return 100 * KIB;
}

static double cache(double t_s)
{
	return 100 * KIB * (1 - exp(-t_s / 20));
}

static double filled(double t_s)
{
	return KIB * fmin(t_s, 60);
}

static double saw(double t_s)
{
	return 10 + KIB * fmod(t_s + 7, 23);
}

static double leaking_saw(double t_s)
{
	return saw(t_s) + 2 * KIB * t_s;
}

static double init(double t_s)
{
	return t_s > 0 ? 100 * KIB : 0;
}

static double init_and_leak(double t_s)
{
	return init(t_s) + 100 * t_s;
}

static double one_step(double t_s)
{
	return t_s > 47 ? 50 * KIB : 10 * KIB;
}

static double doubling(double t_s)
{
	return KIB * pow(2, floor(log2(1 + t_s)));
}

static double shrinking(double t_s)
{
	return 200 * KIB - KIB * t_s;
}

static double late(double t_s)
{
	return t_s > 60 ? KIB * (t_s - 60) : 0;
}

static double stopped_and_continued(double t_s)
{
	return KIB * (t_s < 30 ? t_s : t_s < 55 ? 30 : t_s - 25);
}

static double faster(double t_s)
{
	return t_s < 50 ? 100 * t_s : 5000 + 1000 * (t_s - 50);
}

Test(growth, a_line_is_steady_and_its_slope_is_known)
{
	struct growth growth = of(line, 31, 100, 0);

	EXPECT_SHAPE(growth, GROWTH_STEADY);
	cr_expect_float_eq(growth.trend.slope, KIB, 1);
	cr_expect_float_eq(growth.trend.low, KIB, 1);
	cr_expect_float_eq(growth.trend.high, KIB, 1);
	cr_expect_eq(growth.grown_cnt, 30);
	cr_expect_eq(growth.interval_cnt, 30);
	cr_expect_eq(growth.grown_bytes, 100 * 1024);
	cr_expect_eq(growth.last_grown_s, 100);
}

Test(growth, fewer_than_six_points_say_nothing)
{
	for (size_t cnt = 2; cnt < 6; cnt++) {
		struct growth growth = of(line, cnt, 100, 0);

		EXPECT_SHAPE(growth, GROWTH_UNKNOWN);
		cr_expect_not(growth.has_trend);
		cr_expect(isnan(growth.trend.slope));
	}
	EXPECT_SHAPE(growth_of(NULL, 0, true), GROWTH_UNKNOWN);
	EXPECT_SHAPE(of(line, 6, 100, 0), GROWTH_STEADY);
}

Test(growth, no_time_is_no_growth)
{
	struct series_point points[10];

	for (size_t i = 0; i < 10; i++)
		points[i] = (struct series_point){ .t_s = 3, .live_bytes = 100 * i };
	EXPECT_SHAPE(growth_of(points, 10, true), GROWTH_UNKNOWN);
}

Test(growth, what_never_changes_is_flat)
{
	struct growth growth = of(level, 50, 100, 0);

	EXPECT_SHAPE(growth, GROWTH_FLAT);
	cr_expect_eq(growth.trend.slope, 0);
	cr_expect_eq(growth.trend.low, 0);
	cr_expect_eq(growth.grown_cnt, 0);
}

Test(growth, shapes_are_told_apart)
{
	for (size_t cnt = 32; cnt <= 128; cnt *= 2) {
		EXPECT_SHAPE(of(line, cnt, 100, 0), GROWTH_STEADY);
		EXPECT_SHAPE(of(filled, cnt, 100, 0), GROWTH_PLATEAU);
		EXPECT_SHAPE(of(cache, cnt, 100, 0), GROWTH_PLATEAU);
		EXPECT_SHAPE(of(saw, cnt, 100, 0), GROWTH_SAW_TOOTH);
		EXPECT_SHAPE(of(leaking_saw, cnt, 100, 0), GROWTH_STEADY);
		EXPECT_SHAPE(of(init, cnt, 100, 0), GROWTH_INIT);
		EXPECT_SHAPE(of(one_step, cnt, 100, 0), GROWTH_STEP);
		EXPECT_SHAPE(of(doubling, cnt, 100, 0), GROWTH_STEP);
		EXPECT_SHAPE(of(shrinking, cnt, 100, 0), GROWTH_SHRINKING);
		EXPECT_SHAPE(of(init_and_leak, cnt, 100, 0), GROWTH_STEADY);
		EXPECT_SHAPE(of(late, cnt, 100, 0), GROWTH_STEADY);
	}
}

Test(growth, noise_hides_neither_growth_nor_its_absence)
{
	for (int run = 0; run < 50; run++) {
		EXPECT_SHAPE(of(line, 100, 100, 5 * KIB), GROWTH_STEADY);
		EXPECT_SHAPE(of(filled, 100, 100, KIB), GROWTH_PLATEAU);
		EXPECT_SHAPE(of(saw, 100, 100, KIB), GROWTH_SAW_TOOTH);
		EXPECT_SHAPE(of(init, 100, 100, KIB), GROWTH_INIT);
		EXPECT_SHAPE(of(init_and_leak, 100, 100, 200), GROWTH_STEADY);
		cr_expect_neq(of(level, 100, 100, KIB).shape, GROWTH_STEADY);
		cr_expect_neq(of(level, 100, 100, 50 * KIB).shape, GROWTH_STEADY);
	}
}

Test(growth, a_leak_of_one_in_a_thousand_shows_through_the_blocks_in_use)
{
	int held = 0;

	for (int run = 0; run < 20; run++) {
		struct series_point points[100];
		double lost = 0;
		struct growth growth;

		for (size_t i = 0; i < 100; i++) {
			if (fixture_uniform(&seed) < 0.3)
				lost += 1000;
			points[i] = (struct series_point){
				.t_s = (double)i,
				.live_bytes = (uint64_t)(lost + 3000 * fixture_uniform(&seed)),
			};
		}
		growth = growth_of(points, 100, true);
		EXPECT_SHAPE(growth, GROWTH_STEADY);
		held += growth.trend.low <= 300 && growth.trend.high >= 300;
	}
	cr_expect_geq(held, 17, "300 B/s is in %d of 20 intervals of 95 %%", held);
}

Test(growth, a_target_that_was_stopped_and_goes_on_still_grows)
{
	struct growth growth = of(stopped_and_continued, 100, 100, 0);

	EXPECT_SHAPE(growth, GROWTH_STEADY);
	cr_expect_gt(growth.trend.low, 0);
	cr_expect_leq(growth.trend.high, 1.1 * KIB);
	/* while it is stopped nothing grows */
	EXPECT_SHAPE(of(stopped_and_continued, 54, 54, 0), GROWTH_PLATEAU);
}

Test(growth, the_trend_is_the_present_one)
{
	struct growth growth = of(faster, 101, 100, 0);

	EXPECT_SHAPE(growth, GROWTH_STEADY);
	cr_expect_float_eq(growth.trend.slope, 1000, 20);
	cr_expect_float_eq(growth.trend_s, 50, 2);
}

Test(growth, a_cache_that_still_fills_says_how_fast)
{
	struct growth growth = of(cache, 100, 50, 0);

	EXPECT_SHAPE(growth, GROWTH_PLATEAU);
	cr_expect_gt(growth.trend.low, 0);
	growth = of(filled, 100, 100, 0);
	cr_expect_eq(growth.trend.slope, 0);
	cr_expect_eq(growth.trend.high, 0);
}

Test(growth, without_a_beginning_there_is_no_init)
{
	struct series_point points[50];

	for (size_t i = 0; i < 50; i++)
		points[i] = (struct series_point){ .t_s = (double)i,
						   .live_bytes = 1000 * (i < 6 ? i : 6) };
	EXPECT_SHAPE(growth_of(points, 50, true), GROWTH_INIT);
	EXPECT_SHAPE(growth_of(points, 50, false), GROWTH_PLATEAU);
}

Test(growth, figures_at_the_edge_of_their_range_stay_figures)
{
	struct series_point points[40];

	for (size_t i = 0; i < 40; i++)
		points[i] = (struct series_point){ .t_s = (double)i * 1e-9,
						   .live_bytes = UINT64_MAX - (40 - i) * 4096 };
	for (int turn = 0; turn < 2; turn++) {
		struct growth growth = growth_of(points, 40, true);

		cr_expect(isfinite(growth.trend.slope));
		cr_expect(isfinite(growth.trend.low) && isfinite(growth.trend.high));
		cr_expect_leq(growth.trend.low, growth.trend.high);
		for (size_t i = 0; i < 40; i++)
			points[i] = (struct series_point){ .t_s = 1e12 * (double)i,
							   .live_bytes = i % 2 ? UINT64_MAX : 0 };
	}
}

Test(growth, four_gigabyte_blocks_are_counted_like_others)
{
	struct series_point points[20];
	struct growth growth;

	for (size_t i = 0; i < 20; i++)
		points[i] = (struct series_point){ .t_s = (double)i, .live_bytes = i << 32 };
	growth = growth_of(points, 20, true);
	EXPECT_SHAPE(growth, GROWTH_STEADY);
	cr_expect_eq(growth.trend.slope, 4294967296.0);
	cr_expect_eq(growth.grown_bytes, 19ULL << 32);
}

/* ---- the trend ------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

Test(trend, is_the_median_of_all_slopes_and_its_interval_is_sens)
{
	for (size_t cnt = TREND_POINTS_MIN; cnt < 16; cnt++) {
		struct trend_point points[16];
		double slopes[120], n = (double)cnt;
		double c = 1.960 * sqrt(n * (n - 1) * (2 * n + 5) / 18);
		size_t k = 0, low;
		struct trend trend;

		for (size_t i = 0; i < cnt; i++)
			points[i] = (struct trend_point){ (double)i, 50 * fixture_normal(&seed) };
		for (size_t i = 0; i < cnt; i++)
			for (size_t j = i + 1; j < cnt; j++)
				slopes[k++] = (points[j].bytes - points[i].bytes) / (double)(j - i);
		qsort(slopes, k, sizeof(*slopes), by_value);
		low = (size_t)fmax(floor(((double)k - c) / 2), 0);
		trend = trend_of(points, cnt, TREND_95);
		cr_expect_float_eq(trend.slope,
				   k % 2 ? slopes[k / 2] : (slopes[k / 2] + slopes[k / 2 - 1]) / 2,
				   1e-9, "of %zu", cnt);
		cr_expect_float_eq(trend.low, slopes[low], 1e-9, "of %zu", cnt);
		cr_expect_geq(trend.high, slopes[k - 1 - low] - 1e-9, "of %zu", cnt);
	}
}

/* How many of 1000 intervals hold the truth: the slope 1000. */
static int held(size_t cnt, bool stays)
{
	int held_cnt = 0;

	for (int run = 0; run < 1000; run++) {
		struct trend_point points[SERIES_POINTS];
		double sum = 0;
		struct trend trend;

		for (size_t i = 0; i < cnt; i++) {
			double noise = 3000 * fixture_normal(&seed);

			sum = stays ? sum + noise : noise;
			points[i] = (struct trend_point){ (double)i, 1000 * (double)i + sum };
		}
		trend = trend_of(points, cnt, TREND_95);
		held_cnt += trend.low <= 1000 && trend.high >= 1000;
	}
	return held_cnt;
}

Test(trend, intervals_hold_the_truth_as_often_as_they_say)
{
	/* noise of each point: 950, plus the two or three that rounding to ranks adds */
	cr_expect_geq(held(12, false), 940);
	cr_expect_geq(held(32, false), 940);
	cr_expect_geq(held(100, false), 940);
	/* noise that stays: eight blocks are few to know its size by */
	cr_expect_geq(held(16, true), 870);
	cr_expect_geq(held(32, true), 890);
	cr_expect_geq(held(100, true), 890);
}

Test(trend, a_quarter_of_wild_points_does_not_move_it)
{
	struct trend_point points[100];
	struct trend trend;

	for (size_t i = 0; i < 100; i++)
		points[i] = (struct trend_point){ (double)i,
						  i % 4 ? 1000.0 * (double)i : 1e9 * (double)(i % 3) };
	trend = trend_of(points, 100, TREND_95);
	cr_expect_float_eq(trend.slope, 1000, 100, "%f", trend.slope);
}
