// SPDX-License-Identifier: MIT
/*
 * test_overhead.c - what tracing is said to cost, as far as that can be told from a program's own
 * counts and clocks; and what --max-overhead does. How near the estimate is to the clock on the
 * wall is measured by bench/overhead.c: no test depends on how fast this machine is.
 */
#include "expect.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SUITE(overhead);

static double number(const json_t *report, const char *name)
{
	json_t *value = member(report, text_of("overhead.%s", name));

	if (!json_is_number(value))
		fatal("overhead.%s is not known", name);
	return json_number_value(value);
}

static bool is_known(const json_t *report, const char *name)
{
	return !json_is_null(member(report, text_of("overhead.%s", name)));
}

/* ---- the estimate --------------------------------------------------------------------------- */

static void expect_calls(enum way way)
{
	struct trace trace;
	json_t *truth;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST("mix", "20000") });
	cr_assert_not_null(trace.report);
	truth = json_array_get(trace.truths, 0);
	cr_expect_eq(figure(trace.report, "overhead.calls"),
		     figure(truth, "allocs") + figure(truth, "frees") - figure(truth, "reallocs") +
			     figure(truth, "failed_allocs"));
	cr_expect_gt(number(trace.report, "cost_s"), 0);
}

Test(overhead, calls_are_those_the_program_made_launched)
{
	expect_calls(LAUNCHED);
}

Test(overhead, calls_are_those_the_program_made_launched_preload)
{
	expect_calls(LAUNCHED_PRELOAD);
}

Test(overhead, calls_are_those_the_program_made_attached)
{
	expect_calls(ATTACHED);
}

static const char *pid_text(const struct target *target)
{
	return text_of("%d", (int)target->child->pid);
}

static json_t *run_command(const char *const *options, const char *const *command,
			   struct tracer *tracer)
{
	json_t *report;

	tracer_start(tracer, &(struct tracer_start){ .options = options, .command = command });
	report = tracer_finish(tracer);
	cr_assert_not_null(report, "no report: %s", file_text(tracer->child->err));
	return report;
}

/* The last line of times(1): user and system time of children that were waited for. */
static double seconds_of_times(const char *text)
{
	double sum = 0, minutes, seconds;
	const char *at = text;
	int len;

	while (sscanf(at, " %lfm%lfs%n", &minutes, &seconds, &len) == 2) {
		sum += minutes * 60 + seconds;
		at += len;
	}
	return sum;
}

/* Children that end at once are in the sum, and what the shell says of itself agrees. */
Test(overhead, cpu_time_is_that_of_the_whole_tree)
{
	struct tracer tracer;
	json_t *report;
	double said, times;

	report = run_command(
		LIST("-q"),
		LIST("sh", "-c",
		     "i=0; while [ $i -lt 30 ]; do i=$((i+1)); sh -c 'j=0; while [ $j -lt "
		     "20000 ]; do j=$((j+1)); done'; done; times"),
		&tracer);
	times = seconds_of_times(file_text(tracer.child->out));
	said = number(report, "cpu_s");
	cr_assert_gt(times, 0.1, "the shell used %.3f s only", times);
	/* times come in ticks, and the shell's own end comes after it */
	cr_expect(said > times - 0.05 && said < times + 0.05 + times / 10,
		  "%.3f s, the shell says %.3f s", said, times);
}

Test(overhead, a_program_that_sleeps_is_not_slower)
{
	struct tracer tracer;
	struct target target;
	json_t *report;

	target_start(&target, LIST("waiting"), NULL);
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid_text(&target)) });
	tracer_wait_ready(&tracer);
	child_signal(tracer.child, SIGINT);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	cr_expect_eq(figure(report, "overhead.calls"), 0);
	cr_expect_eq(number(report, "cost_s"), 0);
	cr_expect_eq(number(report, "slowdown"), 1);
	target_go(&target);
	target_release(&target);
	expect_exit(target.child, 0);
}

