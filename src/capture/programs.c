// SPDX-License-Identifier: MIT
#include "capture/programs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/message.h"
#include "capture/otel.h"
#include "memtrace/abi.h"
#include "memtrace/preload.h"
#include "memtrace.skel.h"

/* Which of them hang on allocators, on the preload library, on allocators' own sites, on life. */
#define ALLOCATOR_PROGRAMS(X) X(on_malloc) X(on_free) X(on_enter) X(on_return)
#define PRELOAD_PROGRAMS(X) X(preload_put) X(preload_free) X(preload_batch) X(preload_other)
#define BATCH_PROGRAMS(X) X(batch_now)
#define OTEL_PROGRAMS(X) X(otel_alloc) X(otel_free)
#define LIFE_PROGRAMS(X) X(on_newtask) X(on_exec) X(on_exit) X(settle_tasks) X(list_code)

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

typedef void (*info_fn)(void *ctx, const char *name, const struct bpf_prog_info *info);

static void each_info(const struct memtrace_bpf *skel, info_fn see, void *ctx)
{
	struct bpf_program *program;

	if (!skel)
		return;
	bpf_object__for_each_program(program, skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			see(ctx, bpf_program__name(program), &info);
	}
}

static void see_verified(void *ctx, const char *name, const struct bpf_prog_info *info)
{
	const struct programs_want *want = ctx;

	want->verified(want->verified_ctx, name, info->verified_insns);
}

static void tell_verified(struct programs *p, const struct memtrace_bpf *skel)
{
	if (p->want.verified)
		each_info(skel, see_verified, &p->want);
}

/* What an object has, of all that there is. */
struct parts {
	bool allocators, preload, batches, otel, life;
};

static void choose(struct memtrace_bpf *skel, const struct programs *p, struct parts parts)
{
#define CHOOSE(name, wanted, on_code)                                                              \
	bpf_program__set_autoload(skel->progs.name, wanted);                                       \
	if (p->kind.multi && (on_code))                                                              \
		bpf_program__set_expected_attach_type(skel->progs.name, PROBE_ATTACH_MULTI);
#define X(name) CHOOSE(name, parts.allocators, true)
	ALLOCATOR_PROGRAMS(X)
#undef X
#define X(name) CHOOSE(name, parts.preload, true)
	PRELOAD_PROGRAMS(X)
#undef X
#define X(name) CHOOSE(name, parts.batches, false)
	BATCH_PROGRAMS(X)
#undef X
#define X(name) CHOOSE(name, parts.otel, true)
	OTEL_PROGRAMS(X)
#undef X
#define X(name) CHOOSE(name, parts.life, false)
	LIFE_PROGRAMS(X)
#undef X
#undef CHOOSE
	skel->rodata->with_lanes = p->want.preload || p->want.otel;
	skel->rodata->with_batches = p->want.batches;
	skel->rodata->weighted = p->want.weighted;
}

int programs_load(struct programs *p, const struct programs_want *want, struct message *why)
{
	int err;

	memset(p, 0, sizeof(*p));
	p->want = *want;
	err = probe_kind_init(&p->kind, want->by_pid, why);
	if (err)
		return err;
	libbpf_set_print(quiet);
	p->skel = memtrace_bpf__open();
	if (!p->skel)
		return why_not_loaded(-errno, why);
	choose(p->skel, p, (struct parts){
				   .allocators = !want->allocators_later,
				   .preload = want->preload,
				   .batches = want->batches,
				   .life = true,
			   });
	bpf_map__set_max_entries(p->skel->maps.accts, want->acct_cnt);
	bpf_map__set_max_entries(p->skel->maps.keeping, want->batches ? want->acct_cnt : 1);
	if (!want->otel)
		bpf_map__set_max_entries(p->skel->maps.otel_sites, 1);
	err = memtrace_bpf__load(p->skel);
	if (err) {
		programs_unload(p);
		return why_not_loaded(err, why);
	}
	p->on_allocators = want->allocators_later ? NULL : p->skel;
	tell_verified(p, p->skel);
	return 0;
}

