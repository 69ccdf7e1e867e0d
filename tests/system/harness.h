/* SPDX-License-Identifier: MIT */
/*
 * harness.h - runs memtrace on programs that know their own truth.
 *
 * Every test has a stage: a directory of its own and the processes it started. stage_tear_down
 * kills what is left of those (by pidfd, nothing else) and removes the directory, also after a
 * failed test. Nothing sleeps: whatever is waited for is a byte on a pipe, the end of a file or of
 * a process, and TIMEOUT_MS without it fails the test.
 *
 * A test that cannot run here says skip() and why.
 */
#ifndef TESTS_SYSTEM_HARNESS_H
#define TESTS_SYSTEM_HARNESS_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>

/* The directory of this machine's libraries below /usr/lib. */
#ifdef __aarch64__
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif

#define TIMEOUT_MS 60000
#define WORDS_MAX 48

#define fatal(...) cr_assert_fail(__VA_ARGS__)

#define skip(...)                             \
	do {                                  \
		fprintf(stderr, "SKIP: %s: ", criterion_current_test->name); \
		fprintf(stderr, __VA_ARGS__); \
		fprintf(stderr, "\n");        \
		cr_skip_test(__VA_ARGS__);    \
	} while (0)

/* Words of a command line or an environment: LIST("-p", "12"). */
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- stage ------------------------------------------------------------------------------------
 */

void stage_set_up(void);    /* of every suite: .init */
void stage_tear_down(void); /* of every suite: .fini */

#define SUITE(name) TestSuite(name, .init = stage_set_up, .fini = stage_tear_down, .timeout = 300)

/* A path in the stage's directory; valid until the test ends. */
const char *stage_path(const char *name);

/* Valid until the test ends. */
const char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole file, ended by a 0; empty when there is none. Valid until the test ends. */
const char *file_text(const char *path);
void file_write(const char *path, const char *text);

/* Absolute path of a target (a path stays one), or of memtrace. */
const char *target_path(const char *name);
const char *memtrace_path(void);

/* Path of a copy of the target, under a name that nobody else has. */
const char *target_renamed(const char *target, const char *name);

/* Where a program is in PATH, or NULL. */
const char *find_program(const char *name);

/* Where a library of Debian is, whatever its version: "libjemalloc". Skips the test without it. */
const char *need_library(const char *name);

/* ---- processes --------------------------------------------------------------------------------
 */

struct child {
	pid_t pid;
	int pidfd;
	bool reaped;
	int wait_status;       /* once reaped */
	const char *out, *err; /* paths of what it wrote */
};

struct start {
	const char *const *argv;
	const char *const *env; /* "NAME=value" to add; NULL: none */
	const int *fds;		/* to inherit, ended by -1; NULL: none */
	uid_t uid;		/* to run as; 0: unchanged */
	const char *cwd;	/* NULL: unchanged */
	int out_fd, err_fd;	/* its stdout and stderr instead of files; 0: files */
};

/* Starts a program found in PATH; stdin is /dev/null. Failure to start it is exit status 127. */
struct child *child_start(const struct start *start);

/* Waits for its end and returns the wait status. */
int child_wait(struct child *child);
void child_signal(struct child *child, int signal);
bool child_runs(struct child *child);

/* Fails unless it exited with the status. */
void expect_exit(struct child *child, int status);

/* Runs a program to its end; the wait status. */
int run(const struct start *start, struct child **child);

/* ---- pipes ------------------------------------------------------------------------------------
 */

struct pipe_pair {
	int in, out; /* read end, write end; -1 once closed */
};

struct pipe_pair pipe_new(void);
void pipe_close(int *fd);

/* Waits for one byte. False: end of the file. */
bool pipe_wait(int fd);

/* Waits until every write end is closed. */
void pipe_wait_end(int fd);

/* The next line without its end, or NULL at the end of the file. */
const char *pipe_line(int fd);

/* Waits for a line that holds the words; fails at the end of the file. */
const char *pipe_wait_line(int fd, const char *words);

/* ---- a target, and memtrace -------------------------------------------------------------------
 */

/* A target that waits: for target_go() to begin, for target_release() to end. */
struct target {
	struct child *child; /* NULL when memtrace started it */
	struct pipe_pair ready, go, done, hold;
	int fds[5];	    /* what it inherits */
	const char *env[5]; /* where it finds them */
};

/* The pipes alone, for a target that memtrace starts: pass it fds and env. Then, in this process,
 * target_started() once it was. */
void target_prepare(struct target *target);
void target_started(struct target *target);

/* argv[0] is a name below TARGETS_DIR. Returns once the target waits. */
void target_start(struct target *target, const char *const *argv, const char *const *env);
void target_go(struct target *target);
void target_wait_done(struct target *target); /* its truth is written */
void target_release(struct target *target);

/* memtrace, running. */
struct tracer {
	struct child *child;
	struct pipe_pair ready;
	const char *json; /* path of the report */
};

/* Starts memtrace with options (--json and --ready-fd are added) and, after "--", a command. The
 * command inherits fds. */
struct tracer_start {
	const char *const *options; /* NULL: none */
	const char *const *command; /* NULL: none */
	const char *const *env;
	const int *fds;
	int out_fd, err_fd;
};

void tracer_start(struct tracer *tracer, const struct tracer_start *start);
void tracer_wait_ready(struct tracer *tracer); /* fails when it ends instead */

/* Waits for its end; the report or NULL. */
json_t *tracer_finish(struct tracer *tracer);
json_t *report_load(const char *path);

/* For a trace whose reports come down a pipe, one a line (--json - --interval): the next one, or
 * NULL at the end; the last; the first that has a row of the pid in which a member is not null. */
json_t *report_next(int fd);
json_t *report_last(int fd);
json_t *report_wait_row(int fd, pid_t pid, const char *known);

/* ---- target and memtrace together --------------------------------------------------------------
 */

enum way {
	LAUNCHED,      /* memtrace --lane uprobe -- target */
	LAUNCHED_PRELOAD, /* memtrace --lane preload -- target */
	ATTACHED,      /* memtrace -p, until the target ended */
	ATTACHED_HELD, /* memtrace -p, ended by SIGINT while the target lives */
};

struct trace_request {
	enum way way;
	const char *const *argv;    /* argv[0] is a name below TARGETS_DIR */
	const char *const *options; /* of memtrace */
	const char *const *env;	    /* of the target (and of memtrace when launched) */
};

struct trace {
	enum way way;
	const char *const *env;
	struct child *memtrace;
	pid_t pid;	   /* of the target; 0 when launched */
	int target_status; /* wait status; when launched: unknown, 0 */
	json_t *report;
	json_t *truths; /* array of the lines the target wrote */
};

void trace_run(struct trace *trace, const struct trace_request *request);

/* The lines of a truth file. */
json_t *truths_load(const char *path);

#endif
