// SPDX-License-Identifier: MIT
/*
 * test_harmless.c - what is launched runs as it would without memtrace: programs that cannot bear
 * the preload library, trees that such are part of, and whoever cannot load it.
 */
#include "expect.h"
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

SUITE(harmless);

#define LIBRARY_NAME "libmemtrace-preload.so"

/* ---- tools of these tests
 * ------------------------------------------------------------------------ */

static const char *truth_path(void)
{
	return stage_path("truth");
}

/* Runs the command below memtrace to its end; it ends with 0, and no loader has complained. */
static json_t *launch(const char *lane, const char *const *command, const char *const *env,
		      struct child **memtrace)
{
	const char *words[WORDS_MAX];
	struct tracer tracer;
	size_t cnt = 0;
	json_t *report;

	words[cnt++] = text_of("MT_TRUTH=%s", truth_path());
	while (env && *env)
		words[cnt++] = *env++;
	words[cnt] = NULL;
	tracer_start(&tracer, &(struct tracer_start){ .options = LIST("--lane", lane),
						      .command = command,
						      .env = words });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report, "%s", file_text(tracer.child->err));
	cr_expect(!strstr(file_text(tracer.child->err), "ld.so"), "%s",
		  file_text(tracer.child->err));
	expect_consistent(report);
	if (memtrace)
		*memtrace = tracer.child;
	return report;
}

static const char *lane_of(const json_t *report)
{
	return json_string_value(member(report, "lane"));
}

/* The last image of the n-th process that wrote its truth. */
static json_t *row_of_truth(const json_t *report, const json_t *truth)
{
	json_t *row = NULL, *next;

	for (size_t n = 0; (next = row_of_pid(report, figure(truth, "pid"), n)); n++)
		row = next;
	cr_assert_not_null(row, "the target has no row");
	return row;
}

/* Each target of the tree is in the lane, and its row is its truth. */
static void expect_truths(const json_t *report, const char *lane)
{
	json_t *truths = truths_load(truth_path()), *truth;
	size_t i;

	cr_assert_gt(json_array_size(truths), 0);
	json_array_foreach(truths, i, truth)
	{
		json_t *row = row_of_truth(report, truth);

		cr_expect_str_eq(json_string_value(member(row, "lane")), lane);
		expect_row(row, truth, LAUNCHED, NULL);
	}
	unlink(truth_path());
}

static void expect_refused(const char *const *command, const char *const *env, const char *why)
{
	const char *words[WORDS_MAX] = { memtrace_path(), "--lane", "preload", "--" };
	struct child *memtrace;
	size_t cnt = 4;

	while (*command)
		words[cnt++] = *command++;
	words[cnt] = NULL;
	run(&(struct start){ .argv = words, .env = env }, &memtrace);
	expect_exit(memtrace, 1);
	expect_one_line(memtrace, LIST("preloaded into", why, "(use --lane uprobe"));
}

/* A memtrace with its library in a directory of its own; from now on this is the one that runs. */
static const char *install(const char *name, mode_t mode)
{
	const char *dir = stage_path(name);

	cr_assert(!mkdir(dir, 0700) && !chmod(dir, mode));
	run(&(struct start){ .argv = LIST("cp", memtrace_path(), dir) }, NULL);
	run(&(struct start){ .argv = LIST("cp", PRELOAD_LIB, dir) }, NULL);
	setenv("MEMTRACE", text_of("%s/memtrace", dir), 1);
	return dir;
}

/* ---- a command in either place
 * -------------------------------------------------------------------- */

/* As the command it takes the uprobe lane, by itself; asked for, the other one is refused. */
static void expect_other_lane(const char *const *command, const char *why)
{
	expect_refused(command, NULL, why);
	cr_expect_str_eq(lane_of(launch("auto", command, NULL, NULL)), "uprobe");
	unlink(truth_path());
}

/* Below a shell that has the library; the shell's own status is the program's. */
static json_t *launch_below(const char *command, struct child **memtrace)
{
	json_t *report =
		launch("preload", LIST("sh", "-c", text_of("%s && exit 0; exit 1", command)), NULL,
		       memtrace);

	cr_expect_str_eq(lane_of(report), "preload");
	return report;
}

/* ---- valgrind
 * ------------------------------------------------------------------------------------- */

