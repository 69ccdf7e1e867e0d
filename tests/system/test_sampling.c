// SPDX-License-Identifier: MIT
/*
 * test_sampling.c - sampled sessions: estimates against what programs count themselves. Seeds are
 * fixed. How often intervals hold the truth is measured by bench/sampling.c; a single one may miss
 * it, so here the truth has to be within twice the interval.
 */
#include "expect.h"

#include <string.h>
#include <unistd.h>

SUITE(sampling);

static void run_sampled(struct trace *trace, const char *const *options, const char *const *argv)
{
	trace_run(trace,
		  &(struct trace_request){ .way = LAUNCHED_PRELOAD, .argv = argv, .options = options });
	expect_exit(trace->memtrace, 0);
	expect_consistent(trace->report);
	cr_expect(json_is_true(member(trace->report, "estimated")));
}

static long long end_of(const json_t *row, const char *name, size_t end)
{
	json_t *interval = member(row, text_of("%s_95", name));

	if (json_array_size(interval) != 2)
		fatal("%s_95 is no interval", name);
	return json_integer_value(json_array_get(interval, end));
}

static void expect_near(const json_t *row, const char *name, long long truth)
{
	long long value = figure(row, name);
	long long low = end_of(row, name, 0), high = end_of(row, name, 1);

	cr_expect(low <= value && value <= high, "%s: %lld is not from %lld to %lld", name, value,
		  low, high);
	cr_expect(truth >= value - 2 * (value - low) && truth <= value + 2 * (high - value),
		  "%s: %lld (95 %%: %lld to %lld), the truth is %lld", name, value, low, high,
		  truth);
	/* that wide anything would do */
	cr_expect(high - low <= 2 * truth || high - low < 100000, "%s: %lld to %lld says nothing",
		  name, low, high);
}

static const char *const figures[] = { "allocs",      "frees",	     "alloc_bytes",
				       "freed_bytes", "live_blocks", "live_bytes" };

#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static void expect_estimates(const char *const *options, const char *const *argv)
{
	struct trace trace;
	json_t *row, *truth;

	run_sampled(&trace, options, argv);
	row = only_row(trace.report);
	truth = json_array_get(trace.truths, 0);
	cr_expect(json_is_true(member(row, "estimated")));
	for (size_t i = 0; i < FIGURES; i++) {
		expect_near(row, figures[i], figure(truth, figures[i]));
		expect_near(member(trace.report, "totals"), figures[i], figure(truth, figures[i]));
	}
	cr_expect(json_is_null(member(row, "reallocs")));
	cr_expect(json_is_null(member(row, "unknown_frees")));
	cr_expect(json_is_null(member(row, "inherited_frees")));
	cr_expect(json_is_null(member(trace.report, "totals.unknown_frees")));
}

#define BY_BYTES LIST("--sample-bytes", "4096", "--sample-seed", "1")
#define BY_CALLS LIST("--sampling-rate", "0.1", "--sample-seed", "1")

Test(sampling, a_mix_is_estimated_by_bytes)
{
	expect_estimates(BY_BYTES, LIST("mix", "40000"));
}

Test(sampling, a_mix_is_estimated_by_calls)
{
	expect_estimates(BY_CALLS, LIST("mix", "40000"));
}

Test(sampling, many_blocks_are_estimated_by_bytes)
{
	expect_estimates(BY_BYTES, LIST("many", "100000", "3"));
}

Test(sampling, many_blocks_are_estimated_by_calls)
{
	expect_estimates(BY_CALLS, LIST("many", "100000", "3"));
}

Test(sampling, threads_are_estimated_by_calls)
{
	expect_estimates(BY_CALLS, LIST("threads", "4", "5000"));
}

