// SPDX-License-Identifier: MIT
#include "parts/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- commands ------------------------------------------------------------------------------- */

void command_init(struct command *command)
{
	memset(command, 0, sizeof(*command));
}

void command_fini(struct command *command)
{
	for (size_t i = 0; i < command->word_cnt; i++)
		free(command->words[i]);
	for (size_t i = 0; i < command->environment_cnt; i++)
		free(command->environment[i]);
	command_init(command);
}

void command_add(struct command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (command->word_cnt == COMMAND_WORDS ||
	    vasprintf(&command->words[command->word_cnt], format, args) < 0)
		command->failed = true;
	else
		command->words[++command->word_cnt] = NULL;
	va_end(args);
}

void command_export(struct command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (command->environment_cnt == COMMAND_ENVIRONMENT ||
	    vasprintf(&command->environment[command->environment_cnt], format, args) < 0)
		command->failed = true;
	else
		command->environment_cnt++;
	va_end(args);
}

/* ---- a program ------------------------------------------------------------------------------ */

static void become(const struct command *command, int in, int out, const char *stderr_path)
{
	int err = open(stderr_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	for (size_t i = 0; i < command->environment_cnt; i++)
		putenv(command->environment[i]);
	execvp(command->words[0], command->words);
	_exit(127);
}

int child_start(struct child *child, const struct command *command, const char *stderr_path,
		double timeout_s)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 }, err = 0;

	if (command->failed || !command->word_cnt)
		return -E2BIG;
	*child = (struct child){ .in = -1, .out = -1 };
	strbuf_init(&child->text);
	child->started_s = now_s();
	child->deadline_s = child->started_s + timeout_s;
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		err = -errno;
	child->pid = err ? -1 : fork();
	if (!child->pid)
		become(command, to[0], from[1], stderr_path);
	if (!err && child->pid < 0)
		err = -errno;
	if (to[0] >= 0)
		close(to[0]);
	if (from[1] >= 0)
		close(from[1]);
	child->in = to[1];
	child->out = from[0];
	if (err) {
		child_close_stdin(child);
		child_fini(child);
		return err;
	}
	setpgid(child->pid,
		child->pid); /* whoever is first: signals to the group must not miss it */
	return 0;
}

/* 1: more text; 0: its end; -ETIMEDOUT. */
static int hear(struct child *child)
{
	struct pollfd ready = { .fd = child->out, .events = POLLIN };
	char bytes[65536];
	ssize_t len;

	for (;;) {
		double left_s = child->deadline_s - now_s();
		int got = left_s > 0 ? poll(&ready, 1, (int)(left_s * 1000) + 1) : 0;

		if (!got)
			return -ETIMEDOUT;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			break;
	}
	len = read(child->out, bytes, sizeof(bytes));
	if (len <= 0)
		return 0;
	strbuf_add(&child->text, bytes, (size_t)len);
	return 1;
}

const char *child_await(struct child *child, const char *mark, size_t from)
{
	const char *found;

	for (;;) {
		found = child->text.len >= from ? strstr(strbuf_text(&child->text) + from, mark)
						: NULL;
		if (found)
			return found + strlen(mark);
		if (hear(child) <= 0)
			return NULL;
	}
}

int child_say(struct child *child, const char *text, size_t len)
{
	while (len) {
		ssize_t written = write(child->in, text, len);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			text += written;
			len -= (size_t)written;
		}
	}
	return 0;
}

void child_close_stdin(struct child *child)
{
	if (child->in >= 0)
		close(child->in);
	child->in = -1;
}

/* The last resort: tools get the chance to end what they trace. */
static void put_down(const struct child *child)
{
	struct pollfd ended = { .fd = pidfd_open(child->pid, 0), .events = POLLIN };

	kill(-child->pid, SIGTERM);
	poll(&ended, 1, 2000);
	kill(-child->pid, SIGKILL);
	if (ended.fd >= 0)
		close(ended.fd);
}

int child_end(struct child *child, int *status)
{
	int got;

	child_close_stdin(child);
	do
		got = hear(child);
	while (got > 0);
	if (got < 0)
		put_down(child);
	if (waitpid(child->pid, status, 0) < 0)
		return -errno;
	return got < 0 ? -ETIMEDOUT : 0;
}

void child_fini(struct child *child)
{
	child_close_stdin(child);
	if (child->out >= 0)
		close(child->out);
	child->out = -1;
	strbuf_fini(&child->text);
}