/* The maps are those of the first object, what is in them included. */
static int share_maps(struct memtrace_bpf *from, struct memtrace_bpf *to)
{
	struct bpf_map *map, *twin;
	int err = 0;

	bpf_object__for_each_map(map, to->obj) {
		twin = bpf_object__find_map_by_name(from->obj, bpf_map__name(map));
		err = err ?: twin ? bpf_map__reuse_fd(map, bpf_map__fd(twin)) : -ENOENT;
	}
	return err;
}

/* An object with other parts. */
static int load_more(struct programs *p, struct parts parts, struct memtrace_bpf **out)
{
	struct memtrace_bpf *more;
	int err;

	if (*out)
		return 0;
	more = memtrace_bpf__open();
	if (!more)
		return -errno;
	choose(more, p, parts);
	err = share_maps(p->skel, more);
	err = err ?: memtrace_bpf__load(more);
	if (err) {
		memtrace_bpf__destroy(more);
		return err;
	}
	*out = more;
	tell_verified(p, more);
	return 0;
}

int programs_need_allocators(struct programs *p)
{
	return load_more(p, (struct parts){ .allocators = true }, &p->on_allocators);
}

/* When a thread that keeps events is looked at. */
static const char *const moments[BATCH_MOMENTS] = {
	"sched_switch", "signal_deliver", "task_newtask", "sched_process_exit",
};

/* Before others are attached to the same tracepoints: they run in that order. */
static int attach_batches(struct programs *p)
{
	for (size_t i = 0; p->want.batches && i < BATCH_MOMENTS; i++) {
		p->batch_links[i] = bpf_program__attach_raw_tracepoint(p->skel->progs.batch_now,
								       moments[i]);
		if (!p->batch_links[i])
			return -errno;
	}
	return 0;
}

void programs_read_batches(const struct programs *p)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU);
	int cpus = libbpf_num_possible_cpus();

	if (!p->want.batches)
		return;
	/* of a CPU that is off nobody's batch can be read */
	for (opts.cpu = 0; (int)opts.cpu < cpus; opts.cpu++)
		bpf_prog_test_run_opts(bpf_program__fd(p->skel->progs.batch_now), &opts);
}

int programs_attach_life(struct programs *p, struct message *why)
{
	int err = attach_batches(p);

	if (err) {
		errno = -err;
		goto fail;
	}

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

/* Reads an iterator to its end; what it writes goes to see(), whole items. */
static int read_iterator(struct bpf_program *program, struct bpf_iter_attach_opts *opts,
			 size_t item, void (*see)(void *ctx, const void *item), void *ctx)
{
	struct bpf_link *link = bpf_program__attach_iter(program, opts);
	char buf[8192];
	size_t have = 0, at;
	int fd, err = 0;
	ssize_t got;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0)
		err = -errno;
	while (!err) {
		got = read(fd, buf + have, sizeof(buf) - have);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0) {
			err = got < 0 ? -errno : 0;
			break;
		}
		have += got;
		for (at = 0; item && have - at >= item; at += item)
			see(ctx, buf + at);
		have = item ? have - at : 0;
		memmove(buf, buf + at, have);
	}
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return err;
}

int programs_settle(struct programs *p)
{
	return read_iterator(p->skel->progs.settle_tasks, NULL, 0, NULL, NULL);
}

int programs_list_code(struct programs *p, pid_t pid, code_fn see, void *ctx)
{
	union bpf_iter_link_info info = { .task = { .tid = pid } };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));

	p->skel->bss->control.listed_tgid = pid;
	return read_iterator(p->skel->progs.list_code, &opts, sizeof(struct mt_code_mapping), see,
			     ctx);
}

