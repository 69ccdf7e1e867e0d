// SPDX-License-Identifier: MIT
/* test_tree.c - allocators of a launched tree that its first program does not foretell. */
#include "expect.h"
#include "harness.h"

#include <unistd.h>

SUITE(tree);

/* A sentence that holds in each lane. What auto takes is the preload lane, but for a program that cannot. */
#define EITHER_LANE(sentence)                    \
	static void sentence(const char *lane);  \
	Test(tree, sentence)                     \
	{                                        \
		sentence("uprobe");              \
	}                                        \
	Test(tree, sentence##_by_default)        \
	{                                        \
		sentence("auto");                \
	}                                        \
	static void sentence(const char *lane)

static const char *jemalloc(void)
{
	const char *path = text_of("/usr/lib/%s/libjemalloc.so.2", MULTIARCH);

	if (access(path, R_OK))
		skip("libjemalloc2 is not installed");
	return path;
}

/* Launches the command; the report, complete and without a loss. */
static json_t *trace_command(const char *lane, const char *const *command, const char *truth)
{
	struct tracer tracer;
	json_t *report;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--lane", lane),
				      .command = command,
				      .env = LIST(text_of("MT_TRUTH=%s", truth)),
			      });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	return report;
}

/* The command has a target somewhere below it; its row is its truth. */
static void expect_target_below(const char *lane, const char *const *command, const char *truth,
				const char *truth_seen, const char *const *target_env)
{
	json_t *report = trace_command(lane, command, truth_seen), *truths = truths_load(truth), *row;

	cr_assert_eq(json_array_size(truths), 1);
	/* the last image of the pid: a shell may have become the target */
	row = NULL;
	for (size_t n = 0; row_of_pid(report, figure(json_array_get(truths, 0), "pid"), n); n++)
		row = row_of_pid(report, figure(json_array_get(truths, 0), "pid"), n);
	cr_assert_not_null(row, "the target has no row");
	expect_row(row, json_array_get(truths, 0), LAUNCHED, target_env);
	cr_expect_eq(json_number_value(member(row, "followed_after_s")), 0);
}

static void expect_below(const char *lane, const char *const *command,
			 const char *const *target_env)
{
	const char *truth = stage_path("truth");

	expect_target_below(lane, command, truth, truth, target_env);
}

EITHER_LANE(an_allocator_preloaded_for_one_child_counts)
{
	const char *preload = text_of("LD_PRELOAD=%s", jemalloc());

	expect_below(lane, LIST("sh", "-c", text_of("%s %s; exit 0", preload, target_path("mix"))),
		     LIST(preload));
}

EITHER_LANE(a_program_run_through_its_interpreter_counts)
{
	const char *linker = "/lib64/ld-linux-x86-64.so.2";

	if (access(linker, X_OK))
		skip("%s is not there", linker);
	expect_below(lane, LIST(linker, target_path("mix")), NULL);
}

EITHER_LANE(a_program_in_a_chroot_counts)
{
	const char *root = stage_path("root");

	if (access(target_path("static_musl_mix"), X_OK))
		skip("no musl-gcc to build static_musl_mix with");
	run(&(struct start){ .argv = LIST("mkdir", root) }, NULL);
	run(&(struct start){ .argv = LIST("cp", target_path("static_musl_mix"), root) }, NULL);
	expect_target_below(lane, LIST("chroot", root, "/static_musl_mix"), text_of("%s/truth", root),
			    "/truth", NULL);
}

/* Without the tree's copy of libc on top, the original is what the program maps. */
EITHER_LANE(a_program_in_another_mount_namespace_counts)
{
	const char *libc = text_of("/usr/lib/%s/libc.so.6", MULTIARCH);

	if (access(libc, R_OK))
		skip("%s is not there", libc);
	expect_below(lane, LIST("unshare", "-m", "sh", "-c",
			  text_of("umount -l %s; %s; exit 0", libc, target_path("mix"))), NULL);
}

/* A file system that is mounted after the start; on it the kernel sees another file than programs do. */
static const char *run_from_overlay(const char *target)
{
	const char *dir = stage_path("overlay");

	return text_of("cd %s && mkdir lower upper work merged && cp %s lower/program && "
		       "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged "
		       "&& { merged/program; umount merged; exit 0; }; exit 1", dir, target);
}

static bool can_mount_overlay(void)
{
	return !run(&(struct start){ .argv = LIST("unshare", "-m", "sh", "-c",
						  run_from_overlay("/bin/true")) }, NULL);
}

static void make_overlay_place(void)
{
	const char *dir = stage_path("overlay");

	run(&(struct start){ .argv = LIST("rm", "-rf", dir) }, NULL);
	run(&(struct start){ .argv = LIST("mkdir", dir) }, NULL);
}

EITHER_LANE(programs_of_a_file_system_mounted_later_count_and_have_whole_stacks)
{
	static const char *const targets[] = { "mix", "static_musl_mix" };
	json_t *report;

	make_overlay_place();
	if (!can_mount_overlay())
		skip("overlay file systems cannot be mounted here");
	for (size_t i = 0; i < 2; i++) {
		if (access(target_path(targets[i]), X_OK))
			continue;
		make_overlay_place();
		expect_below(lane, LIST("sh", "-c", run_from_overlay(target_path(targets[i]))),
			     NULL);
		unlink(stage_path("truth"));
		make_overlay_place();
		report = trace_command(lane,
				       LIST("sh", "-c", run_from_overlay(target_path(targets[i]))),
				       stage_path("truth"));
		unlink(stage_path("truth"));
		cr_expect_eq(figure(report, "stack_quality.no_table"), 0);
		cr_expect_eq(figure(report, "notices.stacks_cut_short"), 0);
	}
}