/* A program that does little but allocate, and memtrace on it. */
struct busy {
	struct target target;
	struct tracer tracer;
	struct pipe_pair err;
};

static void busy_attach(struct busy *b, const char *option, const char *value)
{
	b->err = pipe_new();
	target_start(&b->target, LIST("steady"), NULL);
	tracer_start(&b->tracer,
		     &(struct tracer_start){ .options = LIST("--interval", "0", "-p",
							     pid_text(&b->target), option, value),
					     .err_fd = b->err.out });
	pipe_close(&b->err.out);
	tracer_wait_ready(&b->tracer);
	target_go(&b->target);
}

static void busy_launch(struct busy *b, const char *const *options, int out_fd)
{
	struct target *t = &b->target;

	b->err = pipe_new();
	target_prepare(t);
	tracer_start(
		&b->tracer,
		&(struct tracer_start){
			.options = options,
			.command = LIST("sh", "-c", text_of("%s; exit 7", target_path("steady"))),
			.env = LIST(t->env[0], t->env[1], t->env[2], t->env[3],
				    text_of("MT_TRUTH=%s", stage_path("truth"))),
			.fds = t->fds,
			.out_fd = out_fd,
			.err_fd = b->err.out,
		});
	pipe_close(&b->err.out);
	target_started(t);
	cr_assert(pipe_wait(t->ready.in), "the command was not run");
	target_go(t);
}

Test(overhead, who_was_attached_to_is_told_about_first)
{
	struct busy b;
	json_t *report;
	const char *line;

	busy_attach(&b, NULL, NULL);
	line = pipe_wait_line(b.err.in, "tracing makes it");
	cr_expect(strstr(line, text_of("pid %s makes", pid_text(&b.target))), "%s", line);
	cr_expect(strstr(line, "slower"), "%s", line);
	target_release(&b.target);
	expect_exit(b.target.child, 0);
	report = tracer_finish(&b.tracer);
	cr_assert_not_null(report);
	expect_consistent(report);
	/* a malloc and a free, and nothing else but writing the block */
	cr_expect_gt(number(report, "slowdown"), 1.5);
	cr_expect_gt(number(report, "share"), 0.5);
	cr_expect_not(is_known(report, "ended_at_s"));
}

/* ---- too much of it ------------------------------------------------------------------------- */