void programs_unload(struct programs *p)
{
	for (size_t i = 0; i < BATCH_MOMENTS; i++)
		bpf_link__destroy(p->batch_links[i]);
	memset(p->batch_links, 0, sizeof(p->batch_links));
	if (p->on_allocators && p->on_allocators != p->skel)
		memtrace_bpf__destroy(p->on_allocators);
	if (p->on_otel)
		memtrace_bpf__destroy(p->on_otel);
	if (p->skel)
		memtrace_bpf__destroy(p->skel);
	p->skel = p->on_allocators = p->on_otel = NULL;
}

/* ---- where programs go ----------------------------------------------------------------------------- */

static int place_in_order(const struct probe_site *site)
{
	switch (site->call) {
	case MT_CALL_FREE:
		return 0;
	case MT_CALL_FREE_SIZED:
		return 1;
	case MT_CALL_REALLOC:
	case MT_CALL_REALLOCARRAY:
		return 2;
	case MT_CALL_MALLOC:
		return 4;
	}
	return 3;
}

static int by_order(const void *a, const void *b)
{
	return place_in_order(a) - place_in_order(b);
}

size_t programs_hooks(const struct allocator_programs *fds, const struct probe_site *sites, size_t cnt,
		      struct probe_hook *hooks)
{
	struct probe_site *ordered = calloc(cnt, sizeof(*ordered));
	size_t n = 0;

	if (!ordered)
		return 0;
	memcpy(ordered, sites, cnt * sizeof(*ordered));
	qsort(ordered, cnt, sizeof(*ordered), by_order);
	for (size_t i = 0; i < cnt; i++)
		if (ordered[i].returns)
			hooks[n++] = (struct probe_hook){ .prog_fd = fds->return_fd,
							  .offset = ordered[i].offset,
							  .cookie = ordered[i].call,
							  .returns = true };
	for (size_t i = 0; i < cnt; i++) {
		uint32_t call = ordered[i].call;

		hooks[n++] = (struct probe_hook){
			.prog_fd = call == MT_CALL_MALLOC ? fds->malloc_fd :
				   call == MT_CALL_FREE	  ? fds->free_fd :
							    fds->enter_fd,
			.offset = ordered[i].offset,
			.cookie = call,
		};
	}
	free(ordered);
	return n;
}

int programs_attach_allocator(struct programs *p, const char *path, pid_t pid,
			      const struct probe_site *sites, size_t cnt, uint32_t extra,
			      struct probe_set **set)
{
	struct probe_hook *hooks = calloc(cnt, 2 * sizeof(*hooks));
	struct allocator_programs fds;
	size_t n;
	int err = hooks ? programs_need_allocators(p) : -ENOMEM;

	if (!err) {
		fds.malloc_fd = bpf_program__fd(p->on_allocators->progs.on_malloc);
		fds.free_fd = bpf_program__fd(p->on_allocators->progs.on_free);
		fds.enter_fd = bpf_program__fd(p->on_allocators->progs.on_enter);
		fds.return_fd = bpf_program__fd(p->on_allocators->progs.on_return);
		n = programs_hooks(&fds, sites, cnt, hooks);
		for (size_t i = 0; i < n; i++)
			hooks[i].cookie |= extra;
		err = n ? probe_set_attach(&p->kind, path, pid, hooks, n, set) : -ENOMEM;
	}
	free(hooks);
	return err;
}

int programs_of_preload(const struct programs *p, const char *site, uint64_t *cookie)
{
	const struct {
		const char *site;
		const struct bpf_program *program;
		uint64_t cookie;
	} rows[] = {
		{ "claim", p->skel->progs.preload_other, MT_CALL_NONE },
		{ "alloc", p->skel->progs.preload_put, MT_CALL_NONE },
		{ "free", p->skel->progs.preload_free, MT_CALL_NONE },
		{ "realloc_begin", p->skel->progs.preload_other, MT_CALL_REALLOC },
		{ "realloc_end", p->skel->progs.preload_put, MT_CALL_REALLOC },
		{ "failed", p->skel->progs.preload_other, MT_CALL_FAILED },
		{ "batch", p->skel->progs.preload_batch, MT_CALL_NONE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].site, site))
			continue;
		*cookie = rows[i].cookie;
		return bpf_program__fd(rows[i].program);
	}
	return -ENOENT;
}

