/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "snapshot_fixture.h"

Test(snapshot, starts_with_nothing_known)
{
	struct memtrace_snapshot *s = snapshot_new();

	cr_assert_eq(s->process_cnt + s->site_cnt + s->loss_cnt, 0);
	cr_assert_eq(snapshot_losses(s), 0);
	cr_assert(isnan(s->alloc_rate));
	cr_assert_null(snapshot_find_process(s, 1));
	cr_assert_null(snapshot_find_site(s, 1));
	memtrace_snapshot_free(s);
	memtrace_snapshot_free(NULL);
}

Test(snapshot, a_new_row_claims_nothing)
{
	struct memtrace_snapshot *s = snapshot_new();
	struct memtrace_process *p = snapshot_add_process(s, 7);
	struct memtrace_site *site = snapshot_add_site(s, 3, 7, 2);

	cr_assert_eq(p->id, 7);
	cr_assert_eq(p->rss_bytes, MEMTRACE_UNKNOWN);
	cr_assert_lt(p->ended_s, 0);
	cr_assert_eq(p->ended_by, MEMTRACE_RUNNING);
	cr_assert_eq(site->process, 7);
	cr_assert_lt(site->oldest_age_s, 0);
	cr_assert_lt(site->youngest_age_s, 0);
	cr_assert_lt(site->aged_youngest_s, 0);
	cr_assert_eq(site->frame_cnt, 2);
	cr_assert_null(site->frames[1].symbol);
	memtrace_snapshot_free(s);
}

Test(snapshot, finds_rows_by_id_in_any_order)
{
	static const uint64_t ids[] = { 1, 2, 5, 9, 1000, 40, 41, 3 };
	const size_t cnt = sizeof(ids) / sizeof(ids[0]);
	struct memtrace_snapshot *s = snapshot_new();

	for (size_t i = 0; i < cnt; i++) {
		cr_assert(snapshot_add_process(s, ids[i]));
		cr_assert(snapshot_add_site(s, ids[i] * 10, ids[i], 0));
	}
	for (size_t i = 0; i < cnt; i++) {
		cr_assert_eq(snapshot_find_process(s, ids[i]), &s->processes[i]);
		cr_assert_eq(snapshot_find_site(s, ids[i] * 10), &s->sites[i]);
	}
	cr_assert_null(snapshot_find_process(s, 4));
	cr_assert_null(snapshot_find_site(s, 0));
	memtrace_snapshot_free(s);
}

Test(snapshot, keeps_one_copy_of_each_string)
{
	struct memtrace_snapshot *s = snapshot_new();
	const char *first[3000];
	char name[32];

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "symbol_%d", i);
		first[i] = snapshot_intern(s, name);
		cr_assert_str_eq(first[i], name);
		cr_assert_neq(first[i], name);
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "symbol_%d", i);
		cr_assert_eq(snapshot_intern(s, name), first[i]);
	}
	cr_assert_null(snapshot_intern(s, NULL));
	memtrace_snapshot_free(s);
}

Test(snapshot, rows_survive_the_growth_of_their_array)
{
	struct memtrace_snapshot *s = snapshot_new();

	cr_assert_eq(snapshot_reserve(s, 10, 100), 0);
	for (uint64_t i = 1; i <= 5000; i++) {
		struct memtrace_site *site = snapshot_add_site(s, i, 1, 1);

		site->live_bytes = i * 8;
		site->frames[0].offset = i;
	}
	cr_assert_eq(snapshot_reserve(s, 0, 10), 0);
	for (uint64_t i = 1; i <= 5000; i++) {
		cr_assert_eq(s->sites[i - 1].live_bytes, i * 8);
		cr_assert_eq(s->sites[i - 1].frames[0].offset, i);
	}
	memtrace_snapshot_free(s);
}

Test(snapshot, counts_losses_of_all_causes_and_nothing_else)
{
	struct memtrace_snapshot *s = fixture_new("x");

	s->losses[0].value = 3;
	s->losses[1].value = 4;
	s->notices[0].value = 100;
	s->stack_quality[1].value = 100;
	cr_assert_eq(snapshot_losses(s), 7);
	memtrace_snapshot_free(s);
}

Test(snapshot, knows_why_a_stack_ended)
{
	struct memtrace_snapshot *s = fixture_new("x");
	struct memtrace_site *site = snapshot_add_site(s, 1, 1, 1);

	cr_assert(snapshot_stack_complete(s, site));
	site->stack_end = END_BROKEN;
	cr_assert_not(snapshot_stack_complete(s, site));
	cr_assert_str_eq(snapshot_stack_end(s, site)->name, "broken_chain");
	site->stack_end = 99;
	cr_assert_null(snapshot_stack_end(s, site));
	memtrace_snapshot_free(s);
}

/* Whatever the arena's bound, an addition works wholly or not at all. */
Test(snapshot, a_failed_addition_changes_nothing)
{
	size_t refused = 0;

	for (size_t bound = 16; bound < 20000; bound += 112) {
		struct memtrace_snapshot *s = snapshot_new();

		char text[16];

		snapshot_arena(s)->max_bytes = bound;
		for (uint64_t i = 1; i < 40; i++) {
			size_t sites = s->site_cnt, processes = s->process_cnt;
			size_t losses = s->loss_cnt;

			if (!snapshot_add_site(s, i, 1, 3)) {
				cr_assert_eq(s->site_cnt, sites);
				refused++;
			}
			if (!snapshot_add_process(s, i))
				cr_assert_eq(s->process_cnt, processes);
			snprintf(text, sizeof(text), "why %d", (int)i);
			if (!snapshot_add_counter(s, SNAPSHOT_LOSSES, "cause", text, 1))
				cr_assert_eq(s->loss_cnt, losses);
			snapshot_intern(s, "string");
		}
		for (size_t i = 0; i < s->site_cnt; i++)
			cr_assert_eq(s->sites[i].frame_cnt, 3);
		for (size_t i = 0; i < s->loss_cnt; i++)
			cr_assert(s->losses[i].name && s->losses[i].text);
		cr_assert_eq(snapshot_losses(s), s->loss_cnt);
		cr_assert_eq(snapshot_reserve(s, 1000, 1000), -ENOMEM);
		memtrace_snapshot_free(s);
	}
	cr_assert_gt(refused, 0);
}
