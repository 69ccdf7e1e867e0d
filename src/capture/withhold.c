// SPDX-License-Identifier: MIT
#include "capture/withhold.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "LD_PRELOAD="
#define SEPARATORS " :" /* glibc's and musl's */
#define ENVIRONMENT_MAX (8 << 20)
/* A seizing that takes that long waits for the very exec that waits for it. */
#define SEIZE_MS 200

struct helper {
	pid_t pid, tid; /* itself, and whom it has seized */
};

struct withhold {
	char *library;
	struct helper *helpers;
	size_t helper_cnt;
};

/* ---- the environment of an image
 * -------------------------------------------------------------------- */

/* Where its strings are; fields 50 and 51 of stat. */
static int environment_range(pid_t pid, uint64_t *start, uint64_t *end)
{
	char path[32], text[2048], *at;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = 0;
	at = strrchr(text, ')'); /* of the name, field 2 */
	for (int field = 2; at && field < 50; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	*start = strtoull(at, &at, 10);
	*end = strtoull(at, NULL, 10);
	return *start && *start < *end && *end - *start <= ENVIRONMENT_MAX ? 0 : -ENODATA;
}

/* Takes a word out of a list, and what separates it. What is gained becomes a string that is no
 * variable: some read /proc/self/environ (sanitizers do), and take an empty string for its end. */
static bool cut_word(char *list, const char *word)
{
	size_t len = strlen(list), wanted = strlen(word), old = len;
	bool found = false;

	for (char *at = list; *at;) {
		size_t word_len = strcspn(at, SEPARATORS), cut = word_len;

		if (word_len != wanted || memcmp(at, word, wanted)) {
			at += word_len;
			at += *at != 0;
			continue;
		}
		if (at[cut])
			cut++;
		else if (at > list)
			at--, cut++;
		len -= cut;
		memmove(at, at + cut, list + len - at);
		list[len] = 0;
		found = true;
	}
	if (found)
		memset(list + len + 1, '-', old - len - 1);
	return found;
}

/* strings: as an image has them, each ended by a zero; so is the last. */
static bool cut_library(char *strings, size_t size, const char *library)
{
	bool found = false;

	for (size_t at = 0; at < size;) {
		size_t len = strlen(strings + at);

		if (!strncmp(strings + at, VARIABLE, strlen(VARIABLE)))
			found |= cut_word(strings + at + strlen(VARIABLE), library);
		at += len + 1;
	}
	return found;
}

int withhold_now(pid_t pid, const char *library)
{
	uint64_t start, end;
	char path[32], *strings;
	ssize_t size;
	int fd, err = environment_range(pid, &start, &end);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size = end - start;
	strings = calloc(1, size + 1);
	if (!strings)
		err = -ENOMEM;
	else if (pread(fd, strings, size, start) != size)
		err = -EIO;
	else if (cut_library(strings, size, library))
		err = pwrite(fd, strings, size, start) == size ? 1 : -EIO;
	free(strings);
	close(fd);
	return err;
}

/* ---- the helper
 * -------------------------------------------------------------------------------------- */

/* Lets the tracee do what it would do untraced, until it is another program, or gone. */
static void await_exec(const char *library)
{
	int status, event, signal;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid <= 0 || !WIFSTOPPED(status))
			continue;
		event = status >> 16;
		signal = WSTOPSIG(status);
		if (event == PTRACE_EVENT_EXEC) {
			withhold_now(pid, library);
			ptrace(PTRACE_DETACH, pid, NULL, NULL);
			return;
		}
		if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
			ptrace(PTRACE_LISTEN, pid, NULL, NULL); /* it is stopped, and stays so */
		else
			ptrace(PTRACE_CONT, pid, NULL, event ? 0L : (long)signal);
	}
}

/* Only one thing of the session's is kept: fanotify's descriptor above all must not outlive it. */
static void help(pid_t tid, const char *library, int result)
{
	sigset_t all;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(result, 0) < 0 || syscall(SYS_close_range, 1, ~0U, 0))
		_exit(1);
	err = ptrace(PTRACE_SEIZE, tid, NULL, (long)PTRACE_O_TRACEEXEC) ? errno : 0;
	if (write(0, &err, sizeof(err)) == sizeof(err) && !err) {
		close(0);
		await_exec(library);
	}
	_exit(0);
}

/* ---- the session's side
 * ------------------------------------------------------------------------------ */

struct withhold *withhold_new(const char *library)
{
	struct withhold *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->library = strdup(library);
	if (w->library)
		return w;
	free(w);
	return NULL;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void reap_ended(struct withhold *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->helper_cnt; i++)
		if (!waitpid(w->helpers[i].pid, NULL, WNOHANG))
			w->helpers[kept++] = w->helpers[i];
	w->helper_cnt = kept;
}

void withhold_free(struct withhold *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->helper_cnt; i++) {
		kill(w->helpers[i].pid, SIGKILL);
		reap(w->helpers[i].pid);
	}
	free(w->helpers);
	free(w->library);
	free(w);
}

/* What the helper says of its seizing: 0 or -errno. */
static int read_result(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int err;

	if (poll(&ready, 1, SEIZE_MS) <= 0)
		return -EBUSY;
	return read(fd, &err, sizeof(err)) == sizeof(err) ? -err : -ECHILD;
}

/* Before 6.8 the kernel opens the program when it holds what ptrace waits for. */
static bool can_seize(void)
{
	struct utsname name;
	int major, minor;

	return !uname(&name) && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 8));
}

static bool is_seized(const struct withhold *w, pid_t tid)
{
	for (size_t i = 0; i < w->helper_cnt; i++)
		if (w->helpers[i].tid == tid)
			return true;
	return false;
}

int withhold_at_exec(struct withhold *w, pid_t tid)
{
	struct helper *grown;
	int result[2], err;
	pid_t pid;

	reap_ended(w);
	if (is_seized(w, tid)) /* its linker, or what runs it in its place */
		return 0;
	if (!can_seize())
		return -ENOTSUP;
	grown = realloc(w->helpers, (w->helper_cnt + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	w->helpers = grown;
	if (pipe2(result, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		help(tid, w->library, result[1]);
	err = pid < 0 ? -errno : 0;
	close(result[1]);
	if (!err) {
		err = read_result(result[0]);
		if (err) {
			kill(pid, SIGKILL);
			reap(pid);
		} else {
			grown[w->helper_cnt++] = (struct helper){ pid, tid };
		}
	}
	close(result[0]);
	return err;
}
