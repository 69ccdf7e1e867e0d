// SPDX-License-Identifier: MIT
#include "capture/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/message.h"

/* Not in the headers of kernels the build must work with. Values are kernel ABI. */
#define CLOSERS_MAX 31
#define UPROBE_MULTI_RETURN 1
#define LINK_CREATE_CMD 28
#define UPROBE_SYSCALL 336

/* The head of union bpf_attr for BPF_LINK_CREATE of a multi-uprobe link (Linux 6.6). */
struct multi_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t cnt;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t pad;
};

struct probe_set {
	int *fds; /* links, and for perf uprobes their events */
	size_t cnt;
};

static bool kernel_version(unsigned int *major, unsigned int *minor, unsigned int *patch)
{
	struct utsname name;

	*patch = 0;
	return !uname(&name) && sscanf(name.release, "%u.%u.%u", major, minor, patch) >= 2;
}

bool probes_seccomp_is_deadly(void)
{
	unsigned int major, minor, patch;

	if (!kernel_version(&major, &minor, &patch) || major != 6)
		return false;
	return minor == 11 || (minor == 12 && patch < 16) || (minor == 13 && patch < 4);
}

bool probes_nop5_is_fast(void)
{
#if defined(__x86_64__)
	/* the call that a five-byte nop becomes is there, and refuses whoever calls it otherwise */
	return syscall(UPROBE_SYSCALL) < 0 && errno == ENXIO;
#else
	return false;
#endif
}

/* The pid filter of multi-uprobe links passed only one thread before 6.10. */
static bool kernel_has_multi(bool by_pid)
{
	unsigned int major, minor, patch;

	if (getenv("MEMTRACE_NO_MULTI") || !kernel_version(&major, &minor, &patch))
		return false;
	return major > 6 || (major == 6 && minor >= (by_pid ? 10 : 6));
}

static int read_number(const char *path, const char *format, int *out)
{
	FILE *f = fopen(path, "re");
	int got;

	if (!f)
		return -errno;
	got = fscanf(f, format, out);
	fclose(f);
	return got == 1 ? 0 : -EINVAL;
}

static int read_pair(const char *path, const char *format, int *first, int *second)
{
	FILE *f = fopen(path, "re");
	int got;

	if (!f)
		return -errno;
	got = fscanf(f, format, first, second);
	fclose(f);
	return got == 2 ? 0 : -EINVAL;
}

static int find_perf_type(struct probe_kind *p, struct message *why)
{
	const char *dir = "/sys/bus/event_source/devices/uprobe";
	char path[128];
	int last;

	snprintf(path, sizeof(path), "%s/type", dir);
	if (read_number(path, "%d", &p->perf_type))
		return message_set(why, -ENOTSUP,
				   "this kernel has no uprobes: %s is missing (use a kernel with "
				   "CONFIG_UPROBE_EVENTS, and mount /sys)", path);
	snprintf(path, sizeof(path), "%s/format/retprobe", dir);
	if (read_number(path, "config:%d", &p->return_bit))
		p->return_bit = 0;
	snprintf(path, sizeof(path), "%s/format/ref_ctr_offset", dir);
	if (read_pair(path, "config:%d-%d", &p->semaphore_bit, &last))
		p->semaphore_bit = 32;
	return 0;
}

int probe_kind_init(struct probe_kind *kind, bool by_pid, struct message *why)
{
	*kind = (struct probe_kind){ .perf_type = -1 };
	kind->multi = kernel_has_multi(by_pid);
	return kind->multi ? 0 : find_perf_type(kind, why);
}

static int set_add(struct probe_set *set, int fd)
{
	int *grown;

	if (fd < 0)
		return fd;
	grown = realloc(set->fds, (set->cnt + 1) * sizeof(*grown));
	if (!grown) {
		close(fd);
		return -ENOMEM;
	}
	set->fds = grown;
	set->fds[set->cnt++] = fd;
	return 0;
}

/* ---- multi-uprobe links: one for neighbours of one program ------------------------------------------ */

static bool same_link(const struct probe_hook *a, const struct probe_hook *b)
{
	return a->prog_fd == b->prog_fd && a->returns == b->returns;
}

