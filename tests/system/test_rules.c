// SPDX-License-Identifier: MIT
/* test_rules.c - one process, each rule of exact accounting: figures equal the truth. */
#include "expect.h"

#include <unistd.h>
#include <string.h>

SUITE(rule1_family);

EACH_WAY(rule1_family, every_member_counts, "family")
EACH_WAY(rule1_family, whole_pages_count_the_bytes_asked_for, "pagewise")
EACH_WAY(rule1_family, blocks_the_c_library_allocates_for_its_caller_count, "libc_callers")
EACH_WAY(rule1_family, operator_new_and_delete_count_once, "cxx_new")
EACH_WAY(rule1_family, containers_count, "cxx_containers")
EACH_WAY(rule1_family, a_static_glibc_program_counts, "static_glibc")
EACH_WAY(rule1_family, a_static_musl_program_counts, "static_musl")
EACH_WAY(rule1_family, a_static_musl_mix_counts, "static_musl_mix")

/* A library of Debian that brings another allocator. */
static void expect_preloaded_exact(enum way way, const char *library, const char *target)
{
	const char *path = need_library(library);

	expect_request_exact(&(struct trace_request){
		.way = way,
		.argv = LIST(target),
		.env = LIST(text_of("LD_PRELOAD=%s", path)),
	});
}

#define PRELOADED(name, library)                                      \
	Test(rule1_family, name##_launched)                           \
	{                                                             \
		expect_preloaded_exact(LAUNCHED, library, "family");  \
	}                                                             \
	Test(rule1_family, name##_launched_preload)                    \
	{                                                             \
		expect_preloaded_exact(LAUNCHED_PRELOAD, library, "family");  \
	}                                                             \
	Test(rule1_family, name##_attached)                           \
	{                                                             \
		expect_preloaded_exact(ATTACHED, library, "family");  \
	}                                                             \
	Test(rule1_family, name##_mix_launched)                       \
	{                                                             \
		expect_preloaded_exact(LAUNCHED, library, "mix");     \
	}                                                             \
	Test(rule1_family, name##_cxx_attached)                       \
	{                                                             \
		expect_preloaded_exact(ATTACHED, library, "cxx_new"); \
	}

PRELOADED(preloaded_jemalloc_counts, "libjemalloc")
PRELOADED(preloaded_tcmalloc_counts, "libtcmalloc_minimal")
PRELOADED(preloaded_mimalloc_counts, "libmimalloc")

SUITE(rule2_order);

EACH_WAY(rule2_order, a_call_that_fails_yields_no_block_and_keeps_the_old_one, "failures")
EACH_WAY(rule2_order, calloc_that_overflows_is_a_failure, "overflow")
EACH_WAY(rule2_order, new_that_throws_is_a_failure, "cxx_bad_alloc")
EACH_WAY(rule2_order, blocks_freed_by_other_threads_balance, "threads", "4", "20000")
EACH_WAY(rule2_order, two_threads_hammering_lose_nothing, "threads", "2", "100000")

/* A realloc that has not come back when its process ends, or tracing does: nothing was replaced. */
static void expect_unfinished_realloc_exact(enum way way, const char *what)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST("mid_realloc", what) });
	expect_exact(&trace);
}

Test(rule2_order, a_process_killed_inside_realloc_has_the_old_block_launched)
{
	expect_unfinished_realloc_exact(LAUNCHED, "kill");
}

Test(rule2_order, a_process_killed_inside_realloc_has_the_old_block_attached)
{
	expect_unfinished_realloc_exact(ATTACHED, "kill");
}

Test(rule2_order, a_program_left_from_inside_realloc_has_the_old_block)
{
	expect_unfinished_realloc_exact(LAUNCHED, "exec");
}

Test(rule2_order, a_process_inside_realloc_when_tracing_ends_has_the_old_block)
{
	expect_unfinished_realloc_exact(ATTACHED_HELD, "hold");
}

SUITE(rule3_counting);

EACH_WAY(rule3_counting, nothing_is_nothing, "empty")
EACH_WAY(rule3_counting, a_random_mix_equals_its_truth, "mix", "40000")
EACH_WAY(rule3_counting, leaks_equal_their_truth, "leaky")
EACH_WAY(rule3_counting, a_brief_life_is_complete, "brief")
EACH_WAY(rule3_counting, a_million_live_blocks_are_kept, "many", "1000000", "3")

Test(rule3_counting, a_process_that_is_held_is_exact_while_it_lives)
{
	expect_target_exact(ATTACHED_HELD, LIST("mix"));
}

Test(rule3_counting, threads_that_are_held_are_exact_while_they_live)
{
	expect_target_exact(ATTACHED_HELD, LIST("threads"));
}

SUITE(rule4_nesting);

EACH_WAY(rule4_nesting, calloc_that_calls_malloc_counts_once, "nest_own")
EACH_WAY(rule4_nesting, longjmp_across_plain_code_changes_nothing, "jump_plain")
EACH_WAY(rule4_nesting, exceptions_change_nothing, "cxx_throw")

static void expect_stale_entries_counted(enum way way)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST("jump_own") });
	expect_exact(&trace);
	cr_expect_gt(figure(trace.report, "notices.stale_entries"), 0);
}

