/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

Test(arena, hands_out_zeroed_aligned_memory_that_does_not_overlap)
{
	struct arena arena;
	unsigned char *piece[500];
	size_t size[500];

	arena_init(&arena);
	for (size_t i = 0; i < 500; i++) {
		size[i] = i * i % 3001;
		piece[i] = arena_alloc(&arena, size[i]);
		cr_assert(piece[i]);
		cr_assert_eq((uintptr_t)piece[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < size[i]; j++)
			cr_assert_eq(piece[i][j], 0);
		memset(piece[i], (int)(i % 251), size[i]);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t j = 0; j < size[i]; j++)
			cr_assert_eq(piece[i][j], i % 251);
	arena_fini(&arena);
}

Test(arena, a_big_thing_leaves_the_room_of_the_newest_block)
{
	struct arena arena;
	char *before, *after;

	arena_init(&arena);
	before = arena_alloc(&arena, 16);
	cr_assert(arena_alloc(&arena, 8 << 20));
	after = arena_alloc(&arena, 16);
	cr_assert_eq(after - before, 16);
	arena_fini(&arena);
}

Test(arena, refuses_what_passes_its_bound_and_goes_on_with_what_fits)
{
	struct arena arena;

	arena_init(&arena);
	arena.max_bytes = 64;
	cr_assert(arena_alloc(&arena, 48));
	cr_assert_null(arena_alloc(&arena, 17));
	cr_assert(arena_alloc(&arena, 16));
	cr_assert_null(arena_alloc(&arena, 1));
	cr_assert_eq(arena.handed_out_bytes, 64);
	arena_fini(&arena);
}

Test(arena, refuses_sizes_that_overflow)
{
	struct arena arena;

	arena_init(&arena);
	cr_assert_null(arena_alloc(&arena, SIZE_MAX));
	cr_assert_null(arena_alloc(&arena, SIZE_MAX - 20));
	cr_assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
	arena_fini(&arena);
}

Test(arena, copies_strings)
{
	struct arena arena;

	arena_init(&arena);
	cr_assert_str_eq(arena_strdup(&arena, "bench"), "bench");
	cr_assert_str_eq(arena_strndup(&arena, "bench", 3), "ben");
	cr_assert_str_eq(arena_strndup(&arena, "b", 3), "b");
	cr_assert_str_eq(arena_printf(&arena, "%s-%d", "x", 42), "x-42");
	cr_assert_null(arena_strdup(&arena, NULL));
	arena_fini(&arena);
}

Test(arena, grows_an_array_and_keeps_the_old_one_readable)
{
	struct arena arena;
	int *old, *grown;

	arena_init(&arena);
	old = arena_array(&arena, 3, sizeof(*old));
	for (int i = 0; i < 3; i++)
		old[i] = i + 1;
	grown = arena_grow(&arena, old, 3, 5, sizeof(*old));
	cr_assert_eq(grown[2], 3);
	cr_assert_eq(grown[4], 0);
	cr_assert_eq(old[0], 1);
	arena_fini(&arena);
}

Test(arena, is_usable_again_after_its_end)
{
	struct arena arena;

	arena_init(&arena);
	cr_assert(arena_alloc(&arena, 100));
	arena_fini(&arena);
	cr_assert(arena_alloc(&arena, 100));
	arena_fini(&arena);
	arena_fini(&arena);
}
