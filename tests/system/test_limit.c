// SPDX-License-Identifier: MIT
/* test_limit.c - the allocation that crosses: found at that very call, and acted upon before it
 * returns. Blocks are 1 MiB: number N (from 0) is the one that crosses N MiB. */
#include "expect.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define MIB (1ll << 20)

SUITE(limit);

/* How many calls returned. */
static unsigned long long progress(void)
{
	int fd = open(stage_path("progress"), O_RDONLY | O_CLOEXEC);
	uint64_t steps = UINT64_MAX;

	if (fd < 0 || read(fd, &steps, sizeof(steps)) != sizeof(steps))
		fatal("the target left no progress");
	close(fd);
	return steps;
}

static void trace_crossing(struct trace *trace, enum way way, const char *const *argv,
			   const char *const *options)
{
	trace_run(trace, &(struct trace_request){
				 .way = way,
				 .argv = argv,
				 .options = options,
				 .env = LIST(text_of("MT_PROGRESS=%s", stage_path("progress"))),
			 });
}

static void expect_crossing(const struct trace *trace, long long mib)
{
	json_t *row = row_of_id(trace->report, figure(trace->report, "limit.process")), *site;

	cr_expect(json_is_true(member(trace->report, "limit.exceeded")));
	cr_expect_eq(figure(trace->report, "limit.bytes"), mib * MIB);
	cr_expect_eq(figure(trace->report, "limit.usage_bytes"), (mib + 1) * MIB);
	cr_expect(json_is_number(member(trace->report, "limit.exceeded_at_s")));
	cr_assert_not_null(row, "the crosser has no row");
	site = site_of(trace->report, row, "cross_limit");
	cr_assert_not_null(site, "the crossing call is in no site");
	cr_expect_eq(figure(trace->report, "limit.site"), figure(site, "id"));
}

static void expect_reported(enum way way)
{
	struct trace trace;

	trace_crossing(&trace, way, LIST("crossing", "300", "250"), NULL);
	expect_exit(trace.memtrace, 0);
	expect_exact(&trace);
	expect_crossing(&trace, 250);
	cr_expect_eq(progress(), 300);
	expect_stderr_has(trace.memtrace, "cross_limit");
}

Test(limit, of_250_mib_is_the_default_and_the_crossing_call_is_reported_launched)
{
	expect_reported(LAUNCHED);
}

Test(limit, of_250_mib_is_the_default_and_the_crossing_call_is_reported_attached)
{
	expect_reported(ATTACHED);
}

Test(limit, is_not_crossed_by_reaching_it)
{
	struct trace trace;

	trace_crossing(&trace, LAUNCHED, LIST("crossing", "40", "40"), LIST("--limit-mb", "40"));
	expect_exact(&trace);
	cr_expect(json_is_false(member(trace.report, "limit.exceeded")));
	cr_expect(json_is_null(member(trace.report, "limit.usage_bytes")));
}

Test(limit, of_zero_is_none)
{
	struct trace trace;

	trace_crossing(&trace, LAUNCHED, LIST("crossing", "300", "0"), LIST("--limit-mb", "0"));
	expect_exact(&trace);
	cr_expect(json_is_null(member(trace.report, "limit.bytes")));
	cr_expect(json_is_false(member(trace.report, "limit.exceeded")));
}

static void expect_killed(enum way way, int status)
{
	struct trace trace;

	trace_crossing(&trace, way, LIST("crossing", "60", "20"),
		       LIST("--limit-mb", "20", "--on-limit", "kill"));
	expect_exit(trace.memtrace, status);
	cr_expect_eq(progress(), 20, "%llu calls returned, the limit is crossed by number 20",
		     progress());
	expect_crossing(&trace, 20);
	expect_consistent(trace.report);
	cr_expect_eq(figure(only_row(trace.report), "allocs"), 21);
	cr_expect_eq(figure(only_row(trace.report), "signal"), SIGKILL);
}

Test(limit, kills_before_the_crossing_call_returns_launched)
{
	expect_killed(LAUNCHED, 137);
}

Test(limit, kills_before_the_crossing_call_returns_attached)
{
	expect_killed(ATTACHED, 0);
}

Test(limit, stops_before_the_crossing_call_returns_and_lets_it_be_continued)
{
	const char *env = text_of("MT_PROGRESS=%s", stage_path("progress"));
	struct pipe_pair err = pipe_new();
	struct tracer tracer;
	struct target target;
	json_t *report;
	siginfo_t info;

	target_start(&target, LIST("crossing", "60", "20"), LIST(env));
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", (int)target.child->pid),
						      "--limit-mb", "20", "--on-limit", "stop"),
				      .err_fd = err.out,
			      });
	pipe_close(&err.out);
	tracer_wait_ready(&tracer);
	target_go(&target);
	cr_assert_eq(waitid(P_PID, (id_t)target.child->pid, &info, WSTOPPED | WEXITED | WNOWAIT),
		     0);
	cr_assert_eq(info.si_code, CLD_STOPPED, "it ended instead");
	cr_expect_eq(progress(), 20, "%llu calls returned", progress());
	/* it says how to continue */
	pipe_wait_line(err.in, text_of("kill -CONT %d", (int)target.child->pid));
	cr_expect(child_runs(tracer.child), "memtrace did not wait");
	child_signal(target.child, SIGCONT);
	target_release(&target);
	expect_exit(target.child, 0);
	pipe_wait_end(err.in);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	cr_expect_eq(progress(), 60);
	cr_expect_eq(figure(report, "totals.peak_bytes"), 60 * MIB);
}

