// SPDX-License-Identifier: MIT
/*
 * test_otel.c - processes whose allocator has sites of its own, those of "otel_memory": traced by
 * them alone, with the weights they tell. Ours is the preload library where no memtrace put it: it
 * tells of every block, unless its file says otherwise.
 */
#include "expect.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../unit/preload_file.h"

SUITE(otel);

#define WITH_LIBRARY LIST("LD_PRELOAD=" PRELOAD_LIB)

static void expect_lane(const json_t *row, const char *lane)
{
	cr_expect_str_eq(json_string_value(member(row, "lane")), lane);
}

static void run_attached(struct trace *trace, const char *const *argv, const char *const *options,
			 const char *const *env)
{
	trace_run(trace, &(struct trace_request){
				 .way = ATTACHED, .argv = argv, .options = options, .env = env });
	expect_exit(trace->memtrace, 0);
	cr_expect_eq(trace->target_status, 0);
	expect_consistent(trace->report);
}

/* ---- a library that tells of all ------------------------------------------------------- */

static void expect_exact_by_sites(const char *const *argv, const char *const *options)
{
	struct trace trace;
	json_t *row;
	size_t i;

	run_attached(&trace, argv, options, WITH_LIBRARY);
	expect_exact(&trace);
	json_array_foreach(member(trace.report, "processes"), i, row)
	{
		expect_lane(row, "otel");
		cr_expect(json_is_false(member(row, "estimated")));
	}
	expect_lane(trace.report, "otel");
}

Test(otel, a_mix_equals_the_truth)
{
	expect_exact_by_sites(LIST("mix"), NULL);
}

Test(otel, all_of_the_family_equal_the_truth)
{
	expect_exact_by_sites(LIST("family"), NULL);
}

Test(otel, threads_equal_the_truth)
{
	expect_exact_by_sites(LIST("threads", "4", "5000"), NULL);
}

/* Probed by inode, so that no child is late, and libc's functions are probed as well. */
Test(otel, forked_children_equal_the_truth)
{
	expect_exact_by_sites(LIST("fork_threads"), LIST("--follow", "exact"));
}

Test(otel, call_paths_begin_with_the_caller)
{
	static const char *const stacks[] = { "dwarf", "fp" };
	struct trace trace;

	for (size_t i = 0; i < 2; i++) {
		run_attached(&trace, LIST("peak"), LIST("--stacks", stacks[i]), WITH_LIBRARY);
		expect_lane(only_row(trace.report), "otel");
		expect_sites(trace.report, only_row(trace.report), json_array_get(trace.truths, 0));
	}
}

/* ---- everybody ------------------------------------------------------------------------- */

/* What a trace of everybody says of one process. One that began later was a copy of this one
 * before. */
static json_t *end_and_find(struct tracer *tracer, pid_t pid, json_t **report)
{
	json_t *row, *next;

	child_signal(tracer->child, SIGINT);
	*report = tracer_finish(tracer);
	expect_exit(tracer->child, 0);
	cr_assert_not_null(*report);
	row = row_of_pid(*report, pid, 0);
	cr_assert_not_null(row, "no row for pid %d", (int)pid);
	next = row_of_pid(*report, pid, 1);
	return next ? next : row;
}

static const json_t *truth_at(const char *path)
{
	json_t *truths = truths_load(path);

	cr_assert_eq(json_array_size(truths), 1);
	return json_array_get(truths, 0);
}

static void run_to_end(struct target *target)
{
	target_go(target);
	target_wait_done(target);
	target_release(target);
	child_wait(target->child);
}

Test(otel, among_everybody_those_with_sites_and_those_without_equal_their_truths)
{
	const char *with_truth = stage_path("with"), *without_truth = stage_path("without");
	struct target with, without;
	struct tracer tracer;
	json_t *report, *row;

	target_start(&with, LIST("mix"),
		     LIST(text_of("MT_TRUTH=%s", with_truth), "LD_PRELOAD=" PRELOAD_LIB));
	target_start(&without, LIST("mix"), LIST(text_of("MT_TRUTH=%s", without_truth)));
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-a") });
	tracer_wait_ready(&tracer);
	run_to_end(&with);
	run_to_end(&without);
	row = end_and_find(&tracer, with.child->pid, &report);
	expect_lane(row, "otel");
	expect_row(row, truth_at(with_truth), ATTACHED, WITH_LIBRARY);
	row = row_of_pid(report, without.child->pid, 0);
	cr_assert_not_null(row);
	expect_lane(row, "uprobe");
	expect_row(row, truth_at(without_truth), ATTACHED, NULL);
	cr_expect(json_is_false(member(row, "estimated")));
}

