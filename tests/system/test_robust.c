// SPDX-License-Identifier: MIT
/* test_robust.c - memtrace is killed, doubled, overloaded: the target never suffers. */
#include "expect.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

SUITE(robust);

static const char *truth_env(void)
{
	return text_of("MT_TRUTH=%s", stage_path("truth"));
}

Test(robust, an_attached_target_outlives_memtrace_killed)
{
	struct tracer tracer;
	struct target target;

	target_start(&target, LIST("steady"), LIST(truth_env()));
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("-p", text_of("%d", (int)target.child->pid)) });
	tracer_wait_ready(&tracer);
	target_go(&target);
	child_signal(tracer.child, SIGKILL);
	child_wait(tracer.child);
	cr_expect(child_runs(target.child));
	target_release(&target);
	expect_exit(target.child, 0);
	cr_expect_eq(json_array_size(truths_load(stage_path("truth"))), 1);
}

Test(robust, a_launched_command_outlives_memtrace_killed)
{
	struct tracer tracer;
	struct target target;
	int status;
	pid_t pid;

	/* whose parent is gone becomes our child */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	target_prepare(&target);
	tracer_start(&tracer, &(struct tracer_start){
				      .command = LIST(target_path("steady")),
				      .env = LIST(target.env[0], target.env[1], target.env[2],
						  target.env[3], truth_env()),
				      .fds = target.fds,
			      });
	target_started(&target);
	cr_assert(pipe_wait(target.ready.in));
	target_go(&target);
	child_signal(tracer.child, SIGKILL);
	child_wait(tracer.child);
	target_release(&target);
	pipe_wait_end(target.done.in);
	pid = waitpid(-1, &status, 0);
	cr_assert_gt(pid, 0);
	cr_expect_eq(status, 0, "the command ended with wait status 0x%x", status);
	cr_expect_eq(figure(json_array_get(truths_load(stage_path("truth")), 0), "pid"), pid);
}

/* At whatever moment of its start: nobody is left waiting for it. */
Test(robust, memtrace_killed_at_its_start_leaves_nobody)
{
	for (int i = 0; i < 8; i++) {
		struct pipe_pair lifeline = pipe_new();
		struct tracer tracer;

		tracer_start(&tracer, &(struct tracer_start){
					      .command = LIST(target_path("empty")),
					      .fds = (const int[]){ lifeline.out, -1 },
				      });
		pipe_close(&lifeline.out);
		/* from at once to after it was ready */
		if (i % 4 == 3)
			pipe_wait(tracer.ready.in);
		child_signal(tracer.child, SIGKILL);
		child_wait(tracer.child);
		pipe_wait_end(lifeline.in);
	}
}

Test(robust, two_tracers_of_one_target_are_both_exact)
{
	struct tracer tracers[2];
	struct target target;
	const char *pid;

	target_start(&target, LIST("mix"), LIST(truth_env()));
	pid = text_of("%d", (int)target.child->pid);
	for (int i = 0; i < 2; i++) {
		tracer_start(&tracers[i], &(struct tracer_start){ .options = LIST("-p", pid) });
		tracer_wait_ready(&tracers[i]);
	}
	target_go(&target);
	target_release(&target);
	expect_exit(target.child, 0);
	for (int i = 0; i < 2; i++) {
		json_t *report = tracer_finish(&tracers[i]);

		cr_assert_not_null(report);
		expect_consistent(report);
		expect_row(only_row(report), json_array_get(truths_load(stage_path("truth")), 0),
			   ATTACHED, NULL);
	}
}

Test(robust, a_target_can_be_attached_to_again_and_again)
{
	struct target target;
	const char *pid;

	target_start(&target, LIST("mix"), LIST(truth_env()));
	pid = text_of("%d", (int)target.child->pid);
	for (int i = 0; i < 5; i++) {
		struct tracer tracer;

		tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid) });
		tracer_wait_ready(&tracer);
		if (i < 4) {
			child_signal(tracer.child, SIGINT);
			cr_expect_eq(figure(tracer_finish(&tracer), "totals.allocs"), 0);
			expect_code_untouched(target.child->pid);
			continue;
		}
		target_go(&target);
		target_release(&target);
		expect_exit(target.child, 0);
		expect_row(only_row(tracer_finish(&tracer)),
			   json_array_get(truths_load(stage_path("truth")), 0), ATTACHED, NULL);
	}
}

Test(robust, other_processes_of_the_host_are_not_counted_with_a_launched_tree)
{
	struct target other;
	struct trace trace;

	target_start(&other, LIST("steady"), NULL);
	target_go(&other);
	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("mix") });
	expect_exact(&trace);
	cr_expect_null(row_of_pid(trace.report, other.child->pid, 0));
	target_release(&other);
	expect_exit(other.child, 0);
}

Test(robust, a_process_that_was_just_there_is_not_touched_by_a_launched_tree)
{
	struct target other, tree;
	struct tracer tracer;

	target_start(&other, LIST("waiting"), NULL);
	target_prepare(&tree);
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .command = LIST(target_path("waiting")),
			     .env = LIST(tree.env[0], tree.env[1], tree.env[2], tree.env[3]),
			     .fds = tree.fds,
		     });
	target_started(&tree);
	cr_assert(pipe_wait(tree.ready.in));
	expect_code_untouched(other.child->pid);
	target_go(&tree);
	target_release(&tree);
	expect_consistent(tracer_finish(&tracer));
	target_go(&other);
	target_release(&other);
	expect_exit(other.child, 0);
}

static long available_mib(void)
{
	const char *at = strstr(file_text("/proc/meminfo"), "MemAvailable:");
	long kib = 0;

	return at && sscanf(at, "MemAvailable: %ld", &kib) == 1 ? kib / 1024 : 0;
}

Test(robust, ten_million_live_blocks_are_kept)
{
	if (available_mib() < 4096)
		skip("needs 4 GiB of memory");
	expect_request_exact(&(struct trace_request){
		.way = LAUNCHED,
		.argv = LIST("many", "10000000"),
		.options = LIST("--max-memory-mb", "2048"),
	});
}
