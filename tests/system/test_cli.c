// SPDX-License-Identifier: MIT
/* test_cli.c - what a user types, and what goes where. */
#include "expect.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *pid_text(const struct target *target)
{
	return text_of("%d", (int)target->child->pid);
}

/* One document. */
static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!value)
		fatal("no JSON (%s): %.200s", error.text, text);
	return value;
}

/* ---- outputs -----------------------------------------------------------------------------------
 */

SUITE(output);

Test(output, the_commands_stdout_is_its_own)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "--", "echo", "--json", "hello") },
	    &memtrace);
	expect_exit(memtrace, 0);
	cr_expect_str_eq(file_text(memtrace->out), "--json hello\n");
	expect_stderr_has(memtrace, "memtrace: ready\n");
	expect_stderr_has(memtrace, "peak");
}

Test(output, json_can_own_stdout_and_the_text_goes_to_stderr)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "--json", "-", "--",
					  target_path("leaky")) },
	    &memtrace);
	expect_exit(memtrace, 0);
	expect_consistent(parse(file_text(memtrace->out)));
	expect_stderr_has(memtrace, "lose_large");
}

Test(output, a_command_line_too_long_for_the_header_says_that_there_is_more)
{
	struct child *memtrace;
	const char *word = "", *target;

	for (int i = 0; i < 200; i++)
		word = text_of("%s\xc3\xa4", word);
	/* one byte apart: one of them would be cut within the character */
	for (int i = 0; i < 2; i++) {
		run(&(struct start){ .argv = LIST(memtrace_path(), "--json", "-", "--", "true",
						  text_of("%.*s%s", i, "x", word), "unseen") },
		    &memtrace);
		expect_exit(memtrace, 0);
		target = json_string_value(member(parse(file_text(memtrace->out)), "target"));
		cr_assert_not_null(target);
		cr_expect(!strncmp(target, "true ", 5), "%s", target);
		cr_expect_str_eq(target + strlen(target) - 5, "\xc3\xa4...");
	}
}

Test(output, quiet_writes_no_report)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "--quiet", "--", target_path("leaky")) },
	    &memtrace);
	expect_exit(memtrace, 0);
	cr_expect_str_empty(file_text(memtrace->out));
	cr_expect_null(strstr(file_text(memtrace->err), "lose_large"));
}

Test(output, of_an_attached_target_goes_to_stdout)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = ATTACHED, .argv = LIST("leaky") });
	cr_expect(strstr(file_text(trace.memtrace->out), "lose_large"), "no report on stdout");
	cr_expect_null(strstr(file_text(trace.memtrace->err), "lose_large"));
	cr_expect(json_is_true(member(only_row(trace.report), "since_attach")));
}

Test(output, a_report_comes_at_each_interval_and_the_last_is_final)
{
	struct pipe_pair out = pipe_new();
	struct child *memtrace;
	struct target target;
	json_t *report;

	target_start(&target, LIST("steady"), NULL);
	memtrace = child_start(&(struct start){
		.argv = LIST(memtrace_path(), "--json", "-", "--interval", "0.05", "-p",
			     pid_text(&target)),
		.out_fd = out.out,
	});
	pipe_close(&out.out);
	target_go(&target);
	for (int i = 0; i < 3; i++) {
		report = report_next(out.in);
		cr_assert_not_null(report, "no report: %s", file_text(memtrace->err));
		cr_expect(json_is_false(member(report, "final")));
		cr_expect_eq(figure(report, "losses.total"), 0);
		cr_expect(json_is_null(member(only_row(report), "ended_by")));
	}
	child_signal(memtrace, SIGINT);
	report = report_last(out.in);
	cr_expect(json_is_true(member(report, "final")));
	expect_consistent(report);
	child_wait(memtrace);
	target_release(&target);
	expect_exit(target.child, 0);
}

Test(output, a_json_file_is_replaced_and_nothing_is_left_beside_it)
{
	struct child *memtrace;
	const char *dir = stage_path("reports"), *path = stage_path("reports/report.json");
	struct child *ls;

	cr_assert_eq(mkdir(dir, 0755), 0);
	file_write(path, "old");
	run(&(struct start){ .argv = LIST(memtrace_path(), "--json", path, "--",
					  target_path("leaky")) },
	    &memtrace);
	expect_consistent(report_load(path));
	run(&(struct start){ .argv = LIST("ls", "-A", dir) }, &ls);
	cr_expect_str_eq(file_text(ls->out), "report.json\n");
}

Test(output, readiness_is_one_byte_and_the_end_of_the_file)
{
	struct tracer tracer;

	tracer_start(&tracer, &(struct tracer_start){ .command = LIST(target_path("empty")) });
	cr_expect(pipe_wait(tracer.ready.in));
	cr_expect_not(pipe_wait(tracer.ready.in), "more than one byte");
	tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
}