/* One that begins later is taken for an ordinary one until its allocator first speaks: the block
 * that it speaks of was counted already. */
Test(otel, what_begins_later_is_counted_once)
{
	const char *path = stage_path("truth");
	struct target seen, late;
	struct tracer tracer;
	json_t *report, *row;

	/* so that the library's file is known */
	target_start(&seen, LIST("mix", "10"), WITH_LIBRARY);
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-a") });
	tracer_wait_ready(&tracer);
	target_start(&late, LIST("mix"),
		     LIST(text_of("MT_TRUTH=%s", path), "LD_PRELOAD=" PRELOAD_LIB));
	run_to_end(&late);
	run_to_end(&seen);
	row = end_and_find(&tracer, late.child->pid, &report);
	expect_lane(row, "otel");
	expect_row(row, truth_at(path), ATTACHED, WITH_LIBRARY);
}

/* ---- weights --------------------------------------------------------------------------- */

static void expect_figures(const json_t *row, const json_t *truth, const char *const *names)
{
	for (; *names; names++)
		cr_expect_eq(figure(row, *names), figure(truth, *names), "%s: %lld, should be %lld",
			     *names, figure(row, *names), figure(truth, *names));
}

Test(otel, weights_are_honoured_wherever_arguments_are)
{
	struct trace trace;
	json_t *row, *truth;

	run_attached(&trace, LIST("otel_weights"), NULL, NULL);
	row = only_row(trace.report);
	truth = json_array_get(trace.truths, 0);
	expect_lane(row, "otel");
	cr_expect(json_is_true(member(row, "estimated")));
	cr_expect(json_is_true(member(trace.report, "estimated")));
	cr_expect(json_is_null(member(row, "unknown_frees")));
	expect_figures(row, truth,
		       LIST("allocs", "frees", "alloc_bytes", "freed_bytes", "live_blocks",
			    "live_bytes", "peak_bytes", "peak_blocks"));
	for (size_t i = 0; i < 3; i++) {
		json_t *wanted = json_array_get(member(truth, "sites"), i);
		json_t *site =
			site_of(trace.report, row, json_string_value(member(wanted, "function")));

		cr_assert_not_null(site);
		expect_figures(site, wanted,
			       LIST("alloc_blocks", "alloc_bytes", "live_blocks", "live_bytes"));
	}
}

/* Twelve bits of a weight are kept, rounded at random: each is off by one part in 2048 at most, or
 * by that of the block's size (three bytes here) where that is more. */
Test(otel, any_weight_is_kept_to_one_part_in_2048)
{
	static const char *const bytes[] = { "alloc_bytes", "freed_bytes", "live_bytes" };
	struct trace trace;
	json_t *row, *truth;

	run_attached(&trace, LIST("otel_weights", "200", "any"), NULL, NULL);
	row = only_row(trace.report);
	truth = json_array_get(trace.truths, 0);
	cr_expect_gt(figure(truth, "live_bytes"), 0);
	for (size_t i = 0; i < 3; i++) {
		long long is = figure(truth, bytes[i]), got = figure(row, bytes[i]);

		cr_expect(got >= is - is / 2048 - 3 * 2200 && got <= is + is / 2048 + 3 * 2200,
			  "%s: %lld, should be about %lld", bytes[i], got, is);
	}
}

/* As the library's file says, whoever loads it. */
static const char *sampling_library(void)
{
	struct mt_preload_config config = preload_config(MT_PRELOAD_BY_BYTES);
	const char *path = stage_path("sampling.so");
	struct preload_file file;

	config.sample_bytes = 4096;
	config.seed = 1;
	preload_read(&file);
	preload_copy(&file, path, LISTEN_NOBODY, &config);
	preload_file_free(&file);
	return path;
}

static void expect_within(const json_t *row, const json_t *truth, const char *name)
{
	json_t *interval = member(row, text_of("%s_95", name));
	long long low = json_integer_value(json_array_get(interval, 0));
	long long high = json_integer_value(json_array_get(interval, 1));
	long long value = figure(row, name), is = figure(truth, name);

	/* one interval of twenty misses; none is off by twice its width */
	cr_expect(is >= value - 2 * (value - low) && is <= value + 2 * (high - value),
		  "%s: %lld (95 %%: %lld to %lld), the truth is %lld", name, value, low, high, is);
	cr_expect_lt(high - low, is, "%s: %lld to %lld says nothing", name, low, high);
}

