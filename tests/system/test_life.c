// SPDX-License-Identifier: MIT
/* test_life.c - fork, vfork, clone, exec, exit: which account a block belongs to, and how one ends. */
#include "expect.h"

#include <signal.h>
#include <string.h>

SUITE(rule5_accounts);

/* Trees: launched, and attached with probes that are in every process already. */
#define TREE(sentence, ...)                                                                        \
	Test(rule5_accounts, sentence##_launched)                                                  \
	{                                                                                          \
		expect_target_exact(LAUNCHED, LIST(__VA_ARGS__));                                  \
	}                                                                                          \
	Test(rule5_accounts, sentence##_followed_exactly)                                          \
	{                                                                                          \
		expect_request_exact(&(struct trace_request){                                      \
			.way = ATTACHED,                                                           \
			.argv = LIST(__VA_ARGS__),                                                 \
			.options = LIST("--follow", "exact"),                                      \
		});                                                                                \
	}

TREE(a_child_owns_only_what_it_allocates, "fork_inherit")
TREE(forty_children_have_forty_accounts, "fork_storm", "40")
TREE(a_child_of_a_racing_process_owns_only_its_own, "fork_threads")
TREE(a_spawned_child_has_its_own_account, "spawn")
TREE(a_pid_used_again_is_a_new_process, "pid_reuse")
TREE(exec_ends_one_account_and_begins_another, "exec_self", "4")
TREE(exec_from_a_thread_keeps_the_pid, "exec_thread")
TREE(a_child_killed_while_it_waits_is_complete, "ends", "child-killed")
BOTH_WAYS(rule5_accounts, a_vfork_child_shares_its_parents_heap, "vfork_heap")
BOTH_WAYS(rule5_accounts, a_clone_that_shares_memory_shares_the_heap, "clone_vm")

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

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("exec_self", "3") });
	cr_assert_eq(row_cnt(trace.report), 3);
	pid = figure(json_array_get(trace.truths, 0), "pid");
	for (size_t i = 0; i < 3; i++) {
		json_t *row = row_of_pid(trace.report, pid, i);

		cr_assert_not_null(row, "image %zu has no row", i);
		cr_expect_str_eq(ended_by(row), i < 2 ? "exec" : "exit");
		cr_expect_eq(json_is_null(member(row, "exit_status")), i < 2);
	}
}

/* ---- how it ended ------------------------------------------------------------------------------ */

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
	cr_expect_eq(figure(row, name), value, "%s is %lld, should be %lld", name, figure(row, name),
		     value);
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

/* ---- children of an attached process ----------------------------------------------------------- */

SUITE(follow);

static void trace_spawner(struct trace *trace, const char *const *options)
{
	trace_run(trace, &(struct trace_request){
				 .way = ATTACHED,
				 .argv = LIST("spawner"),
				 .options = options,
			 });
	expect_exit(trace->memtrace, 0);
	expect_consistent(trace->report);
	cr_assert_eq(json_array_size(trace->truths), 2);
}

static const json_t *truth_of(const struct trace *trace, bool parent)
{
	const json_t *first = json_array_get(trace->truths, 0);

	return (figure(first, "pid") == trace->pid) == parent ? first :
							       json_array_get(trace->truths, 1);
}

Test(follow, a_child_of_an_attached_process_has_a_row_that_says_since_when)
{
	struct trace trace;
	json_t *row;

	trace_spawner(&trace, NULL);
	expect_row(row_of_pid(trace.report, trace.pid, 0), truth_of(&trace, true), ATTACHED, NULL);
	row = row_of_pid(trace.report, figure(truth_of(&trace, false), "pid"), 0);
	cr_assert_not_null(row, "the child has no row");
	cr_expect(json_is_number(member(row, "followed_after_s")),
		  "since when the child was followed is not said");
	cr_expect_leq(figure(row, "allocs"), 2);
}

Test(follow, nobody_is_followed_when_not_wanted)
{
	struct trace trace;

	trace_spawner(&trace, LIST("--follow", "none"));
	expect_row(row_of_pid(trace.report, trace.pid, 0), truth_of(&trace, true), ATTACHED, NULL);
	cr_expect_null(row_of_pid(trace.report, figure(truth_of(&trace, false), "pid"), 0));
}
