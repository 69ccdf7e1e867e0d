// SPDX-License-Identifier: MIT
#include "capture/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/wait.h>
#include <unistd.h>

struct gate {
	int fd;
};

/* A path of mountinfo: blanks and the like are written as \040. */
static void unescape(char *path)
{
	char *out = path;

	for (; *path; path++) {
		if (path[0] == '\\' && path[1] && path[2] && path[3]) {
			*out++ = (path[1] - '0') << 6 | (path[2] - '0') << 3 | (path[3] - '0');
			path += 3;
		} else {
			*out++ = *path;
		}
	}
	*out = 0;
}

/* Runs in a helper inside the namespace: marks each of its mounts. The root must be among them. */
static int mark_mounts(int fd)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, path[PATH_MAX];
	bool root = false;
	size_t cap = 0;

	if (!f)
		return errno;
	while (getline(&line, &cap, f) > 0) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1)
			continue;
		unescape(path);
		if (!fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_EXEC_PERM, AT_FDCWD,
				   path) && !strcmp(path, "/"))
			root = true;
	}
	free(line);
	fclose(f);
	return root ? 0 : ENOTSUP;
}

int gate_open(int ns_fd, struct gate **out)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int status, err;
	pid_t helper;

	if (!gate)
		return -ENOMEM;
	gate->fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK,
				 O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	if (gate->fd < 0) {
		err = -errno;
		free(gate);
		return err;
	}
	helper = fork();
	if (!helper)
		_exit(setns(ns_fd, CLONE_NEWNS) ? errno : mark_mounts(gate->fd));
	while (helper > 0 && waitpid(helper, &status, 0) < 0 && errno == EINTR)
		;
	if (helper < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		err = helper > 0 && WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
		gate_close(gate);
		return err;
	}
	*out = gate;
	return 0;
}

int gate_fd(const struct gate *gate)
{
	return gate->fd;
}

static void serve_one(struct gate *gate, const struct fanotify_event_metadata *event, gate_fn see,
		      void *ctx)
{
	struct fanotify_response answer = { .fd = event->fd, .response = FAN_ALLOW };
	char link[64], path[PATH_MAX];
	ssize_t len;

	if (event->fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", event->fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len > 0) {
		path[len] = 0;
		see(ctx, event->pid, path);
	}
	fanotify_mark(gate->fd,
		      FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
		      FAN_OPEN_EXEC_PERM, event->fd, NULL);
	/* fails when the one who waited was killed meanwhile: then nobody needs it */
	if (write(gate->fd, &answer, sizeof(answer)) < 0)
		errno = 0;
	close(event->fd);
}

void gate_serve(struct gate *gate, gate_fn see, void *ctx)
{
	char buf[8192] __attribute__((aligned(8)));
	const struct fanotify_event_metadata *event;
	ssize_t len;

	while ((len = read(gate->fd, buf, sizeof(buf))) > 0) {
		event = (const void *)buf;
		for (; FAN_EVENT_OK(event, len); event = FAN_EVENT_NEXT(event, len))
			serve_one(gate, event, see, ctx);
	}
}

void gate_close(struct gate *gate)
{
	if (!gate)
		return;
	close(gate->fd);
	free(gate);
}
