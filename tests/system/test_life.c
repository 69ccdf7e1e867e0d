// SPDX-License-Identifier: MIT
/* test_life.c - fork, vfork, clone, exec, exit: which account a block belongs to, and how one ends.
 */
#include "expect.h"

#include <signal.h>
#include <string.h>

SUITE(rule5_accounts);

/* Trees: launched, and attached with probes that are in every process already. */
#define TREE(sentence, ...)                                       \
	Test(rule5_accounts, sentence##_launched)                 \
	{                                                         \
		expect_target_exact(LAUNCHED, LIST(__VA_ARGS__)); \
	}                                                         \
	Test(rule5_accounts, sentence##_launched_preload)          \
	{                                                         \
		expect_target_exact(LAUNCHED_PRELOAD, LIST(__VA_ARGS__)); \
	}                                                         \
	Test(rule5_accounts, sentence##_followed_exactly)         \
	{                                                         \
		expect_request_exact(&(struct trace_request){     \
			.way = ATTACHED,                          \
			.argv = LIST(__VA_ARGS__),                \
			.options = LIST("--follow", "exact"),     \
		});                                               \
	}

TREE(a_child_owns_only_what_it_allocates, "fork_inherit")
TREE(forty_children_have_forty_accounts, "fork_storm", "40")
TREE(a_child_of_a_racing_process_owns_only_its_own, "fork_threads")
TREE(a_spawned_child_has_its_own_account, "spawn")
TREE(a_pid_used_again_is_a_new_process, "pid_reuse")
TREE(exec_ends_one_account_and_begins_another, "exec_self", "4")
TREE(exec_from_a_thread_keeps_the_pid, "exec_thread")
TREE(a_child_killed_while_it_waits_is_complete, "ends", "child-killed")
TREE(a_vfork_child_shares_its_parents_heap, "vfork_heap")
TREE(a_clone_that_shares_memory_shares_the_heap, "clone_vm")

Test(rule5_accounts, static_children_of_a_static_program_have_their_own_launched)
{
	expect_target_exact(LAUNCHED, LIST("static_musl_spawn"));
}

Test(rule5_accounts, what_a_vfork_child_did_before_exec_is_the_parents)
{
	struct trace trace;
	json_t *truth, *row;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("vfork_heap", "/bin/true"),
			  });
	expect_exit(trace.memtrace, 0);
	expect_consistent(trace.report);
	truth = json_array_get(trace.truths, 0);
	row = row_of_pid(trace.report, figure(truth, "pid"), 0);
	cr_assert_not_null(row);
	expect_row(row, truth, LAUNCHED, NULL);
	cr_expect_eq(row_cnt(trace.report), 6, "5 programs were run: %zu rows",
		     row_cnt(trace.report));
}

static const char *ended_by(const json_t *row)
{
	return json_string_value(member(row, "ended_by"));
}

Test(rule5_accounts, the_rows_of_execs_say_how_each_ended)
{
	struct trace trace;
	long long pid;

	trace_run(&trace,
		  &(struct trace_request){ .way = LAUNCHED, .argv = LIST("exec_self", "3") });
	cr_assert_eq(row_cnt(trace.report), 3);
	pid = figure(json_array_get(trace.truths, 0), "pid");
	for (size_t i = 0; i < 3; i++) {
		json_t *row = row_of_pid(trace.report, pid, i);

		cr_assert_not_null(row, "image %zu has no row", i);
		cr_expect_str_eq(ended_by(row), i < 2 ? "exec" : "exit");
		cr_expect_eq(json_is_null(member(row, "exit_status")), i < 2);
	}
}

/* ---- how it ended ------------------------------------------------------------------------------
 */

SUITE(ends);

static void expect_end(const char *const *argv, int status, const char *by, const char *name,
		       long long value)
{
	struct trace trace;
	json_t *row;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = argv });
	expect_exit(trace.memtrace, status);
	expect_exact(&trace);
	row = only_row(trace.report);
	cr_expect_str_eq(ended_by(row), by);
	cr_expect_eq(figure(row, name), value, "%s is %lld, should be %lld", name,
		     figure(row, name), value);
	cr_expect(json_is_null(member(row, strcmp(name, "signal") ? "signal" : "exit_status")));
}

Test(ends, an_exit_status_is_passed_on)
{
	expect_end(LIST("ends", "exit", "3"), 3, "exit", "exit_status", 3);
}

Test(ends, exit_at_once_keeps_the_live_blocks)
{
	expect_end(LIST("ends", "_exit", "77"), 77, "exit", "exit_status", 77);
}

Test(ends, the_largest_status_is_passed_on)
{
	expect_end(LIST("ends", "return", "255"), 255, "exit", "exit_status", 255);
}

