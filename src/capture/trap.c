// SPDX-License-Identifier: MIT
#include "capture/trap.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/median.h"
#include "base/message.h"
#include "capture/probes.h"
#include "capture/process.h"

#define BATCHES 15 /* whoever else runs on this CPU disturbs some of them, not most */
#define BATCH_CALLS 100
#define STEPPED_CALLS 10 /* these are dear */

/* Each as the functions are that they stand for: what the probe sits on is what matters. */
void memtrace_trap_entry(void);
void memtrace_trap_returns(void);
void memtrace_trap_stepped(void);
void memtrace_trap_site(void);

#if defined(__x86_64__)
#define EMULATED "push %rbp\n\tpop %rbp\n\t"
#define STEPPED "test %rdi, %rdi\n\t"
#define SITE "nop\n\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"
#else
#define EMULATED "nop\n\t"
#define STEPPED "add x0, x0, #0\n\t"
#define SITE "nop\n\t"
#endif

/* Aligned, so that no site is across two cache lines. */
#define FUNCTION(name, code)                                                                \
	__asm__(".pushsection .text\n\t.balign 16\n\t.globl " #name "\n\t.hidden " #name    \
		"\n\t.type " #name ", @function\n" #name ":\n\t" code "ret\n\t.size " #name \
		", . - " #name "\n\t.popsection")

FUNCTION(memtrace_trap_entry, EMULATED);
FUNCTION(memtrace_trap_returns, EMULATED);
FUNCTION(memtrace_trap_stepped, STEPPED);
FUNCTION(memtrace_trap_site, SITE);

struct trap_meter {
	pthread_t thread;
	bool joined; /* then these two are valid: */
	int err;
	struct trap_costs costs;
	struct probe_kind kind;
	bool nop5; /* sites are probed behind their first byte */
	int program;
	struct probe_set *probes;
	struct detaching *detaching;
};

/* ---- probes on ourselves -------------------------------------------------------------------- */

static int load_program(const struct probe_kind *kind)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	int fd;

	if (kind->multi)
		opts.expected_attach_type = PROBE_ATTACH_MULTI;
	fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "mt_trap", "Dual MIT/GPL", nothing,
			   sizeof(nothing) / sizeof(nothing[0]), &opts);
	return fd < 0 ? -errno : fd;
}

struct own_text {
	uint64_t address, start, pgoff;
	int fd; /* of the file that is mapped there */
};

static void see_map(void *ctx, const struct process_map *map)
{
	struct own_text *text = ctx;

	if (text->fd >= 0 || text->address < map->start || text->address >= map->end)
		return;
	text->fd = process_open_map(getpid(), map);
	text->start = map->start;
	text->pgoff = map->pgoff;
}

static uint64_t offset_of(const struct own_text *text, void (*function)(void))
{
	return (uintptr_t)function - text->start + text->pgoff;
}

static int hang_probes(struct trap_meter *m)
{
	struct own_text text = { .address = (uintptr_t)memtrace_trap_entry, .fd = -1 };
	struct probe_hook hooks[5] = {};
	char path[32];
	int err;

	err = process_each_map(getpid(), see_map, &text);
	if (err || text.fd < 0)
		return err ? err : -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", text.fd);
	hooks[0].offset = hooks[1].offset = offset_of(&text, memtrace_trap_returns);
	hooks[0].returns = true;
	hooks[2].offset = offset_of(&text, memtrace_trap_entry);
	hooks[3].offset = offset_of(&text, memtrace_trap_stepped);
	hooks[4].offset = offset_of(&text, memtrace_trap_site) + m->nop5;
	for (int i = 0; i < 5; i++)
		hooks[i].prog_fd = m->program;
	err = probe_set_attach(&m->kind, path, getpid(), hooks, 5, &m->probes);
	close(text.fd);
	return err;
}

/* ---- timing --------------------------------------------------------------------------------- */

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

/*
 * What a trap throws out of caches and predictors costs time behind it, where the program goes on:
 * little where that is a small loop, 0.1 to 0.2 us in sqlite3, python3 and gcc. So between traps
 * there is something to throw out: code of some size, with many branches, that allocates nothing.
 */
