// SPDX-License-Identifier: MIT
/*
 * cost.c - what tracing adds to a malloc+free pair, against the empty-probe floor in the same run.
 *
 *	cost BUILD_DIR [ROUNDS]
 *
 * The floor is pinned: the same sites in the same file, the same kind of link bound to the same
 * process, the same loop, programs that return 0. Variants take turns; medians are compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memtrace/memtrace.h"
#include "parts/floor.h"
#include "parts/spread.h"

#define ROUNDS_MAX 99

enum variant { UNTRACED, FLOOR, KERNEL_WALK, NO_STACKS, FP, DWARF, VARIANTS };

static const char *const variant_names[] = { "untraced", "floor", "floor and bpf_get_stack",
					      "memtrace --stacks none", "memtrace --stacks fp",
					      "memtrace --stacks dwarf" };

static const enum memtrace_stacks variant_stacks[] = {
	[NO_STACKS] = MEMTRACE_STACKS_NONE,
	[FP] = MEMTRACE_STACKS_FP,
	[DWARF] = MEMTRACE_STACKS_DWARF,
};

/* How a target meets its probes: the two ways have links of different kinds. */
enum way { LAUNCHED, ATTACHED };

struct target {
	pid_t pid;
	int in, out;
	struct memtrace *session; /* that launched it, or NULL */
};

