/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "series_fixture.h"

static struct series *series;
static struct series_point points[SERIES_POINTS];

static void set_up(void)
{
	series = series_new(0);
	cr_assert(series);
}

static void tear_down(void)
{
	series_destroy(series);
}

TestSuite(series, .init = set_up, .fini = tear_down);

/* Whatever was appended: times go up, and nothing is NAN. */
static void expect_sound(size_t cnt)
{
	cr_assert_leq(cnt, SERIES_POINTS);
	for (size_t i = 0; i < cnt; i++) {
		cr_expect(isfinite(points[i].t_s) && points[i].t_s >= 0, "point %zu", i);
		cr_expect(!i || points[i].t_s > points[i - 1].t_s, "point %zu", i);
	}
}

static size_t site_curve(uint64_t id)
{
	size_t cnt = series_of_sites(series, 1, &id, 1, points);

	expect_sound(cnt);
	return cnt;
}

Test(series, nothing_appended_has_no_curves)
{
	cr_expect_eq(series_of_tree(series, points), 0);
	cr_expect_eq(series_of_process(series, 1, points), 0);
	cr_expect_eq(site_curve(1), 0);
}

Test(series, few_snapshots_are_kept_as_they_are)
{
	for (uint64_t t = 1; t <= 10; t++) {
		struct memtrace_snapshot *s = fixture_at((double)t, 100 * t);

		fixture_holds(s, 7, 10 * t);
		fixture_append(series, s);
	}
	cr_assert_eq(site_curve(7), 11);
	cr_expect_eq(points[0].t_s, 0, "its process began with nothing");
	cr_expect_eq(points[0].live_bytes, 0);
	for (size_t i = 1; i <= 10; i++) {
		cr_expect_eq(points[i].t_s, (double)i);
		cr_expect_eq(points[i].live_bytes, 10 * i);
		cr_expect_eq(points[i].alloc_bytes, 10 * i);
	}
	cr_assert_eq(series_of_process(series, 1, points), 11);
	cr_expect_eq(points[10].live_bytes, 1000);
	cr_assert_eq(series_of_tree(series, points), 11);
	cr_expect_eq(points[10].live_bytes, 1000);
}

Test(series, long_ones_are_thinned_and_reach_back_to_the_beginning)
{
	for (uint64_t t = 0; t < 100000; t++)
		fixture_append(series, fixture_at((double)t, 3 * t));
	cr_assert_leq(series_tick_cnt(series), SERIES_TICKS);
	cr_assert_geq(series_tick_cnt(series), SERIES_TICKS / 2);

	size_t cnt = series_of_process(series, 1, points);

	expect_sound(cnt);
	cr_expect_eq(points[0].t_s, 0);
	cr_expect_eq(points[cnt - 1].t_s, 99999, "the newest is always there");
	for (size_t i = 0; i < cnt; i++)
		cr_expect_eq(points[i].live_bytes, 3 * (uint64_t)points[i].t_s,
			     "what stays has its own figures");
	/* evenly: no distance is more than twice another, but the last may be short */
	for (size_t i = 2; i + 1 < cnt; i++)
		cr_expect_leq(points[i].t_s - points[i - 1].t_s, 2 * (points[1].t_s + 1));
}

Test(series, a_step_stays_where_it_was_when_ticks_go)
{
	for (uint64_t t = 0; t < 5000; t++) {
		struct memtrace_snapshot *s = fixture_at((double)t, 0);

		fixture_holds(s, 1, t < 3000 ? 10 : 2000);
		fixture_append(series, s);
	}
	size_t cnt = site_curve(1);

	for (size_t i = 0; i < cnt; i++)
		cr_expect_eq(points[i].live_bytes, points[i].t_s < 3000 ? 10 : 2000, "at %f s",
			     points[i].t_s);
}

Test(series, sites_that_never_change_cost_one_point)
{
	size_t before, after;

	for (uint64_t t = 0; t < 600; t++) {
		struct memtrace_snapshot *s = fixture_at((double)t, 0);

		for (uint64_t id = 1; id <= 100; id++)
			fixture_holds(s, id, 100);
		fixture_append(series, s);
		if (!t)
			before = series_bytes(series);
	}
	after = series_bytes(series);
	/* the tree and the process do not change either */
	cr_expect_eq(before, after, "%zu bytes became %zu", before, after);
}

Test(series, memory_is_bounded_and_what_is_left_out_is_counted)
{
	size_t bound = 200000;

	series_destroy(series);
	series = series_new(bound);
	for (uint64_t t = 0; t < 300; t++) {
		struct memtrace_snapshot *s = fixture_at((double)t, 0);

		for (uint64_t id = 1; id <= 1000; id++)
			fixture_holds(s, id, id * (t + 1));
		fixture_append(series, s);
		cr_assert_leq(series_bytes(series), bound + bound / 4);
	}
	cr_expect_gt(series_left_out(series), 0);
	/* what is there is right, what is not has no curve instead of half of one */
	for (uint64_t id = 1; id <= 1000; id++) {
		size_t cnt = site_curve(id);

		cr_expect(!cnt || points[cnt - 1].live_bytes == id * 300);
	}
}

Test(series, a_clock_that_steps_back_or_is_no_number_adds_no_time)
{
	static const double times[] = { 1, 2, 1, -5, 2, NAN, INFINITY, 3, 1e300 };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		fixture_append(series, fixture_at(times[i], 100 + i));
	size_t cnt = series_of_process(series, 1, points);

	expect_sound(cnt);
	cr_assert_eq(cnt, 5); /* 0, 1, 2, 3, 1e300 */
	cr_expect_eq(points[2].live_bytes, 106, "the latest word on that time");
}

