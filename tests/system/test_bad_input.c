// SPDX-License-Identifier: MIT
/* test_bad_input.c - every named bad input: one clear line, the right status, nothing left behind.
 */
#include "expect.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILED 1
#define USAGE 2

/* ---- leftovers
 * ----------------------------------------------------------------------------------- */

static const char *listing(const char *dir, const char *prefix)
{
	const char *all = "";
	struct dirent *entry;
	DIR *stream = opendir(dir);

	while (stream && (entry = readdir(stream)))
		if (!strncmp(entry->d_name, prefix, strlen(prefix)) && entry->d_name[0] != '.')
			all = text_of("%s%s/%s\n", all, dir, entry->d_name);
	if (stream)
		closedir(stream);
	return all;
}

/* Whatever outlives a process if nobody takes it away. */
static const char *leftovers(void)
{
	return text_of("%s%s%s%s%s%s", listing("/sys/fs/bpf", ""), listing("/tmp", "memtrace"),
		       listing("/run", "memtrace"), listing("/dev/shm", ""),
		       file_text("/sys/kernel/tracing/uprobe_events"),
		       file_text("/proc/self/mounts"));
}

/* memtrace with the words, in a directory of its own; every process it made must be gone. */
struct attempt {
	const char *const *words;
	const char *const *env;
	uid_t uid;
	const char *path; /* of memtrace; NULL: the usual */
};

static struct child *attempt(const struct attempt *attempt)
{
	struct pipe_pair lifeline = pipe_new();
	const char *words[WORDS_MAX], *before = leftovers(), *cwd = stage_path("cwd");
	struct child *memtrace;
	size_t cnt = 0;

	words[cnt++] = attempt->path ? attempt->path : memtrace_path();
	for (const char *const *word = attempt->words; *word; word++)
		words[cnt++] = *word;
	words[cnt] = NULL;
	mkdir(cwd, 0777);
	run(
		&(struct start){
			.argv = words,
			.env = attempt->env,
			.uid = attempt->uid,
			.cwd = cwd,
			.fds = (const int[]){ lifeline.out, -1 },
		},
		&memtrace);
	pipe_close(&lifeline.out);
	pipe_wait_end(lifeline.in);
	cr_expect_str_eq(leftovers(), before, "something was left behind");
	cr_expect_str_empty(listing(cwd, ""), "files were left behind");
	return memtrace;
}

static void expect_refusal(int status, const char *const *words, const char *const *named)
{
	struct child *memtrace = attempt(&(struct attempt){ .words = words });

	expect_exit(memtrace, status);
	expect_one_line(memtrace, named);
	cr_expect_str_empty(file_text(memtrace->out), "something was written to stdout");
}

#define REFUSES(suite, sentence, status, words, ...)              \
	Test(suite, sentence)                                     \
	{                                                         \
		expect_refusal(status, words, LIST(__VA_ARGS__)); \
	}

/* ---- usage: status 2
 * ------------------------------------------------------------------------------ */

SUITE(usage);

REFUSES(usage, nothing_to_trace, USAGE, LIST("--interval", "1"), "--")
REFUSES(usage, an_option_there_is_not, USAGE, LIST("--limitmb", "5"), "--limitmb", "--limit-mb")
REFUSES(usage, a_letter_there_is_not, USAGE, LIST("-Z"), "-Z")
REFUSES(usage, a_word_without_dashes, USAGE, LIST("ls"), "ls", "--")
REFUSES(usage, a_pid_that_is_no_number, USAGE, LIST("-p", "abc"), "abc", "pid")
REFUSES(usage, a_pid_with_a_tail, USAGE, LIST("-p", "12x"), "12x")
REFUSES(usage, pid_zero, USAGE, LIST("-p", "0"), "'0'")
REFUSES(usage, a_negative_pid, USAGE, LIST("-p", "-5"), "-5")
REFUSES(usage, a_pid_too_large, USAGE, LIST("-p", "99999999999"), "99999999999")
REFUSES(usage, a_pid_left_out, USAGE, LIST("-p"), "pid")
REFUSES(usage, a_limit_that_is_no_number, USAGE, LIST("--limit-mb", "lots", "--", "true"), "lots")
REFUSES(usage, a_negative_limit, USAGE, LIST("--limit-mb", "-1", "--", "true"), "-1")
REFUSES(usage, a_limit_too_large, USAGE, LIST("--limit-mb", "99999999999999999999", "--", "true"),
	"99999999999999999999")
REFUSES(usage, an_interval_that_is_no_number, USAGE, LIST("--interval", "nan", "-p", "1"), "nan")
REFUSES(usage, a_duration_of_zero, USAGE, LIST("--duration", "0", "-p", "1"), "--duration")
REFUSES(usage, a_negative_age, USAGE, LIST("--min-age", "-3", "-p", "1"), "-3")
REFUSES(usage, a_size_that_is_no_number, USAGE, LIST("--min-size", "4k", "-p", "1"), "4k")
REFUSES(usage, a_top_of_zero, USAGE, LIST("--top", "0", "-p", "1"), "--top")
REFUSES(usage, a_stack_depth_of_zero, USAGE, LIST("--stack-depth", "0", "-p", "1"), "--stack-depth")
REFUSES(usage, a_stack_depth_too_large, USAGE, LIST("--stack-depth", "128", "-p", "1"), "128",
	"127")