/* The probes learn where the arguments are, once for each file. */
static int give_sites(struct programs *p, struct otel *otel)
{
	int fd = bpf_map__fd(p->skel->maps.otel_sites);

	if (otel->numbered)
		return 0;
	if (p->otel_site_cnt + otel->site_cnt > MT_OTEL_SITES)
		return -ENOSPC;
	for (uint32_t i = 0; i < otel->site_cnt; i++) {
		uint32_t number = p->otel_site_cnt + i;

		if (bpf_map_update_elem(fd, &number, &otel->sites[i].spec, BPF_ANY))
			return -errno;
	}
	otel->numbered = p->otel_site_cnt + 1;
	p->otel_site_cnt += otel->site_cnt;
	return 0;
}

static struct probe_hook hook_of(const struct programs *p, const struct otel *otel, size_t i)
{
	const struct otel_site *site = &otel->sites[i];
	bool fast = otel->has_nop5 && p->kind.multi && probes_nop5_is_fast();

	return (struct probe_hook){
		.prog_fd = bpf_program__fd(site->frees ? p->on_otel->progs.otel_free :
							 p->on_otel->progs.otel_alloc),
		.offset = site->offset + (fast ? MT_PRELOAD_NOP5 : 0),
		.semaphore = site->semaphore,
		.cookie = otel->numbered - 1 + i,
	};
}

int programs_attach_otel(struct programs *p, const char *path, pid_t pid, struct otel *otel,
			 struct probe_set **set)
{
	struct probe_hook *hooks = calloc(otel->site_cnt, sizeof(*hooks));
	int err = hooks ? load_more(p, (struct parts){ .otel = true }, &p->on_otel) : -ENOMEM;
	size_t n = 0;

	err = err ?: give_sites(p, otel);

	/* what takes blocks out comes first */
	for (int frees = 1; frees >= 0 && !err; frees--)
		for (size_t i = 0; i < otel->site_cnt; i++)
			if (otel->sites[i].frees == frees)
				hooks[n++] = hook_of(p, otel, i);
	if (!err)
		err = probe_set_attach(&p->kind, path, pid, hooks, n, set);
	free(hooks);
	return err;
}

/* ---- what the kernel says of them ------------------------------------------------------------ */

static void add_missed(void *ctx, const char *name, const struct bpf_prog_info *info)
{
	(void)name;
	*(uint64_t *)ctx += info->recursion_misses;
}

uint64_t programs_missed(const struct programs *p)
{
	uint64_t missed = 0;

	each_info(p->skel, add_missed, &missed);
	if (p->on_allocators != p->skel)
		each_info(p->on_allocators, add_missed, &missed);
	each_info(p->on_otel, add_missed, &missed);
	return missed;
}

static void add_work(const struct bpf_program *program, enum program_kind kind,
		     struct programs_work *work)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_program__fd(program) < 0 ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return;
	work->runs[kind] += info.run_cnt;
	work->ns += info.run_time_ns;
}

void programs_worked(const struct programs *p, struct programs_work *work)
{
	*work = (struct programs_work){};
	if (p->on_allocators) {
		add_work(p->on_allocators->progs.on_malloc, PROGRAM_MALLOC, work);
		add_work(p->on_allocators->progs.on_free, PROGRAM_FREE, work);
		add_work(p->on_allocators->progs.on_enter, PROGRAM_ENTER, work);
		add_work(p->on_allocators->progs.on_return, PROGRAM_RETURN, work);
	}
#define X(name) add_work(p->skel->progs.name, PROGRAM_SITE, work);
	PRELOAD_PROGRAMS(X)
#undef X
#define X(name) add_work(p->skel->progs.name, PROGRAM_BATCH, work);
	BATCH_PROGRAMS(X)
#undef X
	if (p->on_otel) {
		add_work(p->on_otel->progs.otel_alloc, PROGRAM_OTEL, work);
		add_work(p->on_otel->progs.otel_free, PROGRAM_OTEL, work);
	}
}