static void expect_sampled(const json_t *row, const json_t *truth)
{
	expect_lane(row, "otel");
	cr_expect(json_is_true(member(row, "estimated")));
	expect_within(row, truth, "allocs");
	expect_within(row, truth, "frees");
	expect_within(row, truth, "alloc_bytes");
	expect_within(row, truth, "freed_bytes");
	expect_within(row, truth, "live_bytes");
}

Test(otel, a_sampling_library_is_estimated)
{
	struct trace trace;

	run_attached(&trace, LIST("many", "40000", "3"), NULL,
		     LIST(text_of("LD_PRELOAD=%s", sampling_library())));
	expect_sampled(only_row(trace.report), json_array_get(trace.truths, 0));
}

/* Begun later, blocks are counted one by one until the sample's first; those must not stay for
 * ever. */
Test(otel, what_was_counted_before_the_sample_is_seen_when_it_is_freed)
{
	const char *path = stage_path("truth"), *preload;
	struct target seen, late;
	struct tracer tracer;
	json_t *report, *row;

	preload = text_of("LD_PRELOAD=%s", sampling_library());
	target_start(&seen, LIST("mix", "10"), LIST(preload));
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-a") });
	tracer_wait_ready(&tracer);
	target_start(&late, LIST("many", "20000", "1"),
		     LIST(text_of("MT_TRUTH=%s", path), preload));
	run_to_end(&late);
	run_to_end(&seen);
	row = end_and_find(&tracer, late.child->pid, &report);
	expect_lane(row, "otel");
	cr_expect(json_is_true(member(row, "estimated")));
	cr_expect_eq(figure(truth_at(path), "live_blocks"), 0);
	cr_expect_gt(figure(row, "allocs"), 10000);
	cr_expect_eq(figure(row, "live_blocks"), 0);
	cr_expect_eq(figure(row, "live_bytes"), 0);
}

/* ---- sites that do not serve ----------------------------------------------------------- */

static void expect_exact_by_functions(const char *const *argv, const char *const *env)
{
	struct trace trace;

	run_attached(&trace, argv, LIST("-v"), env);
	expect_exact(&trace);
	expect_lane(only_row(trace.report), "uprobe");
}

Test(otel, arguments_that_nobody_can_read_leave_the_functions_to_probes)
{
	struct trace trace;

	expect_exact_by_functions(LIST("otel_strange"), NULL);
	run_attached(&trace, LIST("otel_strange"), LIST("-v"), NULL);
	expect_stderr_has(trace.memtrace, "arguments that are not understood");
}

Test(otel, a_program_with_its_own_malloc_does_not_use_the_library)
{
	expect_exact_by_functions(LIST("nest_own"), WITH_LIBRARY);
}

Test(otel, the_uprobe_lane_can_be_asked_for)
{
	struct trace trace;

	run_attached(&trace, LIST("mix"), LIST("--lane", "uprobe"), WITH_LIBRARY);
	expect_exact(&trace);
	expect_lane(only_row(trace.report), "uprobe");
}

Test(otel, of_two_pids_each_has_its_own_lane)
{
	const char *with_truth = stage_path("with"), *without_truth = stage_path("without");
	struct target with, without;
	struct tracer tracer;
	json_t *report;

	target_start(&without, LIST("mix"), LIST(text_of("MT_TRUTH=%s", without_truth)));
	target_start(&with, LIST("mix"),
		     LIST(text_of("MT_TRUTH=%s", with_truth), "LD_PRELOAD=" PRELOAD_LIB));
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", (int)without.child->pid),
						      "-p", text_of("%d", (int)with.child->pid)) });
	tracer_wait_ready(&tracer);
	run_to_end(&without);
	run_to_end(&with);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	expect_consistent(report);
	expect_lane(report, "uprobe");
	expect_lane(row_of_pid(report, without.child->pid, 0), "uprobe");
	expect_lane(row_of_pid(report, with.child->pid, 0), "otel");
	expect_row(row_of_pid(report, without.child->pid, 0), truth_at(without_truth), ATTACHED,
		   NULL);
	expect_row(row_of_pid(report, with.child->pid, 0), truth_at(with_truth), ATTACHED,
		   WITH_LIBRARY);
}
