// SPDX-License-Identifier: MIT
/*
 * test_kept.c - events that a process keeps (memtrace/batch.h): none is lost, or counted in the wrong
 * place, however the process ends, becomes another, or is looked at.
 */
#include "expect.h"

#include <signal.h>
#include <string.h>

SUITE(kept);

#define KEPT(sentence, ...)                                                \
	Test(kept, sentence)                                               \
	{                                                                  \
		expect_target_exact(LAUNCHED_PRELOAD, LIST(__VA_ARGS__));  \
	}

KEPT(are_told_when_the_program_returns, "kept", "return")
KEPT(are_told_when_it_leaves_by_a_system_call, "kept", "raw-exit")
KEPT(are_told_when_it_leaves_by__exit, "kept", "_exit")
KEPT(are_told_when_it_leaves_by_quick_exit, "kept", "quick_exit")
KEPT(are_told_before_another_program, "kept", "execl")
KEPT(are_told_before_another_program_of_the_path, "kept", "execvp")
KEPT(are_told_before_a_thread_is_made, "kept", "thread")
KEPT(are_the_parents_at_a_fork, "kept", "fork")
KEPT(are_the_parents_at_a_fork_by_system_call, "kept", "raw-fork")
KEPT(are_kept_on_beside_a_vfork_child, "kept", "vfork")
KEPT(go_on_after_a_clone_in_the_same_memory, "kept_shared", "clone")
KEPT(go_on_after_a_vfork_child_that_left_by_a_system_call, "kept_shared", "raw")
KEPT(go_on_after_a_vfork_child_that_was_killed, "kept_shared", "kill")
KEPT(stay_in_order_under_signal_handlers, "kept", "signals")

static void expect_exact_end(const char *way, int status)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED_PRELOAD,
						   .argv = LIST("kept", way) });
	expect_exit(trace.memtrace, status);
	expect_exact(&trace);
}

Test(kept, are_told_when_a_signal_kills)
{
	expect_exact_end("kill", 128 + SIGKILL);
}

Test(kept, are_told_when_a_fault_kills)
{
	expect_exact_end("segv", 128 + SIGSEGV);
}

Test(kept, are_told_when_it_aborts)
{
	expect_exact_end("abort", 128 + SIGABRT);
}

/* The kernel cannot be asked before an exec by system call: whether something was lost there is not known,
 * and that is said. */
Test(kept, may_go_unread_when_another_program_comes_by_a_system_call)
{
	const json_t *truth;
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED_PRELOAD,
						   .argv = LIST("kept", "raw-exec") });
	expect_exit(trace.memtrace, 0);
	cr_expect_eq(figure(trace.report, "losses.last_events_unread"), 1);
	truth = json_array_get(trace.truths, 1);
	expect_row(row_of_pid(trace.report, figure(truth, "pid"), 1), truth, LAUNCHED_PRELOAD, NULL);
}

/* Reads live reports until one is as the truth says. */
static void expect_live(int reports, const json_t *truth)
{
	static const char *const names[] = { "allocs", "frees", "live_blocks", "live_bytes" };
	json_t *report, *row;
	size_t equal = 0;

	while (equal < 4) {
		report = report_next(reports);
		cr_assert_not_null(report, "the report ended");
		row = row_of_pid(report, (pid_t)figure(truth, "pid"), 0);
		equal = 0;
		for (size_t i = 0; row && i < 4; i++)
			equal += figure(row, names[i]) == figure(truth, names[i]);
	}
}

/* What a process has done is in the next live report, whether it works on or sleeps. */
static void expect_seen_live(const char *way)
{
	struct pipe_pair out = pipe_new();
	const json_t *truth;
	struct tracer tracer;
	struct target target;

	target_prepare(&target);
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--lane", "preload", "--json", "-", "--interval",
						      "0.05"),
				      .command = LIST(target_path("kept"), way),
				      .env = LIST(text_of("MT_TRUTH=%s", stage_path("truth")),
						  target.env[0], target.env[1], target.env[2],
						  target.env[3]),
				      .fds = target.fds,
				      .out_fd = out.out,
			      });
	target_started(&target);
	pipe_close(&out.out);
	pipe_wait(target.ready.in);
	target_go(&target);
	target_wait_done(&target);
	truth = json_array_get(truths_load(stage_path("truth")), 0);
	expect_live(out.in, truth);
	if (!strcmp(way, "spin"))
		kill((pid_t)figure(truth, "pid"), SIGUSR1);
	target_release(&target);
	report_last(out.in);
	expect_exit(tracer.child, 0);
}

Test(kept, of_a_process_that_sleeps_are_in_its_live_report)
{
	expect_seen_live("return");
}

Test(kept, of_a_process_that_works_on_are_in_its_live_report)
{
	expect_seen_live("spin");
}
