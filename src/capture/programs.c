// SPDX-License-Identifier: MIT
#include "capture/programs.h"

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
#include <bpf/libbpf.h>

#include "base/message.h"
#include "memtrace/abi.h"
#include "memtrace.skel.h"

/* Not in the headers of kernels the build must work with. Values are kernel ABI. */
#define CLOSERS_MAX 31
#define UPROBE_MULTI_RETURN 1
#define LINK_CREATE_CMD 28

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

static int multi_link(int prog_fd, const char *path, pid_t pid, const uint64_t *offsets,
		      const uint64_t *cookies, size_t cnt, bool returns)
{
	struct multi_attr attr = {
		.prog_fd = prog_fd,
		.attach_type = PROBE_ATTACH_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.cookies = (uintptr_t)cookies,
		.cnt = cnt,
		.multi_flags = returns ? UPROBE_MULTI_RETURN : 0,
		.pid = pid,
	};
	int fd = syscall(SYS_bpf, LINK_CREATE_CMD, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

static bool kernel_version(unsigned int *major, unsigned int *minor, unsigned int *patch)
{
	struct utsname name;

	*patch = 0;
	return !uname(&name) && sscanf(name.release, "%u.%u.%u", major, minor, patch) >= 2;
}

bool programs_seccomp_is_deadly(void)
{
	unsigned int major, minor, patch;

	if (!kernel_version(&major, &minor, &patch) || major != 6)
		return false;
	return minor == 11 || (minor == 12 && patch < 16) || (minor == 13 && patch < 4);
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

static int find_perf_type(struct probe_kind *p, struct message *why)
{
	const char *dir = "/sys/bus/event_source/devices/uprobe";
	char path[128];

	snprintf(path, sizeof(path), "%s/type", dir);
	if (read_number(path, "%d", &p->perf_type))
		return message_set(why, -ENOTSUP,
				   "this kernel has no uprobes: %s is missing (use a kernel with "
				   "CONFIG_UPROBE_EVENTS, and mount /sys)", path);
	snprintf(path, sizeof(path), "%s/format/retprobe", dir);
	if (read_number(path, "config:%d", &p->return_bit))
		p->return_bit = 0;
	return 0;
}

int probe_kind_init(struct probe_kind *kind, bool by_pid, struct message *why)
{
	*kind = (struct probe_kind){
		.malloc_fd = -1, .free_fd = -1, .enter_fd = -1, .return_fd = -1, .perf_type = -1,
	};
	kind->multi = kernel_has_multi(by_pid);
	return kind->multi ? 0 : find_perf_type(kind, why);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	if (getenv("MEMTRACE_LIBBPF_LOG"))
		return vfprintf(stderr, format, args);
	(void)level;
	return 0;
}

static int why_not_loaded(int err, struct message *why)
{
	if (err == -EPERM || geteuid())
		return message_set(why, -EPERM,
				   "cannot load the probes: Operation not permitted (run with sudo, or "
				   "grant cap_bpf, cap_perfmon, cap_sys_ptrace and cap_sys_admin)");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return message_set(why, -ENOTSUP,
				   "cannot load the probes: this kernel has no BTF, "
				   "/sys/kernel/btf/vmlinux is missing (use a kernel with "
				   "CONFIG_DEBUG_INFO_BTF, 5.15 or newer)");
	return message_set(why, err, "cannot load the probes: %s (kernel 5.15 or newer is needed; "
			   "MEMTRACE_LIBBPF_LOG=1 shows the loader's own words)", strerror(-err));
}

int programs_load(struct programs *p, uint32_t acct_cnt, bool by_pid, struct message *why)
{
	int err;

	memset(p, 0, sizeof(*p));
	err = probe_kind_init(&p->kind, by_pid, why);
	if (err)
		return err;
	libbpf_set_print(quiet);
	p->skel = memtrace_bpf__open();
	if (!p->skel)
		return why_not_loaded(-errno, why);
	if (p->kind.multi) {
		bpf_program__set_expected_attach_type(p->skel->progs.on_malloc, PROBE_ATTACH_MULTI);
		bpf_program__set_expected_attach_type(p->skel->progs.on_free, PROBE_ATTACH_MULTI);
		bpf_program__set_expected_attach_type(p->skel->progs.on_enter, PROBE_ATTACH_MULTI);
		bpf_program__set_expected_attach_type(p->skel->progs.on_return,
						      PROBE_ATTACH_MULTI);
	}
	bpf_map__set_max_entries(p->skel->maps.accts, acct_cnt);
	err = memtrace_bpf__load(p->skel);
	if (err) {
		programs_unload(p);
		return why_not_loaded(err, why);
	}
	p->kind.malloc_fd = bpf_program__fd(p->skel->progs.on_malloc);
	p->kind.free_fd = bpf_program__fd(p->skel->progs.on_free);
	p->kind.enter_fd = bpf_program__fd(p->skel->progs.on_enter);
	p->kind.return_fd = bpf_program__fd(p->skel->progs.on_return);
	return 0;
}

int programs_attach_life(struct programs *p, struct message *why)
{
	int err;

	p->skel->links.on_newtask = bpf_program__attach(p->skel->progs.on_newtask);
	if (!p->skel->links.on_newtask)
		goto fail;
	p->skel->links.on_exec = bpf_program__attach(p->skel->progs.on_exec);
	if (!p->skel->links.on_exec)
		goto fail;
	p->skel->links.on_exit = bpf_program__attach(p->skel->progs.on_exit);
	if (p->skel->links.on_exit)
		return 0;
fail:
	err = -errno;
	return message_set(why, err, "cannot follow process life: %s (the kernel needs BPF trampolines "
			   "or raw tracepoints with BTF)", strerror(-err));
}

int programs_settle(struct programs *p)
{
	struct bpf_link *link = bpf_program__attach_iter(p->skel->progs.settle_tasks, NULL);
	char nothing[64];
	int fd, err = 0;
	ssize_t got;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		err = -errno;
	} else {
		do {
			got = read(fd, nothing, sizeof(nothing));
		} while (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)));
		err = got < 0 ? -errno : 0;
		close(fd);
	}
	bpf_link__destroy(link);
	return err;
}

