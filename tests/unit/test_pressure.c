/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <math.h>

#include "analyze/analysis.h"
#include "snapshot_fixture.h"

static struct pressure pressure_at(uint64_t limit, uint64_t now, uint64_t peak)
{
	struct memtrace_limit l = { .bytes = limit, .now_bytes = now, .peak_bytes = peak };

	return pressure_of(&l);
}

Test(pressure, without_a_limit_there_is_none)
{
	struct pressure p = pressure_at(0, 5000, 9000);

	cr_assert_eq(p.now, PRESSURE_NO_LIMIT);
	cr_assert_eq(p.peak, PRESSURE_NO_LIMIT);
}

Test(pressure, levels_begin_at_80_90_and_100_percent)
{
	cr_expect_eq(pressure_at(1000, 0, 0).now, PRESSURE_LOW);
	cr_expect_eq(pressure_at(1000, 799, 799).now, PRESSURE_LOW);
	cr_expect_eq(pressure_at(1000, 800, 800).now, PRESSURE_HIGH);
	cr_expect_eq(pressure_at(1000, 899, 899).now, PRESSURE_HIGH);
	cr_expect_eq(pressure_at(1000, 900, 900).now, PRESSURE_CRITICAL);
	cr_expect_eq(pressure_at(1000, 999, 999).now, PRESSURE_CRITICAL);
	cr_expect_eq(pressure_at(1000, 1000, 1000).now, PRESSURE_FULL);
}

Test(pressure, a_share_is_never_rounded_up_to_the_limit)
{
	cr_assert_eq(pressure_at(250 << 20, (250 << 20) - 1, 0).used_permille, 999);
	cr_assert_eq(pressure_at(250 << 20, (250 << 20) - 1, 0).now, PRESSURE_CRITICAL);
}

Test(pressure, headroom_ends_at_the_limit)
{
	cr_assert_eq(pressure_at(1000, 300, 0).headroom_bytes, 700);
	cr_assert_eq(pressure_at(1000, 1000, 0).headroom_bytes, 0);
	cr_assert_eq(pressure_at(1000, 1500, 0).headroom_bytes, 0);
	cr_assert_eq(pressure_at(1000, 1500, 0).over_bytes, 500);
	cr_assert_eq(pressure_at(1000, 1500, 0).used_permille, 1500);
}

Test(pressure, of_the_peak_is_remembered)
{
	struct memtrace_limit crossed = { .bytes = 1000, .exceeded = true, .peak_bytes = 700 };

	cr_assert_eq(pressure_at(1000, 10, 950).now, PRESSURE_LOW);
	cr_assert_eq(pressure_at(1000, 10, 950).peak, PRESSURE_CRITICAL);
	cr_assert_eq(pressure_at(1000, 950, 10).peak_permille, 950, "a peak is never below now");
	cr_assert_eq(pressure_of(&crossed).peak, PRESSURE_FULL);
}

Test(pressure, has_headroom_at_the_peak_too)
{
	cr_assert_eq(pressure_at(1000, 10, 950).peak_bytes, 950);
	cr_assert_eq(pressure_at(1000, 10, 950).peak_headroom_bytes, 50);
	cr_assert_eq(pressure_at(1000, 10, 950).peak_over_bytes, 0);
	cr_assert_eq(pressure_at(1000, 10, 1200).peak_headroom_bytes, 0);
	cr_assert_eq(pressure_at(1000, 10, 1200).peak_over_bytes, 200);
	cr_assert_eq(pressure_at(1000, 950, 10).peak_headroom_bytes, 50);
}

Test(pressure, holds_for_the_largest_figures)
{
	cr_assert_eq(pressure_at(UINT64_MAX, UINT64_MAX, UINT64_MAX).used_permille, 1000);
	cr_assert_eq(pressure_at(1, UINT64_MAX, UINT64_MAX).used_permille, UINT64_MAX);
}

Test(pressure, levels_have_names)
{
	cr_assert_str_eq(pressure_name(PRESSURE_HIGH), "high");
	cr_assert_str_eq(pressure_name(PRESSURE_CRITICAL), "critical");
	cr_assert_eq(pressure_percent(PRESSURE_HIGH), 80);
	cr_assert_eq(pressure_percent(PRESSURE_CRITICAL), 90);
	cr_assert_eq(pressure_percent(PRESSURE_FULL), 100);
}

Test(rates, a_final_report_speaks_of_the_whole_run)
{
	struct memtrace_snapshot s = { .final = true,
				       .duration_s = 4,
				       .interval_s = 1,
				       .alloc_rate = 7,
				       .totals = {
					       .allocs = 100, .frees = 40, .alloc_bytes = 6400 } };
	struct rates r = rates_of(&s);

	cr_assert(r.whole_run);
	cr_assert_eq(r.allocs_per_s, 25);
	cr_assert_eq(r.frees_per_s, 10);
	cr_assert_eq(r.bytes_per_s, 1600);
	cr_assert_eq(r.over_s, 4);
}

Test(rates, a_live_report_speaks_of_the_last_interval)
{
	struct memtrace_snapshot s = { .duration_s = 4,
				       .interval_s = 2,
				       .alloc_rate = 7,
				       .free_rate = 5,
				       .alloc_bytes_rate = 70,
				       .totals = { .allocs = 100 } };
	struct rates r = rates_of(&s);

	cr_assert_not(r.whole_run);
	cr_assert_eq(r.allocs_per_s, 7);
	cr_assert_eq(r.frees_per_s, 5);
	cr_assert_eq(r.bytes_per_s, 70);
	cr_assert_eq(r.over_s, 2);
}

Test(rates, the_first_live_report_has_no_interval_yet)
{
	struct memtrace_snapshot s = { .duration_s = 4, .totals = { .allocs = 100 } };

	cr_assert_eq(rates_of(&s).allocs_per_s, 25);
	cr_assert(rates_of(&s).whole_run);
}

Test(rates, of_no_time_at_all_are_unknown)
{
	struct memtrace_snapshot s = { .final = true, .totals = { .allocs = 100 } };

	cr_assert(isnan(rates_of(&s).allocs_per_s));
	cr_assert(isnan(rates_of(&s).over_s));
}

Test(ranking, processes_that_hold_most_come_first)
{
	static const uint64_t expected[] = { 3, 1, 2, 4 };
	struct memtrace_snapshot *s = fixture_new("x");
	struct ranking ranking;
	struct arena arena;

	arena_init(&arena);
	fixture_process(s, 1, 10, "a")->peak_bytes = 500;
	fixture_process(s, 2, 20, "b")->peak_bytes = 400;
	fixture_process(s, 3, 30, "c")->live_bytes = 1;
	fixture_process(s, 4, 40, "d")->peak_bytes = 400;
	s->processes[1].ended_by = MEMTRACE_RUNNING;
	s->processes[1].since_attach = true;
	s->processes[1].followed_after_s = NAN;
	s->processes[2].followed_after_s = 0.5;
	s->processes[3].followed_after_s = -1;
	cr_assert_eq(ranking_find(s, &arena, &ranking), 0);
	cr_assert_eq(ranking.row_cnt, 4);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(ranking.rows[i]->id, expected[i], "row %zu", i);
	cr_assert_eq(ranking.running_cnt, 1);
	cr_assert_eq(ranking.attached_cnt, 1);
	cr_assert_eq(ranking.incomplete_cnt, 2, "followed late, and never");
	arena_fini(&arena);
	memtrace_snapshot_free(s);
}