Test(overhead, above_the_maximum_tracing_ends_and_the_target_lives_on)
{
	struct busy b;
	json_t *report;

	busy_attach(&b, "--max-overhead", "10");
	report = tracer_finish(&b.tracer);
	expect_exit(b.tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect(json_is_true(member(report, "overhead.ended")));
	cr_expect_gt(number(report, "ended_percent"), 10);
	cr_expect(child_runs(b.target.child));
	expect_code_untouched(b.target.child->pid);
	target_release(&b.target);
	expect_exit(b.target.child, 0);
}

Test(overhead, below_the_maximum_nothing_ends)
{
	struct tracer tracer;
	json_t *report;

	report = run_command(LIST("--lane", "uprobe", "--max-overhead", "10"),
			     LIST("sh", "-c", "head -c 600000000 /dev/zero | md5sum"), &tracer);
	expect_exit(tracer.child, 0);
	cr_expect(json_is_false(member(report, "overhead.ended")));
	cr_expect_lt(number(report, "slowdown"), 1.1);
}

Test(overhead, the_status_of_a_command_is_still_waited_for)
{
	struct busy b;
	json_t *report;

	busy_launch(&b, LIST("--lane", "uprobe", "--max-overhead", "10"), 0);
	pipe_wait_line(b.err.in, "the command runs on");
	target_release(&b.target);
	report = tracer_finish(&b.tracer);
	expect_exit(b.tracer.child, 7);
	cr_assert_not_null(report);
	cr_expect(json_is_true(member(report, "overhead.ended")));
	cr_expect_eq(json_array_size(truths_load(stage_path("truth"))), 1,
		     "the command did not come to its end");
}

static double end_of(const json_t *row, const char *name, size_t end)
{
	return json_number_value(json_array_get(member(row, name), end));
}

/* Until as much again was allocated after the sample was widened. */
static void wait_for_twice_as_many(int fd)
{
	long long at_first = 0;
	json_t *report;

	while ((report = report_next(fd))) {
		bool sampled = !json_is_null(member(report, "sampling"));

		if (sampled && at_first && figure(report, "totals.allocs") > 2 * at_first)
			return;
		if (sampled && !at_first)
			at_first = figure(report, "totals.allocs");
	}
	fatal("memtrace ended");
}

/* What was counted before is exact, the rest an estimate, and the truth is near: within twice the
 * 95 % interval. */
Test(overhead, in_the_preload_lane_the_sample_is_widened)
{
	struct pipe_pair out = pipe_new();
	json_t *report, *truth, *row;
	double low, high, is;
	struct busy b;

	busy_launch(&b,
		    LIST("-q", "--lane", "preload", "--max-overhead", "10", "--json", "-",
			 "--interval", "0.2"),
		    out.out);
	pipe_close(&out.out);
	wait_for_twice_as_many(out.in);
	target_release(&b.target);
	report = report_last(out.in);
	expect_exit(b.tracer.child, 7);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect(is_known(report, "widened_at_s"));
	cr_expect(json_is_false(member(report, "overhead.ended")));
	cr_expect(json_is_true(member(report, "estimated")));
	cr_expect(!json_is_null(member(report, "sampling.sample_bytes")));
	truth = json_array_get(truths_load(stage_path("truth")), 0);
	row = row_of_pid(report, figure(truth, "pid"), 0);
	if (!row || json_is_string(member(row, "ended_by")))
		row = row_of_pid(report, figure(truth, "pid"), 1) ?: row;
	is = figure(truth, "allocs");
	low = end_of(row, "allocs_95", 0);
	high = end_of(row, "allocs_95", 1);
	cr_expect(is > low - (high - low) / 2 && is < high + (high - low) / 2,
		  "%.0f to %.0f, the truth is %.0f", low, high, is);
	cr_expect_lt(high - low, is, "that wide anything would do");
}

/* As long as it does not come to a sample, everything is exact on this way too. */
static void expect_exact_prepared(const char *const *argv)
{
	static const char *const names[] = { "allocs",	    "frees",	   "reallocs",
					     "alloc_bytes", "freed_bytes", "live_blocks",
					     "live_bytes",  "peak_bytes",  "failed_allocs" };
	struct trace trace;
	json_t *truth;
	size_t i;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED_PRELOAD,
						   .argv = argv,
						   .options = LIST("--max-overhead", "500") });
	expect_exit(trace.memtrace, 0);
	expect_consistent(trace.report);
	cr_expect(json_is_false(member(trace.report, "estimated")));
	cr_expect(json_is_null(member(trace.report, "sampling")));
	json_array_foreach(trace.truths, i, truth)
	{
		json_t *row = row_of_pid(trace.report, figure(truth, "pid"), 0);

		cr_assert_not_null(row);
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			cr_expect_eq(figure(row, names[n]), figure(truth, names[n]),
				     "%s: %lld, not %lld", names[n], figure(row, names[n]),
				     figure(truth, names[n]));
		cr_expect(json_is_null(member(row, "unknown_frees")));
	}
}

Test(overhead, prepared_for_a_sample_a_mix_is_exact)
{
	expect_exact_prepared(LIST("mix", "4000"));
}

Test(overhead, prepared_for_a_sample_failures_are_exact)
{
	expect_exact_prepared(LIST("failures"));
}

Test(overhead, cannot_be_told_from_that_of_others)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "--follow", "exact", "--max-overhead",
					  "10", "-p", text_of("%d", (int)getpid())) },
	    &memtrace);
	expect_exit(memtrace, 2);
	expect_one_line(memtrace, LIST("--max-overhead", "--follow exact"));
}