void programs_unload(struct programs *p)
{
	if (p->skel)
		memtrace_bpf__destroy(p->skel);
	p->skel = NULL;
}

uint64_t programs_missed(const struct programs *p)
{
	struct bpf_program *program;
	uint64_t missed = 0;

	bpf_object__for_each_program(program, p->skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}

void programs_each_verified(const struct programs *p, verified_fn see, void *ctx)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, p->skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			see(ctx, bpf_program__name(program), info.verified_insns);
	}
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

static int enter_program(const struct probe_kind *p, uint32_t call)
{
	return call == MT_CALL_MALLOC ? p->malloc_fd : call == MT_CALL_FREE ? p->free_fd : p->enter_fd;
}

/* One link for all sites of one program. */
static int attach_multi_one(const struct probe_kind *p, int prog_fd, bool returns, const char *path,
			    pid_t pid, const struct probe_site *sites, size_t cnt,
			    struct probe_set *set)
{
	uint64_t *words = calloc(cnt, 2 * sizeof(*words)), *offsets = words, *cookies = words + cnt;
	size_t n = 0;
	int err;

	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		if (returns ? !sites[i].returns : enter_program(p, sites[i].call) != prog_fd)
			continue;
		offsets[n] = sites[i].offset;
		cookies[n++] = sites[i].call;
	}
	err = n ? set_add(set, multi_link(prog_fd, path, pid, offsets, cookies, n, returns)) : 0;
	free(words);
	return err;
}

static int attach_multi(const struct probe_kind *p, const char *path, pid_t pid,
			const struct probe_site *sites, size_t cnt, struct probe_set *set)
{
	const int enters[] = { p->free_fd, p->enter_fd, p->malloc_fd };
	int err;

	/* returns first: an entry whose return is not seen would look like a call that never ended */
	err = attach_multi_one(p, p->return_fd, true, path, pid, sites, cnt, set);
	for (size_t i = 0; i < sizeof(enters) / sizeof(enters[0]) && !err; i++)
		err = attach_multi_one(p, enters[i], false, path, pid, sites, cnt, set);
	return err;
}

static int attach_perf_one(const struct probe_kind *p, const char *path, pid_t pid,
			   const struct probe_site *site, bool returns, struct probe_set *set)
{
	struct perf_event_attr attr = {
		.type = p->perf_type,
		.size = sizeof(attr),
		.config = returns ? 1ULL << p->return_bit : 0,
		.uprobe_path = (uintptr_t)path,
		.probe_offset = site->offset,
	};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = site->call);
	int event, link, err;

	event = syscall(SYS_perf_event_open, &attr, pid ? pid : -1, pid ? -1 : 0, -1,
			PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(returns ? p->return_fd : enter_program(p, site->call), event, BPF_PERF_EVENT, &opts);
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

static int attach_perf(const struct probe_kind *p, const char *path, pid_t pid,
		       const struct probe_site *sites, size_t cnt, struct probe_set *set)
{
	int err = 0;

	for (size_t i = 0; i < cnt && !err; i++)
		if (sites[i].returns)
			err = attach_perf_one(p, path, pid, &sites[i], true, set);
	for (size_t i = 0; i < cnt && !err; i++)
		err = attach_perf_one(p, path, pid, &sites[i], false, set);
	return err;
}

static int place_in_order(const struct probe_site *site)
{
	switch (site->call) {
	case MT_CALL_FREE:
	case MT_CALL_FREE_SIZED:
		return 0;
	case MT_CALL_REALLOC:
	case MT_CALL_REALLOCARRAY:
		return 1;
	case MT_CALL_MALLOC:
		return 3;
	}
	return 2;
}

static int by_order(const void *a, const void *b)
{
	return place_in_order(a) - place_in_order(b);
}

int probe_set_attach(const struct probe_kind *p, const char *path, pid_t pid,
		     const struct probe_site *sites, size_t cnt, struct probe_set **out)
{
	struct probe_site *ordered = calloc(cnt, sizeof(*ordered));
	struct probe_set *set = calloc(1, sizeof(*set));
	int err = -ENOMEM;

	/* The kernel places them one after another while processes run: what takes blocks out comes before
	 * what puts them in, so that no block is counted whose free is missed. */
	if (ordered && set) {
		memcpy(ordered, sites, cnt * sizeof(*ordered));
		qsort(ordered, cnt, sizeof(*ordered), by_order);
		err = p->multi ? attach_multi(p, path, pid, ordered, cnt, set) :
				 attach_perf(p, path, pid, ordered, cnt, set);
	}
	free(ordered);
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
