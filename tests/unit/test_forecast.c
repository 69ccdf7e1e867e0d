/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "analyze/forecast.h"
#include "series_fixture.h"

#define MB 1e6
#define LIMIT 250000000ULL

struct scene {
	struct series *series;
	struct arena arena;
	struct memtrace_snapshot *last;
	struct forecast found;
};

static struct scene scene;
static uint64_t seed;

static void set_up(void)
{
	scene = (struct scene){ .series = series_new(0) };
	cr_assert(scene.series);
	arena_init(&scene.arena);
	seed = 0xf00d5eed;
}

static void tear_down(void)
{
	memtrace_snapshot_free(scene.last);
	series_destroy(scene.series);
	arena_fini(&scene.arena);
}

TestSuite(forecast, .init = set_up, .fini = tear_down);

/* The next snapshot; what was looked at before it is forgotten. */
static struct memtrace_snapshot *at(double t_s, double live_bytes)
{
	memtrace_snapshot_free(scene.last);
	scene.last = fixture_at(t_s, live_bytes > 0 ? (uint64_t)live_bytes : 0);
	scene.last->limit.bytes = LIMIT;
	return scene.last;
}

static void append(void)
{
	cr_assert_eq(series_append(scene.series, scene.last), 0);
}

static void look_with(const struct series *series)
{
	struct leaks_params params = { .series = series };
	struct leaks_result leaks;

	cr_assert_eq(leaks_find(scene.last, &params, &scene.arena, &leaks), 0);
	cr_assert_eq(forecast_find(scene.last, &leaks, &scene.arena, &scene.found), 0);
}

static void look(void)
{
	look_with(scene.series);
}

/* Grows by rate bytes per second, from 10 MB on, for so long, a snapshot each second. */
static void grow(double rate, double noise, double over_s)
{
	for (double t_s = 0; t_s <= over_s; t_s++) {
		at(t_s, 10 * MB + rate * t_s + noise * fixture_normal(&seed));
		append();
	}
	look();
}

Test(forecast, linear_growth_is_foretold_within_a_tenth_at_a_third_of_the_way)
{
	int held = 0;

	for (int run = 0; run < 40; run++) {
		double truth_s = 240 - 80, off;

		series_destroy(scene.series);
		scene.series = series_new(0);
		grow(MB, 2 * MB, 80);
		cr_assert(scene.found.has_tree, "run %d", run);
		off = scene.found.tree.reaches_in_s / truth_s;
		cr_expect(off > 0.9 && off < 1.1, "run %d: %f s of %f s", run,
			  scene.found.tree.reaches_in_s, truth_s);
		held += scene.found.tree.soonest_s <= truth_s &&
			scene.found.tree.latest_s >= truth_s;
	}
	cr_expect_geq(held, 35, "%d of 40 intervals of 95 %% hold the truth", held);
}

Test(forecast, blocks_of_random_size_at_random_times_are_foretold_too)
{
	int held = 0;

	for (int run = 0; run < 40; run++) {
		double live = 10 * MB, truth_s;

		series_destroy(scene.series);
		scene.series = series_new(0);
		for (int t = 0; t <= 80; t++) {
			at(t, live);
			append();
			for (int i = 0; i < 100; i++)
				live += 20000 * fixture_uniform(&seed);
		}
		look();
		cr_assert(scene.found.has_tree, "run %d", run);
		truth_s = (LIMIT - (double)scene.last->processes[0].live_bytes) / MB;
		cr_expect_float_eq(scene.found.tree.reaches_in_s, truth_s, truth_s / 10);
		held += scene.found.tree.soonest_s <= truth_s &&
			scene.found.tree.latest_s >= truth_s;
	}
	cr_expect_geq(held, 33, "%d of 40 intervals of 95 %% hold the truth", held);
}

Test(forecast, without_noise_it_is_exact)
{
	grow(MB, 0, 80);
	cr_assert(scene.found.has_tree);
	cr_expect_float_eq(scene.found.tree.reaches_in_s, 160, 0.01);
	cr_expect_float_eq(scene.found.tree.soonest_s, 160, 0.01);
	cr_expect_float_eq(scene.found.tree.latest_s, 160, 0.01);
	cr_expect_float_eq(scene.found.tree.bytes_per_s, MB, 1);
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_expect_eq(scene.found.rows[0].process, 1);
	cr_expect_float_eq(scene.found.rows[0].reaches_in_s, 160, 0.01);
}