REFUSES(usage, a_budget_of_zero, USAGE, LIST("--max-memory-mb", "0", "-p", "1"), "--max-memory-mb")
REFUSES(usage, an_action_there_is_not, USAGE, LIST("--on-limit", "explode", "-p", "1"), "explode",
	"report|stop|kill")
REFUSES(usage, a_gate_there_is_not, USAGE, LIST("--fail-on", "monday", "--", "true"), "monday")
REFUSES(usage, a_leak_gate_that_is_no_number, USAGE, LIST("--fail-on", "leak=x", "--", "true"), "x")
REFUSES(usage, a_lane_there_is_not, USAGE, LIST("--lane", "fast", "-p", "1"), "fast", "uprobe")
REFUSES(usage, a_sample_of_what_runs_already, USAGE, LIST("--sample-bytes", "4096", "-p", "1"),
	"--sample-bytes", "command")
REFUSES(usage, two_ways_to_sample, USAGE,
	LIST("--sample-bytes", "1", "--sampling-rate", "1", "--", "true"), "--sampling-rate")
REFUSES(usage, a_probability_above_one, USAGE, LIST("--sampling-rate", "1.1", "--", "true"), "1.1",
	"from 0 to 1")
REFUSES(usage, a_sample_by_probes, USAGE,
	LIST("--lane", "uprobe", "--sample-bytes", "1", "--", "true"), "uprobe")
REFUSES(usage, stacks_there_are_not, USAGE, LIST("--stacks", "magic", "-p", "1"), "magic", "fp")
REFUSES(usage, a_ready_fd_that_is_no_number, USAGE, LIST("--ready-fd", "x", "-p", "1"),
	"--ready-fd")
REFUSES(usage, both_a_pid_and_a_command, USAGE, LIST("-p", "1", "--", "true"), "-p", "--")
REFUSES(usage, both_all_and_a_pid, USAGE, LIST("--all", "-p", "1"), "--all", "-p")
REFUSES(usage, both_a_name_and_a_cgroup, USAGE, LIST("--comm", "a", "--cgroup", "/x"), "--comm",
	"--cgroup")
REFUSES(usage, a_command_left_out, USAGE, LIST("--"), "--")
REFUSES(usage, an_empty_name, USAGE, LIST("--comm", ""), "--comm")
REFUSES(usage, a_name_longer_than_the_kernel_keeps, USAGE, LIST("--comm", "a-name-of-16-char"),
	"15")

/* ---- targets: status 1
 * ---------------------------------------------------------------------------- */

SUITE(refused);

/* A pid that was, and is nobody's now: pids are given in turn. */
static const char *pid_of_nobody(void)
{
	struct child *child;

	run(&(struct start){ .argv = LIST("true") }, &child);
	return text_of("%d", (int)child->pid);
}

Test(refused, a_pid_of_nobody)
{
	const char *pid = pid_of_nobody();

	expect_refusal(FAILED, LIST("-p", pid), LIST(pid));
}

Test(refused, a_kernel_thread)
{
	if (!strstr(file_text("/proc/2/comm"), "kthreadd"))
		skip("pid 2 is no kernel thread here");
	expect_refusal(FAILED, LIST("-p", "2"), LIST("2", "kernel thread"));
}

Test(refused, a_process_that_ended_and_was_not_waited_for)
{
	struct child *child = child_start(&(struct start){ .argv = LIST("true") });
	const char *pid = text_of("%d", (int)child->pid);
	siginfo_t info;

	cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
	expect_refusal(FAILED, LIST("-p", pid), LIST(pid));
}

Test(refused, a_process_without_an_allocator_to_be_found)
{
	struct target target;
	const char *pid;

	target_start(&target, LIST("stripped"), NULL);
	pid = text_of("%d", (int)target.child->pid);
	expect_refusal(FAILED, LIST("-p", pid), LIST(pid, "malloc"));
	target_go(&target);
	target_release(&target);
	expect_exit(target.child, 0);
}

Test(refused, one_good_and_one_bad_pid)
{
	struct target target;
	const char *bad = pid_of_nobody();

	target_start(&target, LIST("waiting"), NULL);
	expect_refusal(FAILED, LIST("-p", text_of("%d", (int)target.child->pid), "-p", bad),
		       LIST(bad));
	expect_code_untouched(target.child->pid);
	target_go(&target);
	target_release(&target);
	expect_exit(target.child, 0);
}

REFUSES(refused, a_program_there_is_not, FAILED, LIST("--", "no-such-program-here"),
	"no-such-program-here")