static void expect_count_of(struct child *memtrace, const char *name)
{
	struct usage usage = valgrind_usage(LIST(target_path(name)), NULL, NULL);
	const char *count = strstr(file_text(memtrace->err), "total heap usage: ");
	char number[32], plain[32];
	size_t len = 0;

	cr_assert(count && sscanf(count, "total heap usage: %31s", number) == 1);
	for (const char *c = number; *c; c++)
		if (*c != ',')
			plain[len++] = *c;
	plain[len] = '\0';
	cr_expect_eq(atoll(plain), usage.allocs, "valgrind counted %s", plain);
}

Test(harmless, valgrind_counts_what_it_counts_alone)
{
	struct child *memtrace;

	if (!find_program("valgrind"))
		skip("valgrind is not installed");
	launch("auto", LIST("valgrind", target_path("leaky")), NULL, &memtrace);
	expect_count_of(memtrace, "leaky");
}

/* Those that put their own malloc in the place of libc's, and those that translate libc's. */
Test(harmless, valgrinds_tools_run_in_a_tree)
{
	static const char *const tools[] = { "memcheck", "massif --massif-out-file=/dev/null",
					     "none", "callgrind --callgrind-out-file=/dev/null",
					     "lackey" };

	if (!find_program("valgrind"))
		skip("valgrind is not installed");
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
		launch_below(text_of("valgrind --trace-children=yes --tool=%s env %s", tools[i],
				     target_path("leaky")),
			     NULL);
}

/* ---- sanitizers
 * ----------------------------------------------------------------------------------- */

static const char *compiled(const char *compiler, const char *sanitizer)
{
	const char *program = stage_path(text_of("%s-%s", compiler, sanitizer));

	if (!find_program(compiler) ||
	    run(&(struct start){ .argv = LIST(compiler, "-g", "-Iinclude", "-w", "-pthread",
					      text_of("-fsanitize=%s", sanitizer), "-o", program,
					      TESTS_DIR "/targets/leaky.c") },
		NULL) ||
	    run(&(struct start){ .argv = LIST(program),
				 .env = LIST("ASAN_OPTIONS=detect_leaks=0",
					     "LSAN_OPTIONS=detect_leaks=0") },
		NULL))
		skip("%s -fsanitize=%s does not work here", compiler, sanitizer);
	return program;
}

static void expect_sanitized_runs(const char *compiler, const char *sanitizer)
{
	const char *program = compiled(compiler, sanitizer);
	json_t *report, *truth;

	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	setenv("LSAN_OPTIONS", "detect_leaks=0", 1);
	expect_other_lane(LIST(program), "has a sanitizer");
	report = launch_below(program, NULL);
	truth = json_array_get(truths_load(truth_path()), 0);
	cr_expect_str_eq(json_string_value(member(row_of_truth(report, truth), "lane")), "uprobe");
	cr_expect_eq(figure(row_of_truth(report, truth), "exit_status"), 0);
	/* and below a program that makes children without fork */
	unlink(truth_path());
	launch_below(text_of("env -- %s", program), NULL);
}

Test(harmless, a_program_with_gccs_address_sanitizer_runs)
{
	expect_sanitized_runs("gcc", "address");
}

Test(harmless, a_program_with_gccs_thread_sanitizer_runs)
{
	expect_sanitized_runs("gcc", "thread");
}

Test(harmless, a_program_with_gccs_leak_sanitizer_runs)
{
	expect_sanitized_runs("gcc", "leak");
}

Test(harmless, a_program_with_clangs_address_sanitizer_runs)
{
	expect_sanitized_runs("clang", "address");
}

Test(harmless, a_program_with_clangs_memory_sanitizer_runs)
{
	expect_sanitized_runs("clang", "memory");
}

Test(harmless, a_program_with_clangs_thread_sanitizer_runs)
{
	expect_sanitized_runs("clang", "thread");
}

/* The kernel opens the interpreter of a script when it can no more be seized; in another mount
 * namespace the gate does not stand. Both are stopped instead. */
Test(harmless, a_sanitized_program_that_cannot_be_seized_runs)
{
	const char *program = compiled("gcc", "address"), *script = stage_path("script");

	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	file_write(script, text_of("#!%s\n", program));
	chmod(script, 0755);
	launch_below(script, NULL);
	launch_below(text_of("unshare -m %s", program), NULL);
}

/* ---- what LD_PRELOAD has already
 * ------------------------------------------------------------------ */

static const char *preloaded_as(const char *already)
{
	struct child *memtrace;

	launch("auto", LIST("sh", "-c", "echo \"$LD_PRELOAD\""),
	       already ? LIST(text_of("LD_PRELOAD=%s", already)) : NULL, &memtrace);
	return file_text(memtrace->out);
}