static int attach_multi_one(const char *path, pid_t pid, const struct probe_hook *hooks, size_t cnt,
			    struct probe_set *set)
{
	uint64_t *words = calloc(cnt, 3 * sizeof(*words)), *offsets = words, *cookies = words + cnt;
	uint64_t *semaphores = cookies + cnt;
	struct multi_attr attr = {
		.prog_fd = hooks->prog_fd,
		.attach_type = PROBE_ATTACH_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.cookies = (uintptr_t)cookies,
		.cnt = cnt,
		.multi_flags = hooks->returns ? UPROBE_MULTI_RETURN : 0,
		.pid = pid,
	};
	int fd;

	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		offsets[i] = hooks[i].offset;
		cookies[i] = hooks[i].cookie;
		semaphores[i] = hooks[i].semaphore;
		if (semaphores[i])
			attr.ref_ctr_offsets = (uintptr_t)semaphores;
	}
	fd = syscall(SYS_bpf, LINK_CREATE_CMD, &attr, sizeof(attr));
	fd = fd < 0 ? -errno : fd;
	free(words);
	return set_add(set, fd);
}

static int attach_multi(const char *path, pid_t pid, const struct probe_hook *hooks, size_t cnt,
			struct probe_set *set)
{
	size_t n;
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i += n) {
		for (n = 1; i + n < cnt && same_link(&hooks[i], &hooks[i + n]); n++)
			;
		err = attach_multi_one(path, pid, &hooks[i], n, set);
	}
	return err;
}

/* ---- perf uprobes: an event and a link for each ------------------------------------------------------- */

static int attach_perf_one(const struct probe_kind *p, const char *path, pid_t pid,
			   const struct probe_hook *hook, struct probe_set *set)
{
	struct perf_event_attr attr = {
		.type = p->perf_type,
		.size = sizeof(attr),
		.config = (hook->returns ? 1ULL << p->return_bit : 0) |
			  hook->semaphore << p->semaphore_bit,
		.uprobe_path = (uintptr_t)path,
		.probe_offset = hook->offset,
	};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = hook->cookie);
	int event, link, err;

	event = syscall(SYS_perf_event_open, &attr, pid ? pid : -1, pid ? -1 : 0, -1,
			PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(hook->prog_fd, event, BPF_PERF_EVENT, &opts);
	if (link < 0) {
		err = -errno;
		close(event);
		return err;
	}
	err = set_add(set, link);
	if (!err)
		return set_add(set, event);
	close(event);
	return err;
}

int probe_set_attach(const struct probe_kind *p, const char *path, pid_t pid,
		     const struct probe_hook *hooks, size_t cnt, struct probe_set **out)
{
	struct probe_set *set = calloc(1, sizeof(*set));
	int err = set ? 0 : -ENOMEM;

	if (!err && p->multi)
		err = attach_multi(path, pid, hooks, cnt, set);
	for (size_t i = 0; i < cnt && !err && !p->multi; i++)
		err = attach_perf_one(p, path, pid, &hooks[i], set);
	if (err) {
		probe_set_detach(set);
		return err;
	}
	*out = set;
	return 0;
}

struct closing {
	const struct probe_set *set;
	size_t next; /* shared by the threads */
};

static void *close_some(void *arg)
{
	struct closing *c = arg;
	size_t i;

	while ((i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED)) < c->set->cnt)
		close(c->set->fds[i]);
	return NULL;
}

/* The kernel waits for grace periods at each close; closing side by side shares them. */
void probe_set_detach(struct probe_set *set)
{
	pthread_t threads[CLOSERS_MAX];
	struct closing c = { .set = set };
	size_t n = 0;

	if (!set)
		return;
	while (n < CLOSERS_MAX && n + 1 < set->cnt &&
	       !pthread_create(&threads[n], NULL, close_some, &c))
		n++;
	close_some(&c);
	while (n)
		pthread_join(threads[--n], NULL);
	free(set->fds);
	free(set);
}

struct detaching {
	pthread_t thread;
	struct probe_set *set;
};

static void *detach_thread(void *arg)
{
	probe_set_detach(((struct detaching *)arg)->set);
	return NULL;
}

struct detaching *probe_set_detach_later(struct probe_set *set)
{
	struct detaching *d = calloc(1, sizeof(*d));

	if (d) {
		d->set = set;
		if (!pthread_create(&d->thread, NULL, detach_thread, d))
			return d;
	}
	free(d);
	probe_set_detach(set);
	return NULL;
}

void probe_set_detached(struct detaching *d)
{
	if (!d)
		return;
	pthread_join(d->thread, NULL);
	free(d);
}
