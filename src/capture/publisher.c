// SPDX-License-Identifier: MIT
#include "capture/publisher.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

/* One call, and the thread that makes it. */
struct publication {
	struct publication *before;
	struct segment_kind kind;
	uint32_t first, cnt;
	int *fds; /* owned by the thread */
	pthread_t thread;
	int err;   /* once it is over */
	bool over; /* the call has returned */
	bool seen; /* probes see the last segment, and so all */
};

/* return lookup(outer, &(u32){ context[0] }) != NULL; */
static int load_look(int outer_fd)
{
	const struct bpf_insn insns[] = {
		{ BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_1, 0, 0 },
		{ BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_1, -4, 0 },
		{ BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, outer_fd },
		{ 0 }, /* its second half */
		{ BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0 },
		{ BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem },
		{ BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 1, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "mt_look", "Dual MIT/GPL", insns,
			     sizeof(insns) / sizeof(insns[0]), NULL);
}

static bool look(int look_fd, uint32_t segment)
{
	uint64_t context = segment;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &context, .ctx_size_in = sizeof(context));

	return !bpf_prog_test_run_opts(look_fd, &opts) && opts.retval;
}

void publisher_init(struct publisher *publisher, const struct segment_kind *kind)
{
	int look_fd = load_look(kind->outer_fd);

	*publisher = (struct publisher){ .kind = *kind, .look_fd = look_fd < 0 ? -1 : look_fd };
}

static void join(struct publication *p)
{
	pthread_join(p->thread, NULL);
	free(p);
}

void publisher_fini(struct publisher *publisher)
{
	struct publication *p, *before;

	for (p = publisher->calls; p; p = before) {
		before = p->before;
		join(p);
	}
	if (publisher->look_fd >= 0)
		close(publisher->look_fd);
	*publisher = (struct publisher){ .look_fd = -1 };
}

static bool is_over(const struct publication *p)
{
	return __atomic_load_n(&p->over, __ATOMIC_ACQUIRE);
}

static void *make_call(void *arg)
{
	struct publication *p = arg;

	p->err = segments_publish(&p->kind, p->first, p->fds, p->cnt);
	for (uint32_t i = 0; i < p->cnt; i++)
		close(p->fds[i]);
	free(p->fds);
	__atomic_store_n(&p->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Ends the threads of calls that have returned, and that nobody will wait for. */
static void reap(struct publisher *publisher)
{
	struct publication **at = &publisher->calls, *p;

	while ((p = *at)) {
		if (!p->seen || !is_over(p)) {
			at = &p->before;
			continue;
		}
		*at = p->before;
		join(p);
	}
}

int publisher_start(struct publisher *publisher, uint32_t first, int *fds, uint32_t cnt)
{
	struct publication *p = malloc(sizeof(*p));
	sigset_t all, before;
	int err = -ENOMEM;

	reap(publisher);
	if (p) {
		*p = (struct publication){
			.before = publisher->calls,
			.kind = publisher->kind,
			.first = first,
			.cnt = cnt,
			.fds = fds,
		};
		sigfillset(&all); /* signals are the caller's business */
		pthread_sigmask(SIG_SETMASK, &all, &before);
		err = -pthread_create(&p->thread, NULL, make_call, p);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (!err) {
		publisher->calls = p;
		return 0;
	}
	free(p);
	for (uint32_t i = 0; i < cnt; i++)
		close(fds[i]);
	free(fds);
	return err;
}

int publisher_wait(struct publisher *publisher)
{
	struct publication *p = publisher->calls;
	int err;

	if (!p || p->seen)
		return 0;
	while (!is_over(p)) {
		if (publisher->look_fd >= 0 && look(publisher->look_fd, p->first + p->cnt - 1)) {
			p->seen = true;
			return 0;
		}
		sched_yield(); /* the thread has not begun, or is about to */
	}
	err = p->err;
	publisher->calls = p->before;
	join(p);
	return err;
}