Test(harmless, what_is_preloaded_already_stays_the_first)
{
	const char *libm = need_library("libm");

	cr_expect_str_eq(preloaded_as(NULL), PRELOAD_LIB "\n");
	cr_expect_str_eq(preloaded_as(libm), text_of("%s:%s\n", libm, PRELOAD_LIB));
}

Test(harmless, an_allocator_that_is_preloaded_already_stays_alone)
{
	const char *jemalloc = need_library("libjemalloc");

	cr_expect_str_eq(preloaded_as(jemalloc), text_of("%s\n", jemalloc));
}

static void expect_kept_alone(const char *library, const char *why)
{
	expect_refused(LIST(target_path("empty")), LIST(text_of("LD_PRELOAD=%s", library)), why);
	cr_expect_str_eq(preloaded_as(library), text_of("%s\n", library));
}

Test(harmless, a_sanitizer_that_is_preloaded_already_stays_alone)
{
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	expect_kept_alone(need_library("libasan"), "has a sanitizer");
}

Test(harmless, glibcs_debugging_malloc_stays_alone)
{
	const char *library = text_of("/usr/lib/%s/libc_malloc_debug.so.0", MULTIARCH);

	if (access(library, R_OK))
		skip("%s is not there", library); /* glibc before 2.34 has it in libc */
	expect_kept_alone(library, "debugging malloc");
}

/* Not the command's, but one child's: before the library, which then has nothing to tell. */
Test(harmless, an_allocator_before_the_library_is_believed)
{
	const char *library = need_library("libjemalloc");
	json_t *report = launch_below(
		text_of("LD_PRELOAD=%s:$LD_PRELOAD %s", library, target_path("mix")), NULL);
	json_t *truth = json_array_get(truths_load(truth_path()), 0), *row;

	row = row_of_truth(report, truth);
	cr_expect_str_eq(json_string_value(member(row, "lane")), "uprobe");
	expect_row(row, truth, LAUNCHED, LIST(text_of("LD_PRELOAD=%s", library)));
}

/* ---- programs with allocators
 * --------------------------------------------------------------------- */

Test(harmless, a_program_that_calls_what_its_allocator_alone_has_counts_in_the_other_lane)
{
	const char *preloaded = text_of("LD_PRELOAD=%s", need_library("libjemalloc"));
	json_t *report, *truth, *row;

	expect_other_lane(LIST(target_path("extra")), "its allocator alone has");
	unlink(truth_path());
	report = launch("auto", LIST(target_path("extra")), LIST(preloaded), NULL);
	truth = json_array_get(truths_load(truth_path()), 0);
	row = row_of_truth(report, truth);
	cr_expect_str_eq(json_string_value(member(row, "lane")), "uprobe");
	cr_expect_eq(figure(row, "unknown_frees"), 0);
	/* jemalloc brings libstdc++, which has a pool */
	cr_expect_eq(figure(row, "live_blocks"), figure(truth, "live_blocks") + 1);
	cr_expect_eq(figure(row, "frees"), figure(truth, "frees"));
}

Test(harmless, a_program_with_an_allocator_of_its_own_counts_in_the_other_lane)
{
	static const char *const names[] = { "nest_own", "own_part" };

	for (size_t i = 0; i < 2; i++) {
		expect_other_lane(LIST(target_path(names[i])), "allocator of its own");
		expect_truths(launch_below(target_path(names[i]), NULL), "uprobe");
	}
}

/* Documented: whoever is bound to another allocator than the program is not seen in the preload
 * lane. */
static void expect_apart(const char *how)
{
	static const char *const lanes[] = { "uprobe", "preload" };

	for (size_t i = 0; i < 2; i++) {
		json_t *report = launch(
			lanes[i], LIST(target_path("apart"), how, target_path("apart_library")),
			NULL, NULL);
		json_t *truth = json_array_get(truths_load(truth_path()), 0);

		if (i)
			cr_expect_null(site_of(report, only_row(report), "apart_use"));
		else
			expect_sites(report, only_row(report), truth);
		unlink(truth_path());
	}
}

Test(harmless, a_deeply_bound_library_is_seen_by_the_uprobe_lane_alone)
{
	expect_apart("deep");
}

Test(harmless, a_library_with_a_libc_of_its_own_is_seen_by_the_uprobe_lane_alone)
{
	expect_apart("another");
}