/* A free that was missed would be there for ever. */
Test(sampling, what_was_freed_is_not_live)
{
	const char *const *ways[] = { BY_BYTES, BY_CALLS };
	struct trace trace;
	json_t *row;

	for (size_t i = 0; i < 2; i++) {
		run_sampled(&trace, ways[i], LIST("many", "50000", "1"));
		row = only_row(trace.report);
		cr_expect_gt(figure(row, "allocs"), 30000);
		cr_expect_eq(figure(row, "live_blocks"), 0);
		cr_expect_eq(figure(row, "live_bytes"), 0);
		/* and yet a few could have been missed */
		cr_expect_eq(end_of(row, "live_bytes", 0), 0);
		cr_expect_gt(end_of(row, "live_bytes", 1), 0);
		cr_expect_eq(json_array_size(member(trace.report, "leaks")), 0);
	}
}

/* Each allocation is in the sample, so it is all exact, on a way that has nothing else in common.
 */
static void expect_whole(const char *const *argv)
{
	struct trace trace;
	json_t *truth;
	size_t i;

	run_sampled(&trace, LIST("--sampling-rate", "1"), argv);
	json_array_foreach(trace.truths, i, truth)
	{
		json_t *row = row_of_pid(trace.report, figure(truth, "pid"), 0);

		cr_assert_not_null(row);
		for (size_t n = 0; n < FIGURES; n++) {
			long long is = figure(truth, figures[n]);

			cr_expect_eq(figure(row, figures[n]), is, "%s: %lld, should be %lld",
				     figures[n], figure(row, figures[n]), is);
			cr_expect_eq(end_of(row, figures[n], 0), is);
			cr_expect_eq(end_of(row, figures[n], 1), is);
		}
		cr_expect_eq(figure(row, "failed_allocs"), figure(truth, "failed_allocs"));
		if (json_is_integer(member(truth, "peak_bytes"))) {
			cr_expect_eq(figure(row, "peak_bytes"), figure(truth, "peak_bytes"));
			cr_expect_eq(figure(row, "peak_blocks"), figure(truth, "peak_blocks"));
		}
	}
	cr_expect_eq(row_cnt(trace.report), json_array_size(trace.truths));
}

Test(sampling, a_sample_of_everything_is_the_truth)
{
	expect_whole(LIST("mix"));
	expect_whole(LIST("family"));
	expect_whole(LIST("failures"));
	expect_whole(LIST("peak"));
}

Test(sampling, a_sample_of_everything_is_the_truth_of_forked_children_too)
{
	expect_whole(LIST("fork_inherit"));
}

/* A shell may have been that pid before. */
static json_t *last_row_of_pid(const json_t *report, long long pid)
{
	json_t *last = NULL, *row;

	for (size_t n = 0; (row = row_of_pid(report, pid, n)); n++)
		last = row;
	return last;
}

Test(sampling, a_static_child_of_a_sampled_tree_is_exact)
{
	const char *truth = stage_path("truth"), *name = target_path("static_glibc");
	json_t *report, *row, *truths;
	struct tracer tracer;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = BY_BYTES,
				      .command = LIST("sh", "-c",
						      text_of("MT_TRUTH=%s %s; %s; exit 0", truth,
							      name, target_path("mix"))),
			      });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	expect_consistent(report);
	truths = truths_load(truth);
	cr_assert_eq(json_array_size(truths), 1);
	row = last_row_of_pid(report, figure(json_array_get(truths, 0), "pid"));
	cr_assert_not_null(row, "the static child has no row");
	cr_expect_str_eq(json_string_value(member(row, "lane")), "uprobe");
	cr_expect(json_is_false(member(row, "estimated")));
	cr_expect_null(json_object_get(row, "live_bytes_95"));
	expect_row(row, json_array_get(truths, 0), LAUNCHED, NULL);
	cr_expect(json_is_true(member(report, "estimated")));
	cr_expect(json_is_null(member(report, "totals.reallocs")));
	cr_expect_gt(end_of(member(report, "totals"), "alloc_bytes", 0),
		     figure(row, "alloc_bytes"));
}

Test(sampling, the_same_seed_takes_the_same_sample)
{
	static const char *const seeds[] = { "5", "5", "6" };
	long long allocs[3], bytes[3];
	struct trace trace;

	for (size_t i = 0; i < 3; i++) {
		run_sampled(&trace, LIST("--sampling-rate", "0.125", "--sample-seed", seeds[i]),
			    LIST("mix", "20000"));
		allocs[i] = figure(only_row(trace.report), "allocs");
		bytes[i] = figure(only_row(trace.report), "alloc_bytes");
	}
	cr_expect_eq(allocs[0], allocs[1]);
	cr_expect_eq(bytes[0], bytes[1]);
	cr_expect_neq(bytes[0], bytes[2]);
}