EITHER_LANE(what_another_memtrace_launches_counts_for_both)
{
	const char *inner = stage_path("inner.json"), *truth = stage_path("truth");
	json_t *truths;

	expect_below(lane, LIST(memtrace_path(), "--json", inner, "--", target_path("mix")), NULL);
	truths = truths_load(truth);
	expect_row(only_row(report_load(inner)), json_array_get(truths, 0), LAUNCHED, NULL);
}

/* Breakpoints are in whatever maps a probed file: one that is only read must not be probed. */
EITHER_LANE(a_library_that_is_only_read_reads_as_it_is)
{
	run(&(struct start){ .argv = LIST("cp", target_path("own_heap"), stage_path("library")) }, NULL);
	trace_command(lane, LIST(target_path("read_by_map"), stage_path("library")), stage_path("truth"));
}

/* The probes of what a file was would break what it is now. */
EITHER_LANE(a_program_written_over_in_place_runs_and_counts)
{
	const char *program = stage_path("program"), *truth = stage_path("truth"), *second;
	json_t *report, *truths, *row;

	second = target_path("static_musl_mix");
	if (access(second, X_OK))
		skip("no musl-gcc to build static_musl_mix with");
	report = trace_command(lane, LIST("sh", "-c",
				    text_of("cp %s %s && %s && cp %s %s && %s && exit 0; exit 1",
					    target_path("static_musl"), program, program, second,
					    program, program)), truth);
	truths = truths_load(truth);
	cr_assert_eq(json_array_size(truths), 2);
	for (size_t i = 0; i < 2; i++) {
		long long pid = figure(json_array_get(truths, i), "pid");

		row = row_of_pid(report, pid, row_of_pid(report, pid, 1) ? 1 : 0);
		cr_assert_not_null(row);
		expect_row(row, json_array_get(truths, i), LAUNCHED, NULL);
	}
}

static void expect_plugin_site(json_t *report, json_t *row, const json_t *truth)
{
	json_t *expected = json_array_get(member(truth, "sites"), 0);
	json_t *site = site_of(report, row, "use_plugin");
	static const char *const names[] = { "alloc_blocks", "alloc_bytes", "live_blocks",
					     "live_bytes" };

	cr_assert_not_null(site, "no site in use_plugin()");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_eq(figure(site, names[i]), figure(expected, names[i]), "%s: %lld, not %lld",
			     names[i], figure(site, names[i]), figure(expected, names[i]));
}

EITHER_LANE(an_allocator_that_comes_by_dlopen_counts)
{
	const char *truth = stage_path("truth");
	json_t *report = trace_command(lane, LIST(target_path("plugin"), target_path("own_heap")), truth);

	expect_plugin_site(report, only_row(report), json_array_get(truths_load(truth), 0));
}

/* Nothing told of it before it was mapped: it is found afterwards, and the process says so. */
EITHER_LANE(an_allocator_found_late_is_told)
{
	struct pipe_pair out = pipe_new();
	struct tracer tracer;
	struct target target;
	json_t *report;
	pid_t pid;

	target_prepare(&target);
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--json", "-", "--interval", "0.05", "--lane",
						      lane),
				      .command = LIST(target_path("plugin"), target_path("own_heap"), "memfd"),
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
	pid = (pid_t)figure(json_array_get(truths_load(stage_path("truth")), 0), "pid");
	do {
		report = report_next(out.in);
		cr_assert_not_null(report, "the report ended before the allocator was found");
	} while (!figure(report, "notices.allocators_found_late"));
	target_release(&target);
	report = report_last(out.in);
	expect_exit(tracer.child, 0);
	expect_consistent(report);
	cr_expect_gt(json_number_value(member(row_of_pid(report, pid, 0), "followed_after_s")), 0);
	/* all the work was after it was found */
	expect_plugin_site(report, row_of_pid(report, pid, 0),
			   json_array_get(truths_load(stage_path("truth")), 1));
}

/* The same for a process that memtrace came to: its plugin's allocator is found when it is mapped. */
Test(tree, an_attached_process_that_loads_an_allocator_is_told)
{
	struct pipe_pair out = pipe_new();
	struct tracer tracer;
	struct target target;
	json_t *report;
	pid_t pid;

	target_start(&target, LIST("plugin", target_path("own_heap"), "memfd"),
		     LIST(text_of("MT_TRUTH=%s", stage_path("truth"))));
	pid = target.child->pid;
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", (int)pid), "--json", "-",
						      "--interval", "0.05"),
				      .out_fd = out.out,
			      });
	pipe_close(&out.out);
	tracer_wait_ready(&tracer);
	target_go(&target);
	target_wait_done(&target);
	report_wait_row(out.in, pid, "followed_after_s");
	target_release(&target);
	report = report_last(out.in);
	expect_exit(tracer.child, 0);
	expect_consistent(report);
	cr_expect_eq(figure(report, "notices.allocators_found_late"), 1);
	expect_plugin_site(report, row_of_pid(report, pid, 0),
			   json_array_get(truths_load(stage_path("truth")), 1));
}
