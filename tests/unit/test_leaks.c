/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>

#include "analyze/leaks.h"
#include "snapshot_fixture.h"

static struct memtrace_frame frame(const char *module, uint64_t offset)
{
	return (struct memtrace_frame){ .address = offset, .module = module, .offset = offset };
}

struct scene {
	struct memtrace_snapshot *snapshot;
	struct arena arena;
	struct leaks_result found;
};

static struct scene scene;

static void set_up(void)
{
	scene.snapshot = fixture_new("x");
	arena_init(&scene.arena);
}

static void tear_down(void)
{
	memtrace_snapshot_free(scene.snapshot);
	arena_fini(&scene.arena);
}

/* A site of process 1 with a stack of its own. */
static struct memtrace_site *leak_site(uint64_t id, uint64_t blocks, uint64_t bytes,
				       double youngest_s, double oldest_s)
{
	struct memtrace_frame own = frame("/bin/bench", id);

	return fixture_site(scene.snapshot, id, 1, blocks, bytes, youngest_s, oldest_s, &own, 1);
}

static void find(uint64_t min_bytes, size_t top)
{
	struct leaks_params params = { .min_bytes = min_bytes, .top = top };

	cr_assert_eq(leaks_find(scene.snapshot, &params, &scene.arena, &scene.found), 0);
}

TestSuite(leaks, .init = set_up, .fini = tear_down);

Test(leaks, an_empty_snapshot_has_none)
{
	find(0, 0);
	cr_assert_eq(scene.found.row_cnt, 0);
	cr_assert_eq(scene.found.total_rows, 0);
	cr_assert_eq(scene.found.total_bytes, 0);
}

Test(leaks, a_site_without_aged_blocks_is_none)
{
	struct memtrace_site *site = leak_site(1, 5, 500, 0.1, 0.2);

	site->aged_blocks = site->aged_bytes = 0;
	site->aged_youngest_s = -1;
	find(0, 0);
	cr_assert_eq(scene.found.total_rows, 0);
}

Test(leaks, only_the_aged_blocks_of_a_site_count)
{
	struct memtrace_site *site = leak_site(1, 5, 500, 0.1, 60);

	site->aged_blocks = 2;
	site->aged_bytes = 150;
	site->aged_youngest_s = 11;
	find(0, 0);
	cr_assert_eq(scene.found.rows[0].live_blocks, 2);
	cr_assert_eq(scene.found.rows[0].live_bytes, 150);
	cr_assert_eq(scene.found.rows[0].youngest_age_s, 11);
	cr_assert_eq(scene.found.rows[0].oldest_age_s, 60);
}

Test(leaks, come_largest_first_then_oldest_then_by_id)
{
	static const uint64_t expected[] = { 4, 2, 5, 1, 3 };

	leak_site(5, 1, 100, 1, 20);
	leak_site(1, 1, 100, 1, 10);
	leak_site(3, 3, 50, 1, 99);
	leak_site(2, 1, 100, 1, 30);
	leak_site(4, 1, 1000, 1, 2);
	find(0, 0);
	cr_assert_eq(scene.found.row_cnt, 5);
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(scene.found.rows[i].site, expected[i], "row %zu", i);
}

Test(leaks, equal_in_size_and_age_come_by_id)
{
	leak_site(9, 1, 100, 1, 10);
	leak_site(8, 1, 100, 1, 10);
	find(0, 0);
	cr_assert_eq(scene.found.rows[0].site, 8);
}

Test(leaks, the_cut_to_the_top_leaves_totals_whole)
{
	for (uint64_t i = 1; i <= 20; i++)
		leak_site(i, 2, i * 100, 1, 10);
	find(0, 3);
	cr_assert_eq(scene.found.row_cnt, 3);
	cr_assert_eq(scene.found.rows[2].site, 18);
	cr_assert_eq(scene.found.total_rows, 20);
	cr_assert_eq(scene.found.total_blocks, 40);
	cr_assert_eq(scene.found.total_bytes, 21000);
}

Test(leaks, small_rows_are_left_out_and_counted_apart)
{
	leak_site(1, 1, 99, 1, 10);
	leak_site(2, 1, 100, 1, 10);
	leak_site(3, 4, 1, 1, 10);
	find(100, 0);
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_assert_eq(scene.found.rows[0].site, 2);
	cr_assert_eq(scene.found.total_bytes, 100);
	cr_assert_eq(scene.found.small_rows, 2);
	cr_assert_eq(scene.found.small_blocks, 5);
	cr_assert_eq(scene.found.small_bytes, 100);
}

Test(leaks, blocks_of_no_bytes_leak_too)
{
	leak_site(1, 3, 0, 1, 10);
	find(0, 0);
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_assert_eq(scene.found.rows[0].live_blocks, 3);
}