Test(limit, is_that_of_the_tree_when_launched)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("tree_limit", "3", "10"),
				  .options = LIST("--limit-mb", "25"),
			  });
	expect_exit(trace.memtrace, 0);
	expect_exact(&trace);
	cr_expect_str_eq(json_string_value(member(trace.report, "limit.scope")), "tree");
	cr_expect(json_is_true(member(trace.report, "limit.exceeded")));
	cr_expect_eq(figure(trace.report, "limit.usage_bytes"), 26 * MIB);
	cr_expect_eq(figure(trace.report, "totals.peak_bytes"), 30 * MIB);
}

Test(limit, kills_the_whole_tree)
{
	struct pipe_pair lifeline = pipe_new();
	struct tracer tracer;
	json_t *report, *row;
	size_t i;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--limit-mb", "25", "--on-limit", "kill"),
				      .command = LIST(target_path("tree_limit"), "3", "10"),
				      .fds = (const int[]){ lifeline.out, -1 },
			      });
	pipe_close(&lifeline.out);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 137);
	pipe_wait_end(lifeline.in);
	cr_assert_not_null(report);
	json_array_foreach(member(report, "processes"), i, row)
	{
		cr_expect_eq(figure(row, "signal"), SIGKILL);
	}
	cr_expect_eq(figure(report, "limit.usage_bytes"), 26 * MIB);
}

/* Two targets one after the other, each over 20 MiB of its own; both live on meanwhile. */
static void expect_both_told(const char *const *options, struct target *targets, bool tree)
{
	struct pipe_pair err = pipe_new();
	struct tracer tracer;
	const char *line;
	json_t *report;

	tracer_start(&tracer, &(struct tracer_start){ .options = options, .err_fd = err.out });
	pipe_close(&err.out);
	tracer_wait_ready(&tracer);
	for (int i = 0; i < 2; i++) {
		target_go(&targets[i]);
		pipe_wait_line(err.in, text_of("by pid %d (", (int)targets[i].child->pid));
		pipe_wait_line(err.in, "cross_limit");
		cr_expect(child_runs(targets[i].child), "told when it had ended");
	}
	child_signal(tracer.child, SIGINT);
	while ((line = pipe_line(err.in)))
		cr_expect(!strstr(line, "LIMIT EXCEEDED"), "told again: %s", line);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	cr_expect_str_eq(json_string_value(member(report, "limit.scope")),
			 tree ? "tree" : "process");
	cr_assert_eq(json_array_size(member(report, "limit.crossings")), 2);
	for (size_t i = 0; i < 2; i++) {
		json_t *crossing = json_array_get(member(report, "limit.crossings"), i);
		json_t *row = row_of_pid(report, targets[i].child->pid, 0);

		cr_assert_not_null(row);
		cr_expect_eq(figure(crossing, "process"), figure(row, "id"));
		cr_expect_eq(figure(crossing, "usage_bytes"), 21 * MIB);
		cr_expect_eq(figure(crossing, "site"),
			     figure(site_of(report, row, "cross_limit"), "id"));
	}
	for (int i = 0; i < 2; i++)
		target_release(&targets[i]);
}

static void start_two(const char *target, struct target *targets)
{
	const char *env = text_of("MT_PROGRESS=%s", stage_path("progress"));

	for (int i = 0; i < 2; i++)
		target_start(&targets[i], LIST(target, "30", "20"), LIST(env));
}

Test(limit, of_each_process_is_told_of_each_while_it_lives)
{
	const char *name = text_of("mtx%d", (int)getpid());
	struct target targets[2];

	start_two(target_renamed("crossing", name), targets);
	expect_both_told(LIST("--comm", name, "--limit-mb", "20"), targets, false);
}

Test(limit, of_each_tree_is_told_of_each_while_it_lives)
{
	struct target targets[2];

	start_two("crossing", targets);
	expect_both_told(LIST("-p", text_of("%d", (int)targets[0].child->pid), "-p",
			      text_of("%d", (int)targets[1].child->pid), "--limit-mb", "20"),
			 targets, true);
}

/* ---- gates --------------------------------------------------------------------------------------
 */

SUITE(gates);

static void expect_gate(const char *const *argv, const char *const *options, int status)
{
	struct trace trace;

	trace_crossing(&trace, LAUNCHED, argv, options);
	expect_exit(trace.memtrace, status);
}

Test(gates, a_crossed_limit_is_status_3)
{
	expect_gate(LIST("crossing", "30", "20"), LIST("--limit-mb", "20", "--fail-on", "limit"),
		    3);
}

Test(gates, a_limit_kept_is_the_commands_status)
{
	expect_gate(LIST("ends", "exit", "4"), LIST("--fail-on", "limit"), 4);
}

Test(gates, a_leak_is_status_3_whatever_the_command_said)
{
	expect_gate(LIST("ends", "exit", "4"), LIST("--fail-on", "leak"), 3);
}

Test(gates, no_leak_is_the_commands_status)
{
	expect_gate(LIST("empty"), LIST("--fail-on", "leak,limit"), 0);
}

/* leaky loses 393680 bytes */
Test(gates, a_leak_as_large_as_allowed_is_status_3)
{
	expect_gate(LIST("leaky"), LIST("--fail-on", "leak=393680"), 3);
}

Test(gates, a_leak_smaller_than_allowed_is_the_commands_status)
{
	expect_gate(LIST("leaky"), LIST("--fail-on", "leak=393681"), 0);
}