/* ---- who cannot load it
 * ---------------------------------------------------------------------------- */

Test(harmless, a_child_without_the_environment_counts_in_the_other_lane)
{
	expect_truths(
		launch_below(text_of("env -i MT_TRUTH=%s %s", truth_path(), target_path("mix")),
			     NULL),
		"uprobe");
}

static const char exit_32bit[] = ".globl _start\n"
				 "_start: mov $1, %eax\n"
				 "xor %ebx, %ebx\n"
				 "int $0x80\n";

Test(harmless, a_32bit_child_runs_in_silence)
{
	const char *source = stage_path("exit.s"), *object = stage_path("exit.o");
	const char *program = stage_path("exit32");

	file_write(source, exit_32bit);
	if (run(&(struct start){ .argv = LIST("as", "--32", "-o", object, source) }, NULL) ||
	    run(&(struct start){ .argv = LIST("ld", "-m", "elf_i386", "-dynamic-linker",
					      "/lib/ld-linux.so.2", "-o", program, object,
					      "/usr/lib32/libc.so.6") },
		NULL) ||
	    run(&(struct start){ .argv = LIST(program) }, NULL))
		skip("32-bit programs cannot be made or run here");
	launch_below(program, NULL);
	expect_refused(LIST(program), NULL, "is a 32-bit program");
}

static void copy_into(const char *root, const char *path)
{
	run(&(struct start){ .argv = LIST("sh", "-c",
					  text_of("mkdir -p %s$(dirname %s) && cp %s %s%s", root,
						  path, path, root, path)) },
	    NULL);
}

Test(harmless, a_child_in_a_chroot_counts_in_the_other_lane)
{
	const char *root = stage_path("root"), *libc = text_of("/lib/%s/libc.so.6", MULTIARCH);
	json_t *report;

	copy_into(root, target_path("mix"));
	copy_into(root, libc);
	copy_into(root, "/lib64/ld-linux-x86-64.so.2");
	if (run(&(struct start){ .argv = LIST("chroot", root, target_path("mix"), "10") }, NULL))
		skip("mix needs more files than are known here");
	run(&(struct start){ .argv = LIST("mkdir", "-p", text_of("%s/tmp", root)) }, NULL);
	report = launch_below(text_of("MT_TRUTH=/tmp/truth chroot %s %s", root, target_path("mix")),
			      NULL);
	run(&(struct start){ .argv = LIST("mv", text_of("%s/tmp/truth", root), truth_path()) },
	    NULL);
	expect_truths(report, "uprobe");
}

/* The library is below a directory that is for root alone. */
Test(harmless, another_users_child_that_cannot_reach_the_library_counts_in_the_other_lane)
{
	const char *as_nobody = text_of("setpriv --reuid 65534 --regid 65534 --clear-groups %s",
					target_path("mix"));

	if (!find_program("setpriv"))
		skip("setpriv is not installed");
	install("closed", 0700);
	chmod(stage_path(""), 0777);
	expect_truths(launch_below(as_nobody, NULL), "uprobe");
}

Test(harmless, another_users_child_that_can_reach_the_library_has_it)
{
	const char *as_nobody = text_of("setpriv --reuid 65534 --regid 65534 --clear-groups %s",
					target_path("mix"));
	const char *dir = install("open", 0755);

	if (!find_program("setpriv"))
		skip("setpriv is not installed");
	chmod(text_of("%s/" LIBRARY_NAME, dir), 0600); /* its copy is for everybody */
	chmod(stage_path(""), 0777);
	expect_truths(launch_below(as_nobody, NULL), "preload");
}

Test(harmless, a_user_who_cannot_reach_the_library_is_told)
{
	struct child *memtrace;

	install("closed", 0700);
	chmod(stage_path(""), 0777);
	run(&(struct start){ .argv = LIST(memtrace_path(), "--lane", "preload", "--user", "nobody",
					  "--", "true") },
	    &memtrace);
	expect_exit(memtrace, 1);
	expect_one_line(memtrace, LIST("a user who cannot reach", "(use --lane uprobe"));
	run(&(struct start){ .argv = LIST(memtrace_path(), "--user", "nobody", "--", "true") },
	    &memtrace);
	expect_exit(memtrace, 0);
	cr_expect(!strstr(file_text(memtrace->err), "ld.so"));
}

/* ---- the library's file
 * ---------------------------------------------------------------------------- */