static void expect_silence(void)
{
	look();
	cr_expect_not(scene.found.has_tree);
	cr_expect_eq(scene.found.row_cnt, 0);
}

Test(forecast, is_silent_without_a_series_a_limit_or_points)
{
	grow(MB, 0, 4);
	expect_silence();
	grow(MB, 0, 80);
	scene.last->limit.bytes = 0;
	expect_silence();
	scene.last->limit.bytes = LIMIT;
	look_with(NULL);
	cr_expect_not(scene.found.has_tree);
	look();
	cr_expect(scene.found.has_tree, "with all of them it speaks");
}

Test(forecast, is_silent_on_what_does_not_grow_steadily)
{
	grow(0, 2 * MB, 80);
	expect_silence();
	for (int t = 81; t <= 200; t++) {
		at(t, 10 * MB + MB * (t % 30));
		append();
	}
	expect_silence();
}

Test(forecast, is_silent_on_a_cache_that_is_full)
{
	for (int t = 0; t <= 100; t++) {
		at(t, MB * (t < 60 ? t : 60));
		append();
	}
	expect_silence();
}

Test(forecast, sees_a_leak_beside_a_cache_that_is_full)
{
	for (int leaking = 0; leaking < 2; leaking++) {
		tear_down();
		set_up();
		for (int t = 0; t <= 100; t++) {
			double cached = MB * (t < 60 ? t : 60 + (t - 60) * 0.1);

			/* the same growth in the end: of a cache that still fills, or of a leak */
			at(t, cached + 0.2 * MB * t);
			fixture_holds(scene.last, 1, (uint64_t)(leaking ? 0.2 * MB * t : 0));
			fixture_holds(scene.last, 2,
				      (uint64_t)(cached + (leaking ? 0 : 0.2 * MB * t)));
			append();
		}
		look();
		cr_expect_eq(scene.found.has_tree, leaking);
		cr_expect_eq(scene.found.row_cnt, (size_t)leaking);
		if (leaking)
			cr_expect_float_eq(scene.found.tree.reaches_in_s, (250 - 64 - 20) / 0.3, 10,
					   "%f", scene.found.tree.reaches_in_s);
	}
}

Test(forecast, is_silent_on_ages_away)
{
	/* 240 MB at 1 KB/s are 2.8 days; 80 s are no ground to stand on */
	grow(1000, 0, 80);
	expect_silence();
}

Test(forecast, is_silent_where_the_limit_was_reached)
{
	for (int t = 0; t <= 80; t++) {
		at(t, 200 * MB + MB * t);
		append();
	}
	expect_silence();
}

Test(forecast, is_of_who_runs)
{
	for (int t = 0; t <= 80; t++) {
		struct memtrace_process *p;

		at(t, 10 * MB + MB * t);
		p = fixture_process(scene.last, 2, 200, "y");
		p->live_bytes = (uint64_t)(2 * MB * t);
		p->ended_by = MEMTRACE_RUNNING;
		p->ended_s = -1;
		append();
	}
	look();
	cr_assert_eq(scene.found.row_cnt, 2);
	cr_expect_eq(scene.found.rows[0].process, 2, "the first one first");
	cr_expect_float_eq(scene.found.rows[0].reaches_in_s, 45, 0.1);
	cr_expect_float_eq(scene.found.tree.reaches_in_s, 0, 0.1, "250 MB are there now");
	for (size_t i = 0; i < scene.last->process_cnt; i++)
		scene.last->processes[i].ended_by = MEMTRACE_ENDED_EXIT;
	expect_silence();
}

Test(forecast, of_a_limit_for_each_process_has_no_tree)
{
	grow(MB, 0, 80);
	scene.last->limit.scope = MEMTRACE_LIMIT_PROCESS;
	look();
	cr_expect_not(scene.found.has_tree);
	cr_expect_eq(scene.found.row_cnt, 1);
	scene.last->limit.scope = MEMTRACE_LIMIT_TREE;
	scene.last->limit.tree_cnt = 2;
	look();
	cr_expect_not(scene.found.has_tree, "which process is in which tree is not known");
}