Test(output, version_and_help_go_to_stdout)
{
	struct child *memtrace;
	size_t lines = 0;

	run(&(struct start){ .argv = LIST(memtrace_path(), "--version") }, &memtrace);
	expect_exit(memtrace, 0);
	cr_expect(!strncmp(file_text(memtrace->out), "memtrace ", 9));
	cr_expect_str_empty(file_text(memtrace->err));
	run(&(struct start){ .argv = LIST(memtrace_path(), "--help") }, &memtrace);
	expect_exit(memtrace, 0);
	cr_expect_str_empty(file_text(memtrace->err));
	for (const char *c = file_text(memtrace->out); *c; c++)
		lines += *c == '\n';
	cr_expect_leq(lines, 50, "%zu lines are more than a screen", lines);
}

/* ---- what is traced -----------------------------------------------------------------------------
 */

SUITE(selection);

static void expect_truth_of(const json_t *report, pid_t pid, const char *path)
{
	json_t *row = row_of_pid(report, pid, 0), *truths = truths_load(path);

	cr_assert_not_null(row, "pid %d has no row", (int)pid);
	cr_assert_eq(json_array_size(truths), 1);
	expect_row(row, json_array_get(truths, 0), ATTACHED, NULL);
}

/* Two targets, each with a truth file of its own. */
static void start_two(struct target *targets)
{
	target_start(&targets[0], LIST("mix"), LIST(text_of("MT_TRUTH=%s", stage_path("truth0"))));
	target_start(&targets[1], LIST("leaky"),
		     LIST(text_of("MT_TRUTH=%s", stage_path("truth1"))));
}

static void finish_two(struct target *targets)
{
	for (int i = 0; i < 2; i++) {
		target_go(&targets[i]);
		target_release(&targets[i]);
	}
	for (int i = 0; i < 2; i++)
		expect_exit(targets[i].child, 0);
}

Test(selection, two_pids_have_a_row_each)
{
	struct target targets[2];
	struct tracer tracer;
	json_t *report;

	start_two(targets);
	tracer_start(&tracer,
		     &(struct tracer_start){ .options = LIST("-p", pid_text(&targets[0]), "-p",
							     pid_text(&targets[1])) });
	tracer_wait_ready(&tracer);
	finish_two(targets);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect_eq(row_cnt(report), 2);
	expect_truth_of(report, targets[0].child->pid, stage_path("truth0"));
	expect_truth_of(report, targets[1].child->pid, stage_path("truth1"));
}

Test(selection, a_pid_said_twice_is_traced_once)
{
	const char *truth = stage_path("truth");
	struct tracer tracer;
	struct target target;
	json_t *report;

	target_start(&target, LIST("mix"), LIST(text_of("MT_TRUTH=%s", truth)));
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid_text(&target), "-p",
								      pid_text(&target)) });
	tracer_wait_ready(&tracer);
	target_go(&target);
	target_release(&target);
	child_wait(target.child);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	cr_expect_eq(row_cnt(report), 1);
	expect_truth_of(report, target.child->pid, truth);
}

Test(selection, all_processes_are_traced_and_ours_are_exact)
{
	struct target targets[2];
	struct tracer tracer;
	json_t *report;

	start_two(targets);
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("--all") });
	tracer_wait_ready(&tracer);
	finish_two(targets);
	child_signal(tracer.child, SIGINT);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect_str_eq(json_string_value(member(report, "limit.scope")), "process");
	expect_truth_of(report, targets[0].child->pid, stage_path("truth0"));
	expect_truth_of(report, targets[1].child->pid, stage_path("truth1"));
}

Test(selection, by_name_takes_those_that_run_and_those_that_come)
{
	const char *name = text_of("mtn%d", (int)getpid()), *path = target_renamed("mix", name);
	struct pipe_pair out = pipe_new();
	struct target running, later, other;
	struct tracer tracer;
	json_t *report;

	target_start(&running, LIST(path), LIST(text_of("MT_TRUTH=%s", stage_path("truth0"))));
	target_start(&other, LIST("leaky"), NULL);
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("--comm", name, "--json", "-", "--interval", "0.05"),
			     .out_fd = out.out,
		     });
	pipe_close(&out.out);
	tracer_wait_ready(&tracer);
	target_start(&later, LIST(path), LIST(text_of("MT_TRUTH=%s", stage_path("truth1"))));
	report_wait_row(out.in, later.child->pid, "pid");
	target_go(&running);
	target_go(&later);
	target_go(&other);
	target_release(&running);
	target_release(&later);
	target_release(&other);
	expect_exit(running.child, 0);
	expect_exit(later.child, 0);
	expect_exit(other.child, 0);
	child_signal(tracer.child, SIGINT);
	report = report_last(out.in);
	expect_consistent(report);
	expect_truth_of(report, running.child->pid, stage_path("truth0"));
	expect_truth_of(report, later.child->pid, stage_path("truth1"));
	cr_expect_null(row_of_pid(report, other.child->pid, 0), "another name was traced");
}