Test(harmless, without_the_library_there_is_the_other_lane)
{
	const char *dir = install("bare", 0755);
	struct child *memtrace;

	unlink(text_of("%s/" LIBRARY_NAME, dir));
	run(&(struct start){ .argv = LIST(memtrace_path(), "--lane", "preload", "--", "true") },
	    &memtrace);
	expect_exit(memtrace, 1);
	expect_one_line(memtrace, LIST("cannot open the preload library", LIBRARY_NAME,
				       "(install memtrace again, or use --lane uprobe)"));
	cr_expect_str_eq(lane_of(launch("auto", LIST(target_path("mix")), NULL, &memtrace)),
			 "uprobe");
	expect_stderr_has(memtrace, "cannot open the preload library");
}

Test(harmless, a_library_that_cannot_be_written_is_as_good)
{
	const char *dir = install("fixed", 0755);

	chmod(text_of("%s/" LIBRARY_NAME, dir), 0444);
	expect_truths(launch("preload", LIST(target_path("mix")), NULL, NULL), "preload");
}

/* Who has it mapped would die of a file that was cut short. */
Test(harmless, a_tree_cannot_damage_the_library)
{
	const char *library = text_of("%s/" LIBRARY_NAME, install("own", 0755));
	const char *other = stage_path("other");
	const char *attack =
		text_of("cp %s %s; true > %s; rm -f %s; mv %s %s; %s; "
			"for i in 1 2 3; do /bin/true || exit 1; done",
			other, library, library, library, other, library, target_path("mix"));
	struct stat before, after;

	file_write(other, "something else\n");

	cr_assert(!stat(library, &before));
	expect_truths(launch_below(attack, NULL), "preload");
	cr_assert(!stat(library, &after));
	cr_expect_eq(after.st_size, before.st_size);
	cr_expect_eq(after.st_ino, before.st_ino);
}

/* ---- forked children
 * ------------------------------------------------------------------------------- */

static void expect_sandbox(const char *how)
{
	static const char *const lanes[] = { "uprobe", "preload" };

	for (size_t i = 0; i < 2; i++)
		if (run(&(struct start){ .argv = LIST(target_path("sandbox"), how) }, NULL))
			skip("sandbox %s cannot be had from this kernel", how);
	for (size_t i = 0; i < 2; i++)
		expect_truths(launch(lanes[i], LIST(target_path("sandbox"), how), NULL, NULL),
			      lanes[i]);
}

Test(harmless, a_child_that_may_only_read_and_write_counts)
{
	expect_sandbox("strict");
}

Test(harmless, a_child_that_dies_of_any_other_system_call_counts)
{
	expect_sandbox("allow-list");
}

Test(harmless, a_child_that_may_not_change_its_memory_counts)
{
	expect_sandbox("no-advice");
}

Test(harmless, a_child_that_may_have_no_new_code_counts)
{
	expect_sandbox("no-new-code");
}

Test(harmless, threads_of_a_child_that_all_begin_at_once_count)
{
	expect_target_exact(LAUNCHED, LIST("fork_crowd"));
	expect_target_exact(LAUNCHED_PRELOAD, LIST("fork_crowd"));
}

/* ---- who is not of the tree
 * ------------------------------------------------------------------------ */

/* A child in the other lane has probes in the C library: in the tree's, and nobody else's. */
Test(harmless, nobody_outside_meets_the_probes_of_a_child_without_the_library)
{
	struct target outside, child;
	struct tracer tracer;

	target_start(&outside, LIST("mix"), NULL);
	target_prepare(&child);
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("--lane", "preload"),
			     .command = LIST("env", "-i", child.env[0], child.env[1], child.env[2],
					     child.env[3], target_path("mix")),
			     .fds = child.fds,
		     });
	target_started(&child);
	pipe_wait(child.ready.in);
	expect_code_untouched(outside.child->pid);
	target_go(&child);
	target_release(&child);
	cr_assert_not_null(tracer_finish(&tracer));
	expect_exit(tracer.child, 0);
	target_go(&outside);
	target_release(&outside);
	expect_exit(outside.child, 0);
}

/* ---- processes that run already
 * -------------------------------------------------------------------- */

Test(harmless, a_running_process_cannot_be_given_the_library)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "-p", "1", "--lane", "preload") },
	    &memtrace);
	expect_exit(memtrace, 2);
	expect_one_line(memtrace, LIST("--lane preload", "runs already", "-- CMD"));
}
