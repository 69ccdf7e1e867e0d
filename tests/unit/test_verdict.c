/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "analyze/leaks.h"
#include "analyze/verdict.h"
#include "output/leak_text.h"
#include "series_fixture.h"

#define MIB (1 << 20)

struct scene {
	struct series *series;
	struct memtrace_snapshot *last;
	struct arena arena;
	struct leaks_params params;
	struct leaks_result found;
};

static struct scene scene;

static void set_up(void)
{
	scene = (struct scene){ .series = series_new(0), .params.min_leak_bytes = 1024 };
	cr_assert(scene.series);
	scene.params.series = scene.series;
	arena_init(&scene.arena);
}

static void tear_down(void)
{
	memtrace_snapshot_free(scene.last);
	series_destroy(scene.series);
	arena_fini(&scene.arena);
}

static void fresh(void)
{
	tear_down();
	set_up();
}

TestSuite(verdict, .init = set_up, .fini = tear_down);

/* So many seconds in which site 1 of process 1 holds what the function says; then a look. */
static const struct leak *after(uint64_t over_s, uint64_t (*live)(uint64_t t_s))
{
	for (uint64_t t_s = 0; t_s <= over_s; t_s++) {
		memtrace_snapshot_free(scene.last);
		scene.last = fixture_at((double)t_s, live(t_s));
		scene.last->limit.bytes = 250 * MIB;
		fixture_holds(scene.last, 1, live(t_s));
		cr_assert_eq(series_append(scene.series, scene.last), 0);
	}
	cr_assert_eq(leaks_find(scene.last, &scene.params, &scene.arena, &scene.found), 0);
	cr_assert_eq(scene.found.row_cnt, 1);
	return scene.found.rows;
}

static const struct leak *after_a_minute(uint64_t (*live)(uint64_t t_s))
{
	return after(60, live);
}

/* The look again, with something changed in the last snapshot. */
static const struct leak *again(void)
{
	cr_assert_eq(leaks_find(scene.last, &scene.params, &scene.arena, &scene.found), 0);
	return scene.found.rows;
}

static uint64_t leak_1000(uint64_t t_s)
{
	return t_s * 1000;
}

static uint64_t leak_10(uint64_t t_s)
{
	return t_s * 10;
}

static uint64_t saw(uint64_t t_s)
{
	return 1 + t_s % 13 * 1000;
}

static uint64_t filled(uint64_t t_s)
{
	return (t_s < 30 ? t_s : 30) * 1000;
}

static uint64_t init(uint64_t t_s)
{
	return t_s ? 5000 : 0;
}

static uint64_t one_step(uint64_t t_s)
{
	return t_s < 33 ? 1000 : 9000;
}

static uint64_t three_steps(uint64_t t_s)
{
	return 1000 * (1 + (t_s > 20) + (t_s > 40) + (t_s > 50));
}

Test(verdict, what_grows_steadily_is_leaking)
{
	const struct leak *leak = after_a_minute(leak_1000);

	cr_expect_eq(leak->verdict, LEAK_LEAKING);
	cr_expect_float_eq(leak_rate(leak), 1000, 1);
	cr_expect_eq(leak->first_seen_s, 1);
	cr_expect_eq(leak->last_grown_s, 60);
	cr_expect_eq(scene.found.verdict_rows[LEAK_LEAKING], 1);
	cr_expect_float_eq(scene.found.leaking_bytes_per_s, 1000, 1);
}

Test(verdict, a_leak_wants_sixteen_intervals)
{
	cr_expect_eq(after(15, leak_1000)->verdict, LEAK_SUSPECT);
	fresh();
	cr_expect_eq(after(16, leak_1000)->verdict, LEAK_LEAKING);
}

Test(verdict, what_does_not_is_steady)
{
	cr_expect_eq(after_a_minute(saw)->verdict, LEAK_STEADY);
	fresh();
	cr_expect_eq(after_a_minute(filled)->verdict, LEAK_STEADY);
	fresh();
	cr_expect_eq(after_a_minute(init)->verdict, LEAK_STEADY);
	fresh();
	cr_expect_eq(after_a_minute(one_step)->verdict, LEAK_STEADY);
	cr_expect_eq(scene.found.rows->impact, LEAK_IMPACT_NONE);
	cr_expect(isnan(leak_rate(scene.found.rows)));
}