Test(rule4_nesting, calls_after_one_that_never_returned_count_launched)
{
	expect_stale_entries_counted(LAUNCHED);
}

Test(rule4_nesting, calls_after_one_that_never_returned_count_attached)
{
	expect_stale_entries_counted(ATTACHED);
}

SUITE(rule6_unknown);

EACH_WAY(rule6_unknown, a_free_of_a_block_from_before_touches_nothing, "early")
EACH_WAY(rule6_unknown, ends_of_threads_touch_nothing, "thread_exit")
EACH_WAY(rule6_unknown, a_leader_that_ended_does_not_end_the_account, "leader_exit")

SUITE(rule7_peak);

EACH_WAY(rule7_peak, a_realloc_never_has_two_blocks_live, "peak_realloc")
EACH_WAY(rule7_peak, threads_by_turns_make_an_exact_peak, "turns")

static void expect_sites_exact(enum way way, const char *target)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST(target) });
	expect_exact(&trace);
	expect_sites(trace.report, only_row(trace.report), json_array_get(trace.truths, 0));
}

Test(rule7_peak, each_site_has_its_own_and_its_share_launched)
{
	expect_sites_exact(LAUNCHED, "peak");
}

Test(rule7_peak, each_site_has_its_own_and_its_share_attached)
{
	expect_sites_exact(ATTACHED, "peak");
}

Test(rule7_peak, leaking_sites_have_theirs_launched)
{
	expect_sites_exact(LAUNCHED, "leaky");
}

Test(rule7_peak, leaking_sites_have_theirs_attached)
{
	expect_sites_exact(ATTACHED, "leaky");
}

/* The analysis names the same sites, each with its share, and says so to people. */
static void expect_peak_told(enum way way)
{
	struct trace trace;
	const json_t *truth, *peak, *expected, *row;
	double of_all;
	size_t i, j;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST("peak") });
	expect_exact(&trace);
	truth = json_array_get(trace.truths, 0);
	peak = member(trace.report, "peak");
	of_all = (double)figure(peak, "bytes");
	cr_expect_geq(figure(peak, "bytes"), figure(truth, "peak_bytes"));
	cr_expect_eq(figure(peak, "process"), figure(only_row(trace.report), "id"));
	json_array_foreach(member(truth, "sites"), i, expected)
	{
		const char *function = json_string_value(member(expected, "function"));
		json_t *site = site_of(trace.report, only_row(trace.report), function);
		size_t told = 0;

		json_array_foreach(member(peak, "sites"), j, row)
		{
			if (!site || figure(row, "site") != figure(site, "id"))
				continue;
			told++;
			cr_expect_eq(figure(row, "bytes_at_peak"),
				     figure(expected, "bytes_at_peak"), "of %s", function);
			cr_expect_eq(figure(row, "live_bytes"), figure(expected, "live_bytes"),
				     "of %s", function);
			cr_expect_float_eq(json_real_value(member(row, "share")),
					   (double)figure(expected, "bytes_at_peak") / of_all, 1e-6,
					   "of %s", function);
		}
		cr_expect_eq(told, 1, "%s is told %zu times", function, told);
	}
	expect_stderr_has(trace.memtrace, "\npeak: ");
	expect_stderr_has(trace.memtrace, "  1. 39.1 KiB (40,000 bytes), 5");
	expect_stderr_has(trace.memtrace, " of the peak; 1000 B left at the end\n");
}

Test(rule7_peak, what_was_live_at_it_is_told_launched)
{
	expect_peak_told(LAUNCHED);
}

Test(rule7_peak, what_was_live_at_it_is_told_launched_preload)
{
	expect_peak_told(LAUNCHED_PRELOAD);
}

SUITE(rule9_losses);

/* Whatever does not fit is counted as not counted. */
Test(rule9_losses, a_budget_too_small_is_said_and_never_silent)
{
	struct trace trace;
	const json_t *truth;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("many", "3000000"),
				  .options = LIST("--max-memory-mb", "32"),
			  });
	truth = json_array_get(trace.truths, 0);
	cr_expect_gt(figure(trace.report, "losses.total"), 0, "3 M blocks fit into 32 MiB?");
	cr_expect_leq(figure(trace.report, "totals.live_blocks"), figure(truth, "live_blocks"));
	cr_expect_geq(figure(trace.report, "totals.live_blocks") +
			      figure(trace.report, "losses.total"),
		      figure(truth, "live_blocks"), "blocks are missing that no loss accounts for");
}

Test(rule9_losses, are_said_in_one_line_when_quiet)
{
	struct trace trace;

	trace_run(&trace,
		  &(struct trace_request){
			  .way = LAUNCHED,
			  .argv = LIST("many", "3000000"),
			  .options = LIST("--max-memory-mb", "32", "--limit-mb", "0", "--quiet"),
		  });
	cr_expect_gt(figure(trace.report, "losses.total"), 0);
	expect_stderr_has(trace.memtrace, "memtrace: LOSSES: ");
	cr_expect_null(strstr(file_text(trace.memtrace->err), "live heap"));
}