Test(sampling, off_takes_nothing_and_claims_nothing)
{
	static const char *const ways[] = { "--sample-bytes", "--sampling-rate" };
	struct trace trace;
	json_t *row;

	for (size_t i = 0; i < 2; i++) {
		run_sampled(&trace, LIST(ways[i], "0"), LIST("leaky"));
		row = only_row(trace.report);
		cr_expect_eq(figure(row, "allocs"), 0);
		cr_expect(json_is_null(json_array_get(member(row, "allocs_95"), 1)));
		cr_expect(json_is_null(json_array_get(member(row, "live_bytes_95"), 1)));
		expect_stderr_has(trace.memtrace, "sampling     off: no allocation is taken");
		expect_stderr_has(trace.memtrace, "no leaks are looked for");
	}
}

Test(sampling, a_limit_is_crossed_by_estimate)
{
	struct tracer tracer;
	json_t *report;

	/* 4.8 MB in blocks of 16 bytes */
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("--limit-mb", "2", "--fail-on", "limit,leak",
					     "--sampling-rate", "0.2", "--sample-seed", "1"),
			     .command = LIST(target_path("many"), "300000"),
		     });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 3);
	cr_expect(json_is_true(member(report, "limit.exceeded")));
	cr_expect_gt(figure(report, "limit.usage_bytes"), 2 << 20);
	expect_stderr_has(tracer.child, "LIMIT EXCEEDED by estimate at ");
	expect_stderr_has(tracer.child, "gate limit: about 4.");
	expect_stderr_has(tracer.child, "gate leak: about 4.");
}

/* The target, which memtrace starts, holds its blocks until a report has told of it. */
Test(sampling, what_the_filter_takes_in_a_process_is_told)
{
	struct pipe_pair out = pipe_new();
	struct tracer tracer;
	struct target target;
	json_t *report, *row;
	long long bytes;

	target_prepare(&target);
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("--json", "-", "--interval", "0.05", "--sampling-rate",
					     "0.5", "--sample-seed", "1"),
			     .command = LIST(target_path("many"), "20000"),
			     .env = LIST(target.env[0], target.env[1], target.env[2], target.env[3],
					 text_of("MT_TRUTH=%s", stage_path("truth"))),
			     .fds = target.fds,
			     .out_fd = out.out,
		     });
	pipe_close(&out.out);
	target_started(&target);
	cr_assert(pipe_wait(target.ready.in));
	target_go(&target);
	target_wait_done(&target);
	do {
		report = report_next(out.in);
		cr_assert_not_null(report, "the trace ended");
		row = only_row(report);
	} while (figure(row, "live_blocks") < 15000);
	bytes = figure(row, "filter_bytes");
	/* an address for each of some 10,000 blocks, in tables that grow by fours */
	cr_expect(bytes >= 8 * 9000 && bytes <= 16 * 8 * 11000, "%lld", bytes);
	target_release(&target);
	report = report_last(out.in);
	cr_expect(json_is_null(member(only_row(report), "filter_bytes")),
		  "of a process that ended");
	child_wait(tracer.child);
	expect_exit(tracer.child, 0);
}

Test(sampling, a_program_that_cannot_be_preloaded_is_refused)
{
	static const char *const names[] = { "static_glibc", "nest_own" };

	for (size_t i = 0; i < 2; i++) {
		struct child *memtrace;

		run(&(struct start){ .argv = LIST(memtrace_path(), "--sample-bytes", "4096", "--",
						  target_path(names[i])) },
		    &memtrace);
		expect_exit(memtrace, 1);
		expect_one_line(memtrace, LIST("cannot be sampled", names[i],
					       i ? "allocator of its own" : "statically linked",
					       "(without sampling"));
	}
}
