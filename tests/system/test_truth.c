// SPDX-License-Identifier: MIT
/* test_truth.c - the targets themselves: what they say of their heap is what valgrind sees. */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

SUITE(truth);

/* truth + library = usage. extra is what memcheck counts otherwise (see valgrind.h). */
static void expect_agreement(const char *const *argv, struct usage extra)
{
	const char *words[WORDS_MAX], *path = stage_path("truth");
	struct usage seen;
	json_t *truths, *truth;
	long long threads;
	size_t cnt = 0;

	words[cnt++] = target_path(*argv++);
	while (*argv)
		words[cnt++] = *argv++;
	words[cnt] = NULL;
	seen = valgrind_usage(words, LIST(text_of("MT_TRUTH=%s", path)), NULL);
	truths = truths_load(path);
	cr_assert_eq(json_array_size(truths), 1);
	truth = json_array_get(truths, 0);
	threads = figure(truth, "threads");
	if (threads) {
		struct usage library = valgrind_usage(
			LIST(target_path("thread_base"), text_of("%lld", threads)), NULL, NULL);

		extra.allocs += library.allocs;
		extra.frees += library.frees;
		extra.alloc_bytes += library.alloc_bytes;
	}
	if (json_is_true(member(truth, "cxx"))) {
		struct usage library = valgrind_usage(LIST(target_path("cxx_empty")), NULL, NULL);

		extra.allocs += library.allocs;
		extra.alloc_bytes += library.alloc_bytes;
	}
	cr_expect_eq(seen.allocs, figure(truth, "allocs") + extra.allocs, "allocs: %lld, %lld",
		     seen.allocs, figure(truth, "allocs") + extra.allocs);
	cr_expect_eq(seen.frees, figure(truth, "frees") + extra.frees, "frees: %lld, %lld",
		     seen.frees, figure(truth, "frees") + extra.frees);
	cr_expect_eq(seen.alloc_bytes, figure(truth, "alloc_bytes") + extra.alloc_bytes,
		     "bytes: %lld, %lld", seen.alloc_bytes,
		     figure(truth, "alloc_bytes") + extra.alloc_bytes);
}

#define AGREES(sentence, ...)                                             \
	Test(truth, sentence)                                             \
	{                                                                 \
		expect_agreement(LIST(__VA_ARGS__), (struct usage){ 0 }); \
	}

AGREES(of_nothing, "empty")
AGREES(of_a_mix, "mix")
AGREES(of_the_family, "family")
AGREES(of_calloc_overflow, "overflow")
AGREES(of_leaks, "leaky")
AGREES(of_a_peak, "peak")
AGREES(of_libc_callers, "libc_callers")
AGREES(of_many_blocks, "many", "50000", "3")
AGREES(of_a_brief_life, "brief")
AGREES(of_deep_stacks, "deep", "40")
AGREES(of_racing_threads, "threads", "4", "5000")
AGREES(of_threads_by_turns, "turns", "3", "500")
AGREES(of_short_threads, "thread_exit", "50")
AGREES(of_a_leader_that_ended, "leader_exit")
AGREES(of_jumps, "jump_plain")
AGREES(of_new_and_delete, "cxx_new")
AGREES(of_exceptions, "cxx_throw")
AGREES(of_containers, "cxx_containers")

#define UNREACHABLE_BYTES (9223372036854775807LL - 4096)

Test(truth, of_failures_but_for_the_realloc_that_failed)
{
	expect_agreement(LIST("failures"), (struct usage){ 1, 1, UNREACHABLE_BYTES, 0 });
}

Test(truth, of_a_peak_of_reallocs_but_for_the_one_that_failed)
{
	expect_agreement(LIST("peak_realloc"), (struct usage){ 1, 1, UNREACHABLE_BYTES, 0 });
}

/* ---- the count of a preloaded allocator's own calls ---------------------------------------------
 */

static void expect_count_agrees(const char *path)
{
	struct usage seen = valgrind_usage(LIST(target_path("empty")),
					   LIST(text_of("LD_PRELOAD=%s", path)), NULL);
	struct usage counted = preloaded_usage(path, true);

	cr_expect_eq(seen.allocs, counted.allocs, "allocs: %lld, %lld", seen.allocs,
		     counted.allocs);
	cr_expect_eq(seen.frees, counted.frees, "frees: %lld, %lld", seen.frees, counted.frees);
	cr_expect_eq(seen.alloc_bytes, counted.alloc_bytes, "bytes: %lld, %lld", seen.alloc_bytes,
		     counted.alloc_bytes);
	cr_expect_eq(seen.live_bytes, counted.live_bytes, "live bytes: %lld, %lld", seen.live_bytes,
		     counted.live_bytes);
}

Test(truth, of_what_comes_with_jemalloc)
{
	expect_count_agrees(need_library("libjemalloc"));
}

Test(truth, of_what_comes_with_mimalloc)
{
	expect_count_agrees(need_library("libmimalloc"));
}

/* gperftools 2.16 begins by allocating until its own malloc was called; valgrind puts its own in
 * place of that one. */
Test(truth, of_what_comes_with_tcmalloc)
{
	const char *path = need_library("libtcmalloc_minimal");
	char *real = realpath(path, NULL);
	bool endless = real && strverscmp(real, text_of("%s.5.18", path)) >= 0;

	free(real);
	if (endless)
		skip("gperftools 2.16 and later never start under valgrind");
	expect_count_agrees(path);
}