/* Where cgroup2 is mounted, or NULL. */
static const char *cgroup2(void)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	const char *found = NULL;
	char path[512], type[32];

	while (mounts && fscanf(mounts, "%*s %511s %31s %*[^\n]", path, type) == 2)
		if (!strcmp(type, "cgroup2"))
			found = text_of("%s", path);
	if (mounts)
		fclose(mounts);
	return found;
}

Test(selection, by_cgroup_takes_its_processes_only)
{
	const char *root = cgroup2(), *path, *truth = stage_path("truth");
	struct target inside, outside;
	struct tracer tracer;
	json_t *report;

	if (!root)
		skip("no cgroup2 file system is mounted");
	path = text_of("%s/mt-test-%d", root, (int)getpid());
	if (mkdir(path, 0755))
		skip("no cgroup can be made in %s", root);
	target_start(&inside, LIST("mix"), LIST(text_of("MT_TRUTH=%s", truth)));
	target_start(&outside, LIST("leaky"), NULL);
	file_write(text_of("%s/cgroup.procs", path), pid_text(&inside));
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("--cgroup", path) });
	tracer_wait_ready(&tracer);
	target_go(&inside);
	target_go(&outside);
	target_release(&inside);
	target_release(&outside);
	expect_exit(inside.child, 0);
	expect_exit(outside.child, 0);
	child_signal(tracer.child, SIGINT);
	report = tracer_finish(&tracer);
	rmdir(path);
	cr_assert_not_null(report, "%s", file_text(tracer.child->err));
	expect_consistent(report);
	expect_truth_of(report, inside.child->pid, truth);
	cr_expect_null(row_of_pid(report, outside.child->pid, 0));
}

/* ---- the command's user
 * -------------------------------------------------------------------------- */

SUITE(user);

static void expect_user(const char *const *options, const char *const *env, const char *uid)
{
	const char *words[WORDS_MAX];
	struct child *memtrace;
	size_t cnt = 0;

	words[cnt++] = memtrace_path();
	while (options && *options)
		words[cnt++] = *options++;
	words[cnt++] = "--";
	words[cnt++] = "id";
	words[cnt++] = "-u";
	words[cnt] = NULL;
	run(&(struct start){ .argv = words, .env = env, .cwd = "/" }, &memtrace);
	expect_exit(memtrace, 0);
	cr_expect_str_eq(file_text(memtrace->out), text_of("%s\n", uid));
}

Test(user, is_root_when_root_runs_it)
{
	expect_user(NULL, NULL, "0");
}

Test(user, is_who_called_sudo)
{
	expect_user(NULL, LIST("SUDO_UID=65534", "SUDO_GID=65534", "SUDO_USER=nobody"), "65534");
}

Test(user, is_root_under_sudo_when_asked_for)
{
	expect_user(LIST("--user", "root"), LIST("SUDO_UID=65534", "SUDO_GID=65534"), "0");
}

Test(user, is_the_one_asked_for)
{
	expect_user(LIST("--user", "nobody"), NULL, "65534");
}

/* ---- how it ends
 * ---------------------------------------------------------------------------------- */

SUITE(ending);

Test(ending, after_the_duration_the_target_runs_on_untouched)
{
	struct tracer tracer;
	struct target target;
	json_t *report;

	target_start(&target, LIST("steady"), NULL);
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid_text(&target),
								      "--duration", "0.2") });
	tracer_wait_ready(&tracer);
	target_go(&target);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect(child_runs(target.child));
	expect_code_untouched(target.child->pid);
	target_release(&target);
	expect_exit(target.child, 0);
}

/* The probes go one after another, while the target runs: what each of them still saw would be blocks
 * without their frees, and frees without their blocks. */
Test(ending, tracing_ends_at_one_point_in_time)
{
	struct target target;

	target_start(&target, LIST("steady"), NULL);
	target_go(&target);
	for (int i = 0; i < 4; i++) {
		struct tracer tracer;
		json_t *report;

		tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid_text(&target)) });
		tracer_wait_ready(&tracer);
		child_signal(tracer.child, SIGINT);
		report = tracer_finish(&tracer);
		cr_assert_not_null(report);
		expect_consistent(report);
		cr_expect_eq(figure(report, "notices.stale_entries"), 0,
			     "%lld calls began that were not seen to end",
			     figure(report, "notices.stale_entries"));
		/* it has 64 blocks at most, those from before included */
		cr_expect_leq(figure(report, "totals.live_blocks"), 64);
		cr_expect_leq(figure(report, "totals.unknown_frees"), 64);
	}
	target_release(&target);
	expect_exit(target.child, 0);
}

