/* SPDX-License-Identifier: MIT */
/*
 * child.h - a program that is measured: started with pipes, talked to, waited for; never for ever.
 *
 * Everything it says on stdout is kept. stderr goes to a file. It is the leader of a process group
 * of its own, which is killed when its time is over.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/strbuf.h"

#define COMMAND_WORDS 48
#define COMMAND_ENVIRONMENT 8

/* The words of a command line, and what is added to its environment; more than fit are not added,
 * which child_start() tells. */
struct command {
	char *words[COMMAND_WORDS + 1]; /* NULL behind the last */
	char *environment[COMMAND_ENVIRONMENT];
	size_t word_cnt, environment_cnt;
	bool failed;
};

void command_init(struct command *command);
void command_fini(struct command *command);
void command_add(struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void command_export(struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

struct child {
	pid_t pid;
	int in, out; /* -1: closed */
	struct strbuf text;
	double started_s, deadline_s; /* CLOCK_MONOTONIC */
};

double now_s(void);

/* 0 or -errno; then there is nothing to end. A command that cannot be run ends with status 127. */
int child_start(struct child *child, const struct command *command, const char *stderr_path,
		double timeout_s);

/* Waits until it has said mark, in what it said from offset from on. Returns a pointer behind the
 * mark, valid until the next call; NULL when it ended or is late. */
const char *child_await(struct child *child, const char *mark, size_t from);

/* 0 or -errno. */
int child_say(struct child *child, const char *text, size_t len);
void child_close_stdin(struct child *child);

/* Closes stdin, hears the rest, waits. Its wait status; -ETIMEDOUT when it had to be killed. text
 * stays until child_fini(). */
int child_end(struct child *child, int *status);
void child_fini(struct child *child);

#endif