Test(series, a_process_has_a_curve_from_its_beginning_to_its_end)
{
	for (int t = 0; t <= 20; t++) {
		struct memtrace_snapshot *s = fixture_at(t, 1);

		if (t >= 5 && t <= 15) {
			struct memtrace_process *p = fixture_process(s, 2, 200, "y");

			p->started_s = 4.5;
			p->live_bytes = p->alloc_bytes = 1000;
			p->ended_s = t == 15 ? 14.25 : -1;
			p->ended_by = t == 15 ? MEMTRACE_ENDED_EXIT : MEMTRACE_RUNNING;
			fixture_holds(s, 9, 500)->process = 2;
		}
		fixture_append(series, s);
	}
	size_t cnt = series_of_process(series, 2, points);
	uint64_t id = 9;

	expect_sound(cnt);
	cr_expect_eq(points[0].t_s, 4.5);
	cr_expect_eq(points[0].live_bytes, 0);
	cr_expect_eq(points[1].t_s, 5);
	cr_expect_eq(points[1].live_bytes, 1000);
	cr_expect_eq(points[cnt - 1].t_s, 14.25, "%f", points[cnt - 1].t_s);
	cr_expect_eq(series_of_sites(series, 2, &id, 1, points), cnt);
	cr_assert_eq(series_of_tree(series, points), 21);
	cr_expect_eq(points[14].live_bytes, 1001);
	cr_expect_eq(points[15].live_bytes, 1, "what an ended one left is not live");
}

Test(series, an_ended_process_may_be_told_of_again)
{
	for (int t = 0; t <= 4; t++) {
		struct memtrace_snapshot *s = fixture_at(t, 77);

		if (t >= 2) {
			s->processes[0].ended_by = MEMTRACE_ENDED_EXIT;
			s->processes[0].ended_s = 1.5;
			s->processes[0].live_bytes = t == 2 ? 77 : 0; /* its end is said once */
		}
		fixture_append(series, s);
	}
	size_t cnt = series_of_process(series, 1, points);

	expect_sound(cnt);
	cr_expect_eq(points[cnt - 1].t_s, 1.5);
	cr_expect_eq(points[cnt - 1].live_bytes, 77);
}

Test(series, a_process_that_came_and_went_between_snapshots_has_its_end)
{
	struct memtrace_snapshot *s;

	fixture_append(series, fixture_at(1, 1));
	s = fixture_at(2, 1);
	struct memtrace_process *p = fixture_process(s, 2, 200, "brief");

	p->started_s = 1.25;
	p->ended_s = 1.5;
	p->live_bytes = 300;
	fixture_holds(s, 9, 300)->process = 2;
	fixture_append(series, s);
	size_t cnt = series_of_process(series, 2, points);
	uint64_t id = 9;

	cr_expect_eq(series_of_sites(series, 2, &id, 1, points), 0, "of that nothing can be told");
	cnt = series_of_process(series, 2, points);
	expect_sound(cnt);
	cr_assert_eq(cnt, 2);
	cr_expect_eq(points[0].t_s, 1.25);
	cr_expect_eq(points[1].t_s, 1.5);
	cr_expect_eq(points[1].live_bytes, 300);
}

Test(series, a_process_that_is_not_told_of_any_more_ends_where_it_was_last_seen)
{
	for (int t = 0; t <= 10; t++) {
		struct memtrace_snapshot *s = fixture_at(t, 5);

		if (t <= 6) {
			struct memtrace_process *p = fixture_process(s, 2, 200, "y");

			p->ended_by = MEMTRACE_RUNNING;
			p->live_bytes = (uint64_t)t;
		}
		fixture_append(series, s);
	}
	size_t cnt = series_of_process(series, 2, points);

	expect_sound(cnt);
	cr_expect_eq(points[cnt - 1].t_s, 6);
}

Test(series, several_sites_of_one_call_path_are_summed)
{
	static const uint64_t both[] = { 1, 2 }, unknown[] = { 1, 3 };

	for (uint64_t t = 1; t <= 6; t++) {
		struct memtrace_snapshot *s = fixture_at((double)t, 0);

		fixture_holds(s, 1, 10 * t);
		if (t >= 4)
			fixture_holds(s, 2, 1000);
		fixture_append(series, s);
	}
	cr_assert_eq(series_of_sites(series, 1, both, 2, points), 7);
	cr_expect_eq(points[3].live_bytes, 30);
	cr_expect_eq(points[4].live_bytes, 1040);
	cr_expect_eq(series_of_sites(series, 1, unknown, 2, points), 0, "half of a sum is none");
}

Test(series, ten_thousand_sites_and_six_hundred_snapshots_fit)
{
	struct memtrace_snapshot *s = fixture_at(0, 0);

	for (uint64_t id = 1; id <= 10000; id++)
		fixture_holds(s, id, id);
	for (int t = 0; t < 600; t++) {
		s->duration_s = t;
		for (size_t i = 0; i < s->site_cnt; i++)
			s->sites[i].live_bytes += i % 7;
		cr_assert_eq(series_append(series, s), 0);
	}
	memtrace_snapshot_free(s);
	cr_expect_eq(series_left_out(series), 0);
	cr_expect_leq(series_bytes(series), 64 << 20);
	for (uint64_t id = 1; id <= 10000; id += 999) {
		size_t cnt = site_curve(id);

		cr_expect_eq(points[cnt - 1].live_bytes, id + 600 * ((id - 1) % 7));
	}
}