Test(leaks, equal_stacks_of_one_process_are_one_row)
{
	const struct memtrace_frame path[] = { frame("/lib/plugin.so", 0x10),
					       frame("/bin/bench", 0x20) };
	struct memtrace_frame moved[] = { path[0], path[1] };

	moved[0].address += 0x7000; /* mapped a second time */
	fixture_site(scene.snapshot, 1, 1, 2, 200, 3, 10, path, 2);
	fixture_site(scene.snapshot, 2, 1, 3, 300, 5, 20, moved, 2);
	fixture_site(scene.snapshot, 3, 1, 1, 100, 4, 15, path, 2);
	find(0, 0);
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_assert_eq(scene.found.rows[0].site, 2, "the one that holds most stands for all");
	cr_assert_eq(scene.found.rows[0].live_blocks, 6);
	cr_assert_eq(scene.found.rows[0].live_bytes, 600);
	cr_assert_eq(scene.found.rows[0].oldest_age_s, 20);
	cr_assert_eq(scene.found.rows[0].youngest_age_s, 3);
	cr_assert_eq(scene.found.rows[0].site_cnt, 3);
	cr_assert_eq(scene.found.rows[0].sites[0], 2);
	cr_assert_eq(scene.found.rows[0].sites[1], 1);
	cr_assert_eq(scene.found.rows[0].sites[2], 3);
}

Test(leaks, a_row_is_judged_small_by_its_sum)
{
	const struct memtrace_frame path = frame("/lib/plugin.so", 0x10);

	fixture_site(scene.snapshot, 1, 1, 1, 60, 3, 10, &path, 1);
	fixture_site(scene.snapshot, 2, 1, 1, 60, 3, 10, &path, 1);
	find(100, 0);
	cr_assert_eq(scene.found.row_cnt, 1);
	cr_assert_eq(scene.found.rows[0].live_bytes, 120);
}

Test(leaks, what_differs_anywhere_stays_apart)
{
	const struct memtrace_frame path[] = { frame("/bin/a", 1), frame("/bin/a", 2) };
	const struct memtrace_frame other_module[] = { frame("/bin/a", 1), frame("/bin/b", 2) };
	const struct memtrace_frame other_offset[] = { frame("/bin/a", 1), frame("/bin/a", 3) };
	const struct memtrace_frame no_module[] = { frame("/bin/a", 1), frame(NULL, 2) };
	struct memtrace_site *cut;

	fixture_site(scene.snapshot, 1, 1, 1, 100, 1, 10, path, 2);
	fixture_site(scene.snapshot, 2, 1, 1, 100, 1, 10, other_module, 2);
	fixture_site(scene.snapshot, 3, 1, 1, 100, 1, 10, other_offset, 2);
	fixture_site(scene.snapshot, 4, 1, 1, 100, 1, 10, no_module, 2);
	fixture_site(scene.snapshot, 5, 1, 1, 100, 1, 10, path, 1);
	fixture_site(scene.snapshot, 6, 2, 1, 100, 1, 10, path, 2); /* another process */
	cut = fixture_site(scene.snapshot, 7, 1, 1, 100, 1, 10, path, 2);
	cut->stack_end = END_BROKEN;
	find(0, 0);
	cr_assert_eq(scene.found.row_cnt, 7);
}

Test(leaks, of_an_ended_process_were_never_freed)
{
	struct memtrace_process *running;

	fixture_process(scene.snapshot, 1, 100, "done");
	running = fixture_process(scene.snapshot, 2, 200, "runs");
	running->ended_by = MEMTRACE_RUNNING;
	leak_site(1, 1, 200, 1, 10);
	leak_site(2, 1, 100, 1, 10)->process = 2;
	leak_site(3, 1, 50, 1, 10)->process = 77; /* not in the snapshot */
	find(0, 0);
	cr_assert(scene.found.rows[0].ended);
	cr_assert_not(scene.found.rows[1].ended);
	cr_assert_not(scene.found.rows[2].ended);
}

Test(leaks, ten_thousand_sites_are_grouped_and_summed)
{
	uint64_t bytes = 0;

	for (uint64_t id = 1; id <= 10000; id++) {
		struct memtrace_frame path[] = { frame("/bin/a", id % 5000), frame("/bin/a", 7) };

		fixture_site(scene.snapshot, id, 1, 1, id, 1, 10, path, 2);
		bytes += id;
	}
	find(0, 10);
	cr_assert_eq(scene.found.total_rows, 5000);
	cr_assert_eq(scene.found.total_blocks, 10000);
	cr_assert_eq(scene.found.total_bytes, bytes);
	/* 4999 + 9999, and so on down */
	for (size_t i = 0; i < 9; i++)
		cr_assert_geq(scene.found.rows[i].live_bytes, scene.found.rows[i + 1].live_bytes);
	cr_assert_eq(scene.found.rows[0].live_bytes, 5000 + 10000);
	cr_assert_eq(scene.found.rows[0].site, 10000);
}

Test(leaks, without_memory_the_result_is_left_alone)
{
	for (uint64_t id = 1; id <= 10; id++)
		leak_site(id, 1, 100, 1, 10);
	scene.found.row_cnt = 4711;
	for (size_t bound = 16; bound <= 10 * sizeof(struct leak); bound += 48) {
		arena_fini(&scene.arena);
		scene.arena.max_bytes = bound;
		cr_assert_eq(leaks_find(scene.snapshot, NULL, &scene.arena, &scene.found), -ENOMEM);
		cr_assert_eq(scene.found.row_cnt, 4711);
	}
}
