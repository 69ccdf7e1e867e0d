// SPDX-License-Identifier: MIT
#include "capture/gate.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/process.h"

/* Linux 5.19; not in older headers. An ignored inode need not stay in memory for that. */
#define MARK_EVICTABLE 0x200
#define ASKED (FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM)

/* A program or library whose opener waits for the session. */
struct waiting {
	int fd;
	pid_t pid;
	bool exec;
	uint64_t since_ms;
	struct waiting *next;
};

/* A session that has not come for so long may itself wait for someone held here: a file system served
 * by a program of the tree. */
#define PATIENCE_MS 1000

struct gate {
	int fd;	     /* fanotify */
	int wake_fd; /* eventfd: the list is not empty */
	int stop_fd; /* eventfd: the thread shall end */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* of the list */
	struct waiting *first, **last;
	uint64_t unseen; /* let through because nobody came */
};

/* ---- the mounts ---------------------------------------------------------------------------------- */

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

/* Kernel interfaces hold no programs, and some are opened very often. */
static bool may_hold_programs(const char *type)
{
	static const char *const without[] = { "proc",	  "sysfs",	"cgroup", "cgroup2",
					       "devpts",  "debugfs",	"tracefs", "securityfs",
					       "bpf",	  "configfs",	"mqueue", "pstore",
					       "efivarfs", "selinuxfs", "binfmt_misc" };

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (!strcmp(type, without[i]))
			return false;
	return true;
}

/* Runs in a helper inside the namespace: marks each of its mounts. The root must be among them. */
static int mark_mounts(int fd)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, path[PATH_MAX], type[64];
	bool root = false;
	size_t cap = 0;

	if (!f)
		return errno;
	while (getline(&line, &cap, f) > 0) {
		const char *tail = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 || !tail ||
		    sscanf(tail, " - %63s", type) != 1 || !may_hold_programs(type))
			continue;
		unescape(path);
		if (!fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, ASKED, AT_FDCWD, path) &&
		    !strcmp(path, "/"))
			root = true;
	}
	free(line);
	fclose(f);
	return root ? 0 : ENOTSUP;
}