Test(verdict, steps_are_suspect)
{
	const struct leak *leak = after_a_minute(three_steps);

	cr_expect_eq(leak->verdict, LEAK_SUSPECT);
	cr_expect_eq(leak->growth.grown_cnt, 3);
}

Test(verdict, growth_below_the_minimum_is_no_leak)
{
	const struct leak *leak = after_a_minute(leak_10);

	cr_expect_eq(leak->verdict, LEAK_STEADY);
	scene.params.min_leak_bytes = 600;
	leak = again();
	cr_expect_eq(leak->verdict, LEAK_LEAKING);
}

/* Octave of ages that begins at 2^power s. */
static void put_age(struct memtrace_ages *ages, int power, uint64_t bytes)
{
	ages->blocks[power + 7] = 1;
	ages->bytes[power + 7] = bytes;
}

Test(verdict, growth_of_blocks_that_are_replaced_is_suspect)
{
	struct memtrace_ages ages = { 0 };
	const struct leak *leak = after_a_minute(leak_1000);

	/* 60 s of trend: the octaves from 8 s to 32 s tell; 24,000 bytes came in that time */
	scene.last->sites[0].ages = &ages;
	put_age(&ages, -7, 60000); /* everything is new */
	leak = again();
	cr_expect_eq(leak->kept_from_s, 8);
	cr_expect_eq(leak->kept_to_s, 32);
	cr_expect_eq(leak->kept_share, 0);
	cr_expect_eq(leak->verdict, LEAK_SUSPECT);

	put_age(&ages, 3, 8000);
	put_age(&ages, 4, 16000);
	leak = again();
	cr_expect_float_eq(leak->kept_share, 1, 0.001);
	cr_expect_eq(leak->verdict, LEAK_LEAKING);
}

Test(verdict, without_a_curve_the_ages_speak)
{
	struct memtrace_snapshot *s = scene.last = fixture_at(100, 3000);
	struct memtrace_site *site = fixture_holds(s, 1, 2000);

	s->processes[0].ended_by = MEMTRACE_ENDED_EXIT;
	s->processes[0].ended_s = 100;
	site->aged_blocks = 4;
	site->aged_youngest_s = 95;
	site->oldest_age_s = 99;
	cr_expect_eq(again()->verdict, LEAK_STEADY, "made at the start");
	cr_expect_eq(scene.found.rows->made, LEAK_MADE_AT_START);
	cr_expect_eq(scene.found.rows->first_seen_s, 1);
	cr_expect_eq(scene.found.rows->last_grown_s, 5);
	s->sites[0].aged_youngest_s = 2;
	cr_expect_eq(again()->verdict, LEAK_SUSPECT, "made all the time");
	cr_expect_eq(scene.found.rows->made, LEAK_MADE_THROUGHOUT);
	s->sites[0].aged_blocks = 3;
	cr_expect_eq(again()->verdict, LEAK_STEADY, "a few blocks");
	s->sites[0].aged_blocks = 4;
	s->sites[0].aged_bytes = 1023;
	cr_expect_eq(again()->verdict, LEAK_STEADY, "a few bytes");
	s->sites[0].aged_bytes = 1024;
	s->sites[0].oldest_age_s = 19;
	cr_expect_eq(again()->made, LEAK_MADE_AT_END);
	s->duration_s = s->processes[0].ended_s = 0;
	cr_expect_eq(again()->made, LEAK_MADE_UNKNOWN, "no time at all");
	scene.params.series = NULL;
	cr_expect_eq(again()->verdict, LEAK_SUSPECT);
}