static void die(const char *what)
{
	fprintf(stderr, "cost: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct memtrace *session_open(enum memtrace_stacks stacks)
{
	struct memtrace_options options = { .sz = sizeof(options), .stacks = stacks };
	struct memtrace *session;

	if (memtrace_open(&options, &session)) {
		fprintf(stderr, "cost: %s\n", memtrace_error(session));
		exit(1);
	}
	return session;
}

/* Runs argv with stdin and stdout on these fds, under the session or alone. */
static void target_spawn(struct target *t, char *const *argv, int in, int out)
{
	struct memtrace_command command = { .sz = sizeof(command), .argv = argv };
	int stdin_fd, stdout_fd;

	if (!t->session) {
		t->pid = fork();
		if (!t->pid) {
			dup2(in, 0);
			dup2(out, 1);
			execv(argv[0], argv);
			_exit(127);
		}
		return;
	}
	fflush(stdout);
	stdin_fd = fcntl(0, F_DUPFD_CLOEXEC, 10);
	stdout_fd = fcntl(1, F_DUPFD_CLOEXEC, 10);
	dup2(in, 0);
	dup2(out, 1);
	if (memtrace_launch(t->session, &command, &t->pid) || memtrace_start(t->session)) {
		fprintf(stderr, "cost: %s\n", memtrace_error(t->session));
		exit(1);
	}
	dup2(stdin_fd, 0);
	dup2(stdout_fd, 1);
	close(stdin_fd);
	close(stdout_fd);
}

static struct target target_start(const char *build, struct memtrace *session, long pairs, int depth,
				  int threads)
{
	char program[4096], words[3][24], line[16] = "";
	char *argv[] = { program, words[0], words[1], words[2], NULL };
	struct target t = { .session = session };
	int to[2], from[2];

	snprintf(program, sizeof(program), "%s/bench/pairs", build);
	snprintf(words[0], sizeof(words[0]), "%ld", pairs);
	snprintf(words[1], sizeof(words[1]), "%d", depth);
	snprintf(words[2], sizeof(words[2]), "%d", threads);
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe");
	target_spawn(&t, argv, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	t.in = to[1];
	t.out = from[0];
	if (read(t.out, line, sizeof(line) - 1) <= 0 || strcmp(line, "ready\n"))
		die(program);
	return t;
}

static double target_run(struct target *t)
{
	char text[64] = "";

	if (write(t->in, "g", 1) != 1 || read(t->out, text, sizeof(text) - 1) <= 0)
		die("target");
	return atof(text);
}

static void target_end(struct target *t)
{
	close(t->in);
	close(t->out);
	if (!t->session)
		waitpid(t->pid, NULL, 0);
}

static double run_floor(struct floor *floor, struct target *t, enum floor_program program)
{
	double ns;

	errno = -floor_attach(floor, t->pid, program);
	if (errno)
		die("the floor");
	ns = target_run(t);
	floor_detach(floor);
	return ns;
}

/* ---- memtrace ------------------------------------------------------------------------------- */

/* A run that did not count right does not count; making threads allocates a little. */
static void check_counts(const struct memtrace_snapshot *snap, uint64_t pairs, int threads)
{
	uint64_t losses = 0;

	for (size_t i = 0; i < snap->loss_cnt; i++)
		losses += snap->losses[i].value;
	if (!losses && snap->totals.allocs >= pairs * threads &&
	    snap->totals.allocs <= pairs * threads + 2 * threads)
		return;
	fprintf(stderr, "cost: wrong count: %lu allocations, %lu losses\n",
		(unsigned long)snap->totals.allocs, (unsigned long)losses);
	exit(1);
}

static double run_memtrace(const char *build, enum way way, enum memtrace_stacks stacks, long pairs,
			   int depth, int threads)
{
	struct memtrace *session = session_open(stacks);
	struct target t = target_start(build, way == LAUNCHED ? session : NULL, pairs, depth, threads);
	struct memtrace_snapshot *snap;
	double ns;

	if (way == ATTACHED && (memtrace_attach(session, t.pid) || memtrace_start(session))) {
		fprintf(stderr, "cost: %s\n", memtrace_error(session));
		exit(1);
	}
	ns = target_run(&t);
	target_end(&t);
	while (memtrace_poll(session, 100) > 0)
		;
	if (memtrace_detach(session) || memtrace_snapshot_take(session, &snap)) {
		fprintf(stderr, "cost: %s\n", memtrace_error(session));
		exit(1);
	}
	check_counts(snap, pairs, threads);
	memtrace_snapshot_free(snap);
	memtrace_close(session);
	return ns;
}

static double run_variant(enum variant v, const char *build, enum way way, struct floor *floor,
			  long pairs, int depth, int threads)
{
	struct target t;
	double ns;

	if (v >= NO_STACKS)
		return run_memtrace(build, way, variant_stacks[v], pairs, depth, threads);
	t = target_start(build, NULL, pairs, depth, threads);
	if (v == UNTRACED)
		ns = target_run(&t);
	else
		ns = run_floor(floor, &t, v == KERNEL_WALK ? FLOOR_KERNEL_WALK : FLOOR_EMPTY);
	target_end(&t);
	return ns;
}

static void compare(const char *build, enum way way, struct floor *floor, int depth, int threads,
		    int rounds)
{
	static double ns[VARIANTS][ROUNDS_MAX];
	const long pairs = 200000;
	struct spread spreads[VARIANTS];

	for (int round = 0; round < rounds; round++)
		for (int v = 0; v < VARIANTS; v++)
			ns[v][round] = run_variant(v, build, way, floor, pairs, depth, threads);
	printf("\n%s, %d frames, %d thread%s (median of %d interleaved runs of %ld pairs; %s)\n",
	       way == LAUNCHED ? "launched" : "attached", depth, threads, threads > 1 ? "s" : "",
	       rounds, pairs, floor_is_multi(floor) ? "multi-uprobe links" : "perf uprobes");
	for (int v = 0; v < VARIANTS; v++)
		spreads[v] = spread_of(ns[v], rounds);
	for (int v = 0; v < VARIANTS; v++)
		printf("  %-24s %9.1f ns/pair  %6.2fx floor  (quartiles %.1f .. %.1f)\n",
		       variant_names[v], spreads[v].median, spreads[v].median / spreads[FLOOR].median,
		       spreads[v].q1, spreads[v].q3);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 9;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: cost BUILD_DIR [ROUNDS]\n");
		return 2;
	}
	for (int way = LAUNCHED; way <= ATTACHED; way++) {
		struct floor *floor = floor_new(argv[1], way == ATTACHED);

		compare(argv[1], way, floor, 3, 1, rounds);
		compare(argv[1], way, floor, 16, 1, rounds);
		compare(argv[1], way, floor, 3, 2, rounds);
		floor_free(floor);
	}
	return 0;
}