static void do_some_work(int i)
{
	char text[64];
	double half;
	int whole;

	snprintf(text, sizeof(text), "%.9g %d %s", i * 0.5, i, "some");
	sscanf(text, "%lf %d", &half, &whole);
}

static double time_batch(void (*function)(void), int calls, bool with_work)
{
	double start = now_ns();

	for (int i = 0; i < calls; i++) {
		if (with_work)
			do_some_work(i);
		if (function)
			function();
	}
	return (now_ns() - start) / calls;
}

static double time_calls(void (*function)(void), int calls, bool with_work)
{
	double ns[BATCHES];

	time_batch(function, calls, with_work); /* the kernel makes a site a call when it is hit */
	for (int i = 0; i < BATCHES; i++)
		ns[i] = time_batch(function, calls, with_work);
	return median(ns, BATCHES);
}

/* What a call with a trap takes longer. */
static double time_trap(void (*function)(void), int calls)
{
	return time_calls(function, calls, true) - time_calls(NULL, calls, true);
}

static int run_time(int program, uint64_t *ns)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &size))
		return -errno;
	*ns = info.run_time_ns;
	return 0;
}

/* What it costs that the kernel keeps run times, and what it would say of a program that takes
 * none. */
static int time_watching(struct trap_meter *m)
{
	double ns[BATCHES], inside[BATCHES];
	uint64_t before = 0, after = 0;
	double unwatched = time_calls(memtrace_trap_entry, BATCH_CALLS, false);
	int err = 0, stats = bpf_enable_stats(BPF_STATS_RUN_TIME);

	if (stats < 0)
		return -errno;
	time_batch(memtrace_trap_entry, BATCH_CALLS, false);
	for (int i = 0; i < BATCHES && !err; i++) {
		err = run_time(m->program, &before);
		ns[i] = time_batch(memtrace_trap_entry, BATCH_CALLS, false);
		err = err ? err : run_time(m->program, &after);
		inside[i] = (double)(after - before) / BATCH_CALLS;
	}
	close(stats);
	if (err)
		return err;
	m->costs.watched = median(ns, BATCHES) - unwatched;
	m->costs.watched_inside = median(inside, BATCHES);
	return 0;
}

static int measure(struct trap_meter *m)
{
	struct trap_costs *c = &m->costs;
	int err;

	m->program = load_program(&m->kind);
	if (m->program < 0)
		return m->program;
	err = hang_probes(m);
	if (err)
		return err;
	c->entry = time_trap(memtrace_trap_entry, BATCH_CALLS);
	c->returns = time_trap(memtrace_trap_returns, BATCH_CALLS) - c->entry;
	c->site = time_trap(memtrace_trap_site, BATCH_CALLS);
	c->stepped = time_trap(memtrace_trap_stepped, STEPPED_CALLS);
	return time_watching(m);
}

static void *meter_thread(void *arg)
{
	struct trap_meter *m = arg;

	m->err = measure(m);
	m->detaching = probe_set_detach_later(m->probes);
	if (m->program >= 0)
		close(m->program);
	return NULL;
}

struct trap_meter *trap_meter_new(void)
{
	struct trap_meter *m = calloc(1, sizeof(*m));
	struct message why;

	if (!m)
		return NULL;
	m->program = -1;
	if (!probe_kind_init(&m->kind, true, &why)) {
		m->nop5 = m->kind.multi && probes_nop5_is_fast();
		if (!pthread_create(&m->thread, NULL, meter_thread, m))
			return m;
	}
	free(m);
	return NULL;
}

static void join(struct trap_meter *m)
{
	if (!m->joined)
		pthread_join(m->thread, NULL);
	m->joined = true;
}

int trap_meter_costs(struct trap_meter *m, struct trap_costs *costs)
{
	join(m);
	if (!m->err)
		*costs = m->costs;
	return m->err;
}

void trap_meter_free(struct trap_meter *m)
{
	if (!m)
		return;
	join(m);
	probe_set_detached(m->detaching);
	free(m);
}