REFUSES(refused, a_path_there_is_not, FAILED, LIST("--", "/no/such/program"), "/no/such/program")
REFUSES(refused, a_directory_as_program, FAILED, LIST("--", "/tmp"), "/tmp")
REFUSES(refused, a_cgroup_there_is_not, FAILED, LIST("--cgroup", "/no/such/cgroup"),
	"/no/such/cgroup")
REFUSES(refused, a_directory_that_is_no_cgroup, FAILED, LIST("--cgroup", "/usr"), "/usr")
REFUSES(refused, a_user_there_is_not, FAILED, LIST("--user", "no-such-user", "--", "true"),
	"no-such-user")
REFUSES(refused, a_ready_fd_that_is_not_open, FAILED, LIST("--ready-fd", "77", "--", "true"), "77")
REFUSES(refused, a_cache_directory_that_is_none, FAILED, LIST("--cache-dir", "/dev/null", "--", "true"),
	"/dev/null", "not a directory", "mode 700")
REFUSES(refused, a_cache_directory_that_others_can_write_in, FAILED, LIST("--cache-dir", "/tmp", "--", "true"),
	"/tmp", "others can write")
REFUSES(refused, an_output_in_no_directory, FAILED, LIST("--json", "/no/dir/x.json", "--", "true"),
	"/no/dir/x.json", "No such file or directory")
REFUSES(refused, an_output_that_is_a_directory, FAILED, LIST("--json", "/tmp", "--", "true"),
	"/tmp", "directory")
REFUSES(refused, an_output_below_a_file, FAILED, LIST("--json", "/etc/passwd/x", "--", "true"),
	"/etc/passwd/x")
REFUSES(refused, an_output_where_nothing_can_be_made, FAILED,
	LIST("--json", "/proc/report.json", "--", "true"), "/proc/report.json")

Test(refused, a_file_that_is_not_executable)
{
	const char *path = stage_path("plain");

	file_write(path, "no program\n");
	expect_refusal(FAILED, LIST("--", path), LIST(path, "execut"));
}

Test(refused, a_script_whose_interpreter_is_missing)
{
	const char *path = stage_path("script");

	file_write(path, "#!/no/such/interpreter\n");
	chmod(path, 0755);
	expect_refusal(FAILED, LIST("--", path), LIST(path));
}

/* The binary may lie where others may not go. */
static const char *memtrace_for_all(void)
{
	const char *path = stage_path("memtrace");

	run(&(struct start){ .argv = LIST("cp", memtrace_path(), path) }, NULL);
	chmod(path, 0755);
	return path;
}

static void expect_refused_to_nobody(const char *const *words)
{
	struct child *memtrace = attempt(&(struct attempt){
		.words = words,
		.uid = 65534,
		.path = memtrace_for_all(),
	});

	expect_exit(memtrace, FAILED);
	expect_one_line(memtrace, LIST("sudo"));
}

Test(refused, launching_without_being_root)
{
	expect_refused_to_nobody(LIST("--", "true"));
}

Test(refused, attaching_without_being_root)
{
	struct target target;

	target_start(&target, LIST("waiting"), NULL);
	expect_refused_to_nobody(LIST("-p", text_of("%d", (int)target.child->pid)));
	target_go(&target);
	target_release(&target);
	expect_exit(target.child, 0);
}

Test(refused, all_without_being_root)
{
	expect_refused_to_nobody(LIST("--all"));
}

/* A kernel without type information, to memtrace's eyes: a private mount hides it. */
Test(refused, a_kernel_without_btf)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST("unshare", "--mount", "sh", "-c",
					  "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"",
					  "sh", memtrace_path(), "--", "true") },
	    &memtrace);
	expect_exit(memtrace, FAILED);
	expect_one_line(memtrace, LIST("BTF"));
}

/* However far it came, it either traced to the end or says in one line that the target is gone. */
Test(refused, a_target_that_ends_during_attach)
{
	for (int i = 0; i < 5; i++) {
		struct tracer tracer;
		struct target target;
		int status;

		target_start(&target, LIST("waiting"), NULL);
		tracer_start(&tracer,
			     &(struct tracer_start){
				     .options = LIST("--quiet", "-p",
						     text_of("%d", (int)target.child->pid)) });
		if (i % 2)
			child_signal(target.child, SIGKILL);
		else
			target_go(&target);
		target_release(&target);
		child_wait(target.child);
		status = child_wait(tracer.child);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) <= FAILED,
			  "wait status 0x%x: %s", status, file_text(tracer.child->err));
		if (status)
			expect_one_line(tracer.child, LIST(text_of("%d", (int)target.child->pid)));
	}
}

Test(refused, a_report_without_room)
{
	struct child *memtrace;

	if (access("/dev/full", W_OK))
		skip("no /dev/full");
	run(&(struct start){ .argv = LIST(memtrace_path(), "--quiet", "--json", "/dev/full", "--",
					  target_path("leaky")) },
	    &memtrace);
	expect_exit(memtrace, FAILED);
	expect_stderr_has(memtrace, "/dev/full");
	expect_stderr_has(memtrace, "No space left on device");
}