static int mark_namespace(int fd, int ns_fd)
{
	pid_t helper = fork();
	int status;

	if (!helper)
		_exit(setns(ns_fd, CLONE_NEWNS) ? errno : mark_mounts(fd));
	if (helper < 0)
		return -errno;
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* ---- answers ------------------------------------------------------------------------------------- */

/* Until it changes, the kernel need not ask for this file again. */
static void ignore(const struct gate *gate, int fd)
{
	unsigned int how = FAN_MARK_ADD | FAN_MARK_IGNORED_MASK;

	if (fanotify_mark(gate->fd, how | MARK_EVICTABLE, ASKED, fd, NULL) && errno == EINVAL)
		fanotify_mark(gate->fd, how, ASKED, fd, NULL);
}

static void let_through(const struct gate *gate, int fd)
{
	struct fanotify_response answer = { .fd = fd, .response = FAN_ALLOW };

	/* fails when the one who waited was killed meanwhile: then nobody needs it */
	if (write(gate->fd, &answer, sizeof(answer)) < 0)
		errno = 0;
	close(fd);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* Events tell threads; ours are never held. */
static bool is_own(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	return !access(path, F_OK);
}

enum look { LOOK_AGAIN, LOOK_DATA, LOOK_CODE };

/* LOOK_AGAIN: nothing in it yet; what it will be is not known. */
static enum look look_at(int fd)
{
	Elf64_Ehdr head;
	ssize_t got = pread(fd, &head, sizeof(head), 0);

	if (got <= 0)
		return LOOK_AGAIN;
	if (got < (ssize_t)sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
	    (head.e_type != ET_EXEC && head.e_type != ET_DYN))
		return LOOK_DATA;
	return LOOK_CODE;
}

static int keep_waiting(struct gate *gate, const struct fanotify_event_metadata *event)
{
	struct waiting *w = malloc(sizeof(*w));
	uint64_t one = 1;

	if (!w)
		return -ENOMEM;
	*w = (struct waiting){
		.fd = event->fd,
		.pid = event->pid,
		.exec = event->mask & FAN_OPEN_EXEC_PERM,
		.since_ms = now_ms(),
	};
	pthread_mutex_lock(&gate->lock);
	*gate->last = w;
	gate->last = &w->next;
	pthread_mutex_unlock(&gate->lock);
	/* it is in the list now, whatever becomes of this: nobody else may answer for it */
	if (write(gate->wake_fd, &one, sizeof(one)) < 0)
		errno = 0;
	return 0;
}

static void answer_one(struct gate *gate, const struct fanotify_event_metadata *event)
{
	enum look look;

	if (event->fd < 0)
		return;
	if (is_own(event->pid)) {
		let_through(gate, event->fd);
		return;
	}
	look = look_at(event->fd);
	/* a program or library that is only read must not be probed: who maps it would read the
	 * breakpoints. It is asked for again each time, until someone wants to run it */
	if (look == LOOK_CODE &&
	    (event->mask & FAN_OPEN_EXEC_PERM || process_is_in_linker(event->pid)) &&
	    !keep_waiting(gate, event))
		return;
	if (look == LOOK_DATA)
		ignore(gate, event->fd);
	let_through(gate, event->fd);
}

static struct waiting *next_waiting(struct gate *gate, uint64_t since_ms)
{
	struct waiting *w;

	pthread_mutex_lock(&gate->lock);
	w = gate->first;
	if (w && w->since_ms > since_ms)
		w = NULL;
	if (w) {
		gate->first = w->next;
		if (!gate->first)
			gate->last = &gate->first;
	}
	pthread_mutex_unlock(&gate->lock);
	return w;
}

static void give_up_on_session(struct gate *gate)
{
	struct waiting *w;

	while ((w = next_waiting(gate, now_ms() - PATIENCE_MS))) {
		__atomic_add_fetch(&gate->unseen, 1, __ATOMIC_RELAXED);
		let_through(gate, w->fd);
		free(w);
	}
}

/* Opens nothing that the tree serves, and waits for nobody but the kernel. */
static void *gate_thread(void *arg)
{
	struct gate *gate = arg;
	struct pollfd fds[] = {
		{ .fd = gate->fd, .events = POLLIN },
		{ .fd = gate->stop_fd, .events = POLLIN },
	};
	char buf[8192] __attribute__((aligned(8)));
	const struct fanotify_event_metadata *event;
	ssize_t len;

	for (;;) {
		if (poll(fds, 2, gate->first ? PATIENCE_MS / 4 : -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		give_up_on_session(gate);
		len = read(gate->fd, buf, sizeof(buf));
		event = (const void *)buf;
		for (; len > 0 && FAN_EVENT_OK(event, len); event = FAN_EVENT_NEXT(event, len))
			answer_one(gate, event);
	}
	return NULL;
}

/* ---- the session's side -------------------------------------------------------------------------- */

static int start_thread(struct gate *gate)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&gate->thread, NULL, gate_thread, gate);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	gate->has_thread = !err;
	return -err;
}

int gate_open(int ns_fd, struct gate **out)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int err;

	if (!gate)
		return -ENOMEM;
	gate->last = &gate->first;
	pthread_mutex_init(&gate->lock, NULL);
	gate->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gate->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gate->fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
					 FAN_UNLIMITED_MARKS | FAN_REPORT_TID,
				 O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NONBLOCK);
	err = gate->fd < 0 || gate->wake_fd < 0 || gate->stop_fd < 0 ? -errno : start_thread(gate);
	if (!err)
		err = mark_namespace(gate->fd, ns_fd);
	if (err) {
		gate_close(gate);
		return err;
	}
	*out = gate;
	return 0;
}

int gate_fd(const struct gate *gate)
{
	return gate->wake_fd;
}

static bool visit(const struct waiting *w, gate_fn see, void *ctx)
{
	struct gate_visit v = { .pid = w->pid, .fd = w->fd, .exec = w->exec };
	char link[64], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", w->fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = 0;
	v.path = path;
	return see(ctx, &v);
}

void gate_serve(struct gate *gate, gate_fn see, void *ctx)
{
	struct waiting *w;
	uint64_t cnt;

	if (read(gate->wake_fd, &cnt, sizeof(cnt)) < 0)
		errno = 0; /* nobody: the list says so too */
	while ((w = next_waiting(gate, UINT64_MAX))) {
		if (!see || visit(w, see, ctx))
			ignore(gate, w->fd);
		let_through(gate, w->fd);
		free(w);
	}
}

uint64_t gate_unseen(const struct gate *gate)
{
	return __atomic_load_n(&gate->unseen, __ATOMIC_RELAXED);
}

void gate_close(struct gate *gate)
{
	uint64_t one = 1;

	if (!gate)
		return;
	if (gate->has_thread && write(gate->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(gate->thread, NULL);
	gate_serve(gate, NULL, NULL);
	close(gate->fd);
	close(gate->wake_fd);
	close(gate->stop_fd);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}