Test(verdict, leaking_rows_come_first)
{
	for (uint64_t t_s = 0; t_s <= 60; t_s++) {
		memtrace_snapshot_free(scene.last);
		scene.last = fixture_at((double)t_s, 0);
		fixture_holds(scene.last, 1, 50 * MIB);
		fixture_holds(scene.last, 2, 100 * (t_s + 1));
		fixture_holds(scene.last, 3, 1000 * (t_s + 1));
		fixture_holds(scene.last, 4, 1000 * three_steps(t_s));
		cr_assert_eq(series_append(scene.series, scene.last), 0);
	}
	cr_assert_eq(leaks_find(scene.last, &scene.params, &scene.arena, &scene.found), 0);
	cr_assert_eq(scene.found.row_cnt, 4);
	cr_expect_eq(scene.found.rows[0].site, 3);
	cr_expect_eq(scene.found.rows[1].site, 2);
	cr_expect_eq(scene.found.rows[2].site, 4);
	cr_expect_eq(scene.found.rows[3].site, 1);
	cr_expect_float_eq(scene.found.leaking_bytes_per_s, 1100, 1);
	scene.params.top = 1;
	cr_expect_eq(again()->site, 3);
	cr_expect_eq(scene.found.verdict_rows[LEAK_LEAKING], 2, "the cut does not change counts");
}

Test(verdict, impact_is_by_share_of_the_limit_and_by_the_time_until_it)
{
	after_a_minute(leak_1000);
	/* 60,000 bytes at 1,000 bytes per second */
	static const struct {
		uint64_t limit_bytes, now_bytes;
		enum leak_impact impact;
	} cases[] = {
		{ 1000ULL * MIB, 0, LEAK_LOW },	    /* in 12 days */
		{ 200ULL * MIB, 0, LEAK_MEDIUM },   /* in 2.4 days */
		{ 20ULL * MIB, 0, LEAK_HIGH },	    /* in 5.8 hours */
		{ 500000, 0, LEAK_CRITICAL },	    /* in 8 minutes */
		{ 200ULL * MIB, 200ULL * MIB, LEAK_CRITICAL }, /* it is full */
		{ 100000, 0, LEAK_CRITICAL },	    /* holds 60 % */
		{ 0, 0, LEAK_MEDIUM },		    /* 82 MiB a day */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scene.last->limit.bytes = cases[i].limit_bytes;
		scene.last->limit.now_bytes = cases[i].now_bytes;
		cr_expect_eq(again()->impact, cases[i].impact, "case %zu: %s", i,
			     leak_impact_name(scene.found.rows->impact));
	}
}

static const char *words(const struct leak *leak)
{
	static char kept[512];
	struct strbuf text = STRBUF_INIT;

	for (size_t i = 0; i < LEAK_REASONS; i++)
		if (leak_put_reason(&text, &scene.found, leak, i))
			strbuf_puts(&text, "|");
	snprintf(kept, sizeof(kept), "%s", strbuf_text(&text));
	strbuf_fini(&text);
	return kept;
}

Test(verdict, has_reasons_in_words)
{
	struct memtrace_ages ages = { 0 };

	after_a_minute(leak_1000);
	put_age(&ages, 3, 8000);
	put_age(&ages, 4, 16000);
	scene.last->sites[0].ages = &ages;
	cr_expect_str_eq(words(again()), "grew in 60 of 60 intervals, 1000 B/s|"
					 "nothing was freed of what it added 8 s to 32 s "
					 "ago|");
	ages.bytes[11] = 0;
	cr_expect_str_eq(words(again()), "grew in 60 of 60 intervals, 1000 B/s|"
					 "33.3 % of what it added 8 s to 32 s ago is left|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(leak_10)),
			 "grew in 60 of 60 intervals, 10 B/s|"
			 "by 600 B in all, less than 1.0 KiB|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(one_step)), "grew once, by 7.8 KiB, at 33 s|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(three_steps)),
			 "grew in 3 of 60 intervals, by 2.9 KiB in all, without a steady trend|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(saw)), "goes up and down, by up to 11.7 KiB|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(init)),
			 "grew at the start, by 4.9 KiB, and not since|");
	fresh();
	cr_expect_str_eq(words(after_a_minute(filled)),
			 "levelled off after it had grown by 29.3 KiB|");
}
