// SPDX-License-Identifier: MIT
/*
 * sampling.c - are 95 % intervals of sampled sessions what they say? By the whole way: a command,
 * the library in it, the probes, the report.
 *
 *	sampling BUILD_DIR		all, as a table; status 1 if any is not
 *	sampling children		the command: 200 forked children, a sample of each
 *
 * Every child does the same, so the truth is one and known, and the samples differ: the library
 * mixes the number of the fork into the seed, which is fixed. Of 200 intervals of 95 % one expects
 * 190, and 182 to 198 in 99 % of all seeds. Width is against 2 * 1.96 standard deviations of all
 * samples there can be, which is known from the truth; bias is that of the mean of 200 estimates.
 *
 * Half of the blocks are smaller than 256 bytes. A sample by bytes has few of them when its points
 * are far apart, and knows little of how many there are: those intervals are shown and not judged.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memtrace/memtrace.h"

#define RUNS 200
#define HELD_MIN 182
#define HELD_MAX 198
#define WIDTH_MAX 1.15

/* ---- what a child does ----------------------------------------------------------------------- */

#define CALLS 20000
#define SLOTS 4096
#define KINDS 8 /* of blocks, each from a call path of its own: 16 to 31 bytes ... 2048 to 4095 */

struct step {
	unsigned int slot, kind; /* kind KINDS: free only */
	size_t size;
};

static struct step next_step(uint32_t *seed)
{
	struct step step;

	*seed = *seed * 1664525u + 1013904223u;
	step.slot = (*seed >> 8) % SLOTS;
	*seed = *seed * 1664525u + 1013904223u;
	step.kind = (*seed >> 8) % (KINDS + 1);
	*seed = *seed * 1664525u + 1013904223u;
	step.size = (16u << step.kind) + (*seed >> 8) % (16u << step.kind);
	return step;
}

/* The compiler may not know that a block is not used. */
#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

#define KIND(n)                                                      \
	static __attribute__((noinline)) void *kind_##n(size_t size) \
	{                                                            \
		void *block = malloc(size);                          \
                                                                     \
		HIDE(block);                                         \
		return block;                                        \
	}
/* clang-format off */
KIND(0) KIND(1) KIND(2) KIND(3) KIND(4) KIND(5) KIND(6) KIND(7)
/* clang-format on */

static void work(void)
{
	static void *(*const kinds[KINDS])(size_t) = { kind_0, kind_1, kind_2, kind_3,
						       kind_4, kind_5, kind_6, kind_7 };
	static void *slots[SLOTS];
	uint32_t seed = 1;

	for (int i = 0; i < CALLS; i++) {
		struct step step = next_step(&seed);

		free(slots[step.slot]);
		slots[step.slot] = step.kind < KINDS ? kinds[step.kind](step.size) : NULL;
	}
}