Test(ends, a_kill_is_128_and_9)
{
	expect_end(LIST("ends", "signal", "9"), 137, "signal", "signal", SIGKILL);
}

Test(ends, a_crash_is_128_and_11)
{
	expect_end(LIST("ends", "signal", "11"), 139, "signal", "signal", SIGSEGV);
}

Test(ends, an_abort_is_128_and_6)
{
	expect_end(LIST("ends", "abort"), 134, "signal", "signal", SIGABRT);
}

Test(ends, an_attached_process_that_is_killed_is_complete)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = ATTACHED,
				  .argv = LIST("ends", "signal", "9"),
			  });
	expect_exit(trace.memtrace, 0);
	expect_exact(&trace);
	cr_expect_str_eq(ended_by(only_row(trace.report)), "signal");
}

Test(ends, a_daemon_is_waited_for_and_the_commands_status_kept)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("daemon") });
	expect_exit(trace.memtrace, 5);
	expect_exact(&trace);
}

/* ---- children of an attached process -----------------------------------------------------------
 */

SUITE(follow);

/* The truth of spawner's two processes. */
static const json_t *truth_of(const json_t *truths, pid_t parent, bool of_parent)
{
	const json_t *first = json_array_get(truths, 0);

	cr_assert_eq(json_array_size(truths), 2);
	return (figure(first, "pid") == parent) == of_parent ? first : json_array_get(truths, 1);
}

Test(follow, a_child_of_an_attached_process_is_traced_and_says_since_when)
{
	struct pipe_pair out = pipe_new();
	const json_t *child_truth;
	struct tracer tracer;
	struct target target;
	json_t *report, *row;
	pid_t parent, child;

	target_start(&target, LIST("spawner"), LIST(text_of("MT_TRUTH=%s", stage_path("truth"))));
	parent = target.child->pid;
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", (int)parent), "--json",
						      "-", "--interval", "0.05"),
				      .out_fd = out.out,
			      });
	pipe_close(&out.out);
	tracer_wait_ready(&tracer);
	target_go(&target);
	target_wait_done(&target);
	/* the child's first calls are over; it goes on once it is followed */
	child_truth = json_array_get(truths_load(stage_path("truth")), 0);
	if (figure(child_truth, "pid") == parent)
		child_truth = json_array_get(truths_load(stage_path("truth")), 1);
	child = (pid_t)figure(child_truth, "pid");
	report_wait_row(out.in, child, "followed_after_s");
	target_release(&target);
	report = report_last(out.in);
	expect_exit(tracer.child, 0);
	expect_consistent(report);
	row = row_of_pid(report, child, 0);
	cr_assert_not_null(row);
	cr_expect_gt(json_number_value(member(row, "followed_after_s")), 0);
	/* one pair of calls was before the probes, or not; the other was after */
	cr_expect_geq(figure(row, "allocs"), 1);
	cr_expect_leq(figure(row, "allocs"), 2);
	expect_row(row_of_pid(report, parent, 0),
		   truth_of(truths_load(stage_path("truth")), parent, true), ATTACHED, NULL);
}

Test(follow, a_child_too_short_to_be_followed_has_a_row_all_the_same)
{
	struct trace trace;
	const json_t *truth;

	trace_run(&trace, &(struct trace_request){ .way = ATTACHED, .argv = LIST("spawner") });
	expect_exit(trace.memtrace, 0);
	expect_consistent(trace.report);
	truth = truth_of(trace.truths, trace.pid, false);
	cr_expect_not_null(row_of_pid(trace.report, figure(truth, "pid"), 0));
	truth = truth_of(trace.truths, trace.pid, true);
	expect_row(row_of_pid(trace.report, trace.pid, 0), truth, ATTACHED, NULL);
}

Test(follow, nobody_is_followed_when_not_wanted)
{
	struct trace trace;
	const json_t *truth;

	trace_run(&trace, &(struct trace_request){
				  .way = ATTACHED,
				  .argv = LIST("spawner"),
				  .options = LIST("--follow", "none"),
			  });
	expect_exit(trace.memtrace, 0);
	expect_consistent(trace.report);
	truth = truth_of(trace.truths, trace.pid, false);
	cr_expect_null(row_of_pid(trace.report, figure(truth, "pid"), 0));
	truth = truth_of(trace.truths, trace.pid, true);
	expect_row(row_of_pid(trace.report, trace.pid, 0), truth, ATTACHED, NULL);
}

/* A program that is seen for the first time is held at exec until it is probed. Its parent, which may
 * be a shell with job control, must not see it stopped. */
Test(ends, a_parent_never_sees_its_child_stopped)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("watcher", TARGETS_DIR "/empty"),
			  });
	expect_exit(trace.memtrace, 0); /* watcher's own status: 9 for a child it saw stopped */
}