Test(ending, programs_that_begin_as_tracing_ends_bring_no_probe_back)
{
	struct target target;
	struct child *storm;

	target_start(&target, LIST("steady"), NULL);
	target_go(&target);
	storm = child_start(&(struct start){ .argv = LIST(target_path("storm")) });
	for (int i = 0; i < 4; i++) {
		struct tracer tracer;
		json_t *report, *row;

		tracer_start(&tracer, &(struct tracer_start){ .options = LIST("--all") });
		tracer_wait_ready(&tracer);
		child_signal(tracer.child, SIGINT);
		report = tracer_finish(&tracer);
		cr_assert_not_null(report);
		expect_consistent(report);
		row = row_of_pid(report, target.child->pid, 0);
		if (!row)
			continue; /* over before its first call */
		cr_expect_leq(figure(row, "live_blocks"), 64);
		cr_expect_leq(figure(row, "unknown_frees"), 64);
	}
	child_signal(storm, SIGKILL);
	child_wait(storm);
	target_release(&target);
	expect_exit(target.child, 0);
}

Test(ending, on_ctrl_c_the_target_runs_on_untouched)
{
	struct tracer tracer;
	struct target target;

	target_start(&target, LIST("waiting"), NULL);
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("-p", pid_text(&target)) });
	tracer_wait_ready(&tracer);
	target_go(&target);
	target_wait_done(&target);
	child_signal(tracer.child, SIGINT);
	expect_consistent(tracer_finish(&tracer));
	expect_exit(tracer.child, 0);
	expect_code_untouched(target.child->pid);
	target_release(&target);
	expect_exit(target.child, 0);
}

/* A target that memtrace launches, and which waits. */
static void launch_target(struct tracer *tracer, struct target *target, const char *name,
			  const char *const *options)
{
	target_prepare(target);
	tracer_start(tracer, &(struct tracer_start){
				     .options = options,
				     .command = LIST(target_path(name)),
				     .env = LIST(target->env[0], target->env[1], target->env[2],
						 target->env[3],
						 text_of("MT_TRUTH=%s", stage_path("truth"))),
				     .fds = target->fds,
			     });
	target_started(target);
	cr_assert(pipe_wait(target->ready.in), "the command was not run: %s",
		  file_text(tracer->child->err));
	target_go(target);
}

Test(ending, ctrl_c_goes_to_the_command_first)
{
	struct tracer tracer;
	struct target target;
	json_t *report;

	launch_target(&tracer, &target, "waiting", NULL);
	target_wait_done(&target);
	child_signal(tracer.child, SIGINT);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 128 + SIGINT);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect_eq(figure(only_row(report), "signal"), SIGINT);
	cr_expect_eq(figure(only_row(report), "allocs"), 2);
}

Test(ending, a_second_ctrl_c_ends_the_trace_and_the_command_runs_on)
{
	struct tracer tracer;
	struct target target;
	json_t *report;

	launch_target(&tracer, &target, "stubborn", NULL);
	child_signal(tracer.child, SIGINT);
	target_wait_done(&target); /* it had the first, and does not mind */
	/* from another sender: the same one twice at once is taken for one wish */
	run(&(struct start){ .argv = LIST("sh", "-c",
					  text_of("kill -INT %d", (int)tracer.child->pid)) },
	    NULL);
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 128 + SIGINT);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect(json_is_null(member(only_row(report), "ended_by")));
	target_release(&target);
	pipe_wait_end(target.done.in);
	cr_expect_eq(json_array_size(truths_load(stage_path("truth"))), 1,
		     "the command did not come to its end");
}

Test(ending, after_the_duration_the_command_runs_on)
{
	struct tracer tracer;
	struct target target;

	launch_target(&tracer, &target, "steady", LIST("--duration", "0.2"));
	expect_consistent(tracer_finish(&tracer));
	target_release(&target);
	pipe_wait_end(target.done.in);
	cr_expect_eq(json_array_size(truths_load(stage_path("truth"))), 1,
		     "the command did not come to its end");
}

Test(ending, sigterm_detaches_and_reports)
{
	struct tracer tracer;
	struct target target;

	launch_target(&tracer, &target, "steady", NULL);
	child_signal(tracer.child, SIGTERM);
	expect_consistent(tracer_finish(&tracer));
	expect_exit(tracer.child, 128 + SIGTERM);
	target_release(&target);
	pipe_wait_end(target.done.in);
	cr_expect_eq(json_array_size(truths_load(stage_path("truth"))), 1);
}