static int children(void)
{
	for (int i = 0; i < RUNS; i++) {
		pid_t pid = fork();

		if (!pid) {
			work();
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

/* ---- the truth, and what samples of it vary by ----------------------------------------------- */

enum figure {
	ALLOC_BYTES,
	ALLOC_BLOCKS,
	LIVE_BYTES,
	LIVE_BLOCKS,
	FREED_BYTES,
	FREED_BLOCKS,
	FIGURES
};

static const char *const names[FIGURES] = { "total bytes", "total blocks", "live bytes",
					    "live blocks", "freed bytes",  "freed blocks" };

struct truth {
	double sum[FIGURES], variance[FIGURES];
};

static double chance(const struct memtrace_options *how, size_t size)
{
	return how->sampling == MEMTRACE_SAMPLING_RATE ? how->sampling_rate
						       : -expm1(-(double)size / how->sample_bytes);
}

static void count(struct truth *t, const struct memtrace_options *how, size_t size,
		  enum figure bytes)
{
	double excess = 1 / chance(how, size) - 1;

	t->sum[bytes] += size;
	t->variance[bytes] += excess * size * size;
	t->sum[bytes + 1] += 1;
	t->variance[bytes + 1] += excess;
}

static void find_truth(const struct memtrace_options *how, struct truth *t)
{
	static size_t slots[SLOTS];
	uint32_t seed = 1;

	memset(t, 0, sizeof(*t));
	memset(slots, 0, sizeof(slots));
	for (int i = 0; i < CALLS; i++) {
		struct step step = next_step(&seed);

		if (slots[step.slot])
			count(t, how, slots[step.slot], FREED_BYTES);
		slots[step.slot] = step.kind < KINDS ? step.size : 0;
		if (step.kind < KINDS)
			count(t, how, step.size, ALLOC_BYTES);
	}
	for (int i = 0; i < SLOTS; i++)
		if (slots[i])
			count(t, how, slots[i], LIVE_BYTES);
}

/* ---- a session ------------------------------------------------------------------------------- */

struct sample {
	const char *title;
	bool judge_blocks;
	struct memtrace_options how;
};

static struct memtrace_snapshot *trace(const struct memtrace_options *how)
{
	char program[] = "/proc/self/exe", role[] = "children", *argv[] = { program, role, NULL };
	struct memtrace_command command = { .sz = sizeof(command), .argv = argv };
	struct memtrace_snapshot *snapshot = NULL;
	struct memtrace *session;
	pid_t pid;

	if (!memtrace_open(how, &session) && !memtrace_launch(session, &command, &pid) &&
	    !memtrace_start(session)) {
		while (memtrace_poll(session, 100) > 0)
			;
		memtrace_snapshot_take(session, &snapshot);
	}
	if (!snapshot)
		fprintf(stderr, "sampling: %s\n", memtrace_error(session));
	memtrace_close(session);
	return snapshot;
}

struct result {
	unsigned int runs, held[FIGURES];
	double sum[FIGURES], width[FIGURES];
};

static void hold(struct result *r, const struct truth *t, enum figure figure, uint64_t value,
		 const struct memtrace_estimate *e)
{
	r->held[figure] += (double)e->low <= t->sum[figure] && t->sum[figure] <= (double)e->high;
	r->sum[figure] += value;
	r->width[figure] += (double)(e->high - e->low);
}

static struct result compare(const struct memtrace_snapshot *s, const struct truth *t)
{
	pid_t parent = s->processes[0].pid;
	struct result r = { 0 };

	for (size_t i = 0; i < s->process_cnt; i++) {
		const struct memtrace_process *p = &s->processes[i];

		if (p->pid == parent || !p->estimates)
			continue;
		r.runs++;
		hold(&r, t, ALLOC_BYTES, p->alloc_bytes, &p->estimates->alloc_bytes);
		hold(&r, t, ALLOC_BLOCKS, p->allocs, &p->estimates->alloc_blocks);
		hold(&r, t, LIVE_BYTES, p->live_bytes, &p->estimates->live_bytes);
		hold(&r, t, LIVE_BLOCKS, p->live_blocks, &p->estimates->live_blocks);
		hold(&r, t, FREED_BYTES, p->freed_bytes, &p->estimates->freed_bytes);
		hold(&r, t, FREED_BLOCKS, p->frees, &p->estimates->freed_blocks);
	}
	return r;
}

/* Counts of blocks are behind those of bytes. */
static bool is_judged(const struct sample *sample, int figure)
{
	return sample->judge_blocks || !(figure & 1);
}

static bool check(const struct sample *sample, const char *library)
{
	struct memtrace_options how = sample->how;
	struct memtrace_snapshot *s;
	struct result r;
	struct truth t;
	bool ok;

	how.sz = sizeof(how);
	how.preload_library = library;
	s = trace(&how);
	if (!s)
		return false;
	find_truth(&how, &t);
	r = compare(s, &t);
	ok = r.runs == RUNS;
	for (int i = 0; i < FIGURES; i++) {
		double width = r.width[i] / r.runs / (2 * 1.96 * sqrt(t.variance[i]));
		bool good = r.held[i] >= HELD_MIN && r.held[i] <= HELD_MAX && width <= WIDTH_MAX;

		printf("%-16s %-13s %12.0f %8.2f %% %6u of %u %8.3f %9.2f %%%s\n",
		       i ? "" : sample->title, names[i], t.sum[i],
		       196 * sqrt(t.variance[i]) / t.sum[i], r.held[i], r.runs, width,
		       100 * (r.sum[i] / r.runs / t.sum[i] - 1),
		       !is_judged(sample, i) ? "  not judged"
		       : good		     ? ""
					     : "  NOT AS STATED");
		ok &= good || !is_judged(sample, i);
	}
	memtrace_snapshot_free(s);
	return ok;
}

int main(int argc, char **argv)
{
	static const struct sample samples[] = {
		{ "by bytes, 4 KiB",
		  true,
		  { .sampling = MEMTRACE_SAMPLING_BYTES, .sample_bytes = 4096, .sample_seed = 1 } },
		{ "by bytes, 64 KiB",
		  false,
		  { .sampling = MEMTRACE_SAMPLING_BYTES,
		    .sample_bytes = 65536,
		    .sample_seed = 2 } },
		{ "by calls, 10 %",
		  true,
		  { .sampling = MEMTRACE_SAMPLING_RATE, .sampling_rate = 0.1, .sample_seed = 3 } },
		{ "by calls, 50 %",
		  true,
		  { .sampling = MEMTRACE_SAMPLING_RATE, .sampling_rate = 0.5, .sample_seed = 4 } },
	};
	char library[4096];
	bool ok = true;

	if (argc < 2) {
		fprintf(stderr, "usage: sampling BUILD_DIR\n");
		return 2;
	}
	if (!strcmp(argv[1], "children"))
		return children();
	snprintf(library, sizeof(library), "%s/libmemtrace-preload.so", argv[1]);
	printf("%-16s %-13s %12s %10s %13s %8s %11s\n", "sample", "figure", "truth", "95 %: +-",
	       "held", "width", "bias");
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		ok &= check(&samples[i], library);
	return !ok;
}
