// SPDX-License-Identifier: MIT
/*
 * overhead.c - is the slowdown that memtrace states the one that a clock shows?
 *
 *	overhead BUILD_DIR [ROUNDS]
 *
 * Programs run untraced and in each lane, in turns. What is compared are medians: of the time until
 * the program ended, and of its CPU time, which a busy machine disturbs less.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/median.h"
#include "memtrace/memtrace.h"
#include "model/overhead.h"

#define ROUNDS_MAX 99

enum variant { UNTRACED, UPROBE, PRELOAD, VARIANTS };

static const enum memtrace_lane lanes[] = {
	[UPROBE] = MEMTRACE_LANE_UPROBE,
	[PRELOAD] = MEMTRACE_LANE_PRELOAD,
};
static const char *const names[] = { "untraced", "uprobe", "preload" };

struct run {
	double wall_s, cpu_s;
	double slowdown; /* as stated */
};

struct program {
	const char *name;
	const char *command; /* for sh */
};

static const struct program programs[] = {
	{ "pairs of malloc and free", "echo g | exec \"$BUILD\"/bench/pairs 500000 3 1" },
	{ "sqlite3", "exec sqlite3 :memory: 'create table t(a, b); with recursive c(x) as (select "
		     "1 union all select x+1 "
		     "from c where x<300000) insert into t select x, hex(x*x) from c; select "
		     "count(*), sum(length(b)) from "
		     "t group by a%17;'" },
	{ "python3, PYTHONMALLOC=malloc", "PYTHONMALLOC=malloc exec python3 -c 'd = {}\nfor i in "
					  "range(300000): d[i % 5000] = str(i) * 3'" },
	{ "perl", "exec perl -e 'for my $i (1..1500000) { $h{$i % 1000} = \"k$i\" x 5; }'" },
	{ "md5sum", "exec head -c 400000000 /dev/zero | md5sum" },
	{ "mostly asleep", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done" },
};

#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static double seconds(const struct timeval *a, const struct timeval *b)
{
	return a->tv_sec + b->tv_sec + (a->tv_usec + b->tv_usec) / 1e6;
}

static void into_nowhere(void)
{
	int fd = open("/dev/null", O_WRONLY);

	dup2(fd, STDOUT_FILENO);
	close(fd);
}

static struct run run_untraced(char *const *argv)
{
	struct run run = { .slowdown = 1 };
	double start = now_s();
	struct rusage used;
	pid_t pid = fork();

	if (!pid) {
		into_nowhere();
		execvp(argv[0], argv);
		_exit(127);
	}
	wait4(pid, NULL, 0, &used);
	run.wall_s = now_s() - start;
	run.cpu_s = seconds(&used.ru_utime, &used.ru_stime);
	return run;
}

static void die(const struct memtrace *session)
{
	fprintf(stderr, "overhead: %s\n", memtrace_error(session));
	exit(1);
}

static struct run run_traced(char *const *argv, enum memtrace_lane lane)
{
	char library[4096];
	struct memtrace_options options = { .sz = sizeof(options),
					    .lane = lane,
					    .preload_library = library };
	struct memtrace_command command = { .sz = sizeof(command), .argv = argv };
	struct memtrace_snapshot *snap;
	struct memtrace *session;
	int out = dup(STDOUT_FILENO);
	struct run run;

	snprintf(library, sizeof(library), "%s/libmemtrace-preload.so", getenv("BUILD"));
	if (memtrace_open(&options, &session))
		die(session);
	fflush(stdout);
	into_nowhere();
	if (memtrace_launch(session, &command, NULL))
		die(session);
	dup2(out, STDOUT_FILENO);
	close(out);
	if (memtrace_start(session))
		die(session);
	while (memtrace_poll(session, 100) > 0)
		;
	if (memtrace_snapshot_take(session, &snap))
		die(session);
	run = (struct run){ snap->duration_s, snap->overhead.cpu_s,
			    overhead_slowdown(&snap->overhead) };
	memtrace_snapshot_free(snap);
	memtrace_close(session);
	return run;
}

static double median_of(const struct run *runs, int cnt, size_t field)
{
	double values[ROUNDS_MAX];

	for (int i = 0; i < cnt; i++)
		values[i] = *(const double *)((const char *)&runs[i] + field);
	return median(values, cnt);
}

#define MEDIAN(variant, field) median_of(runs[variant], rounds, offsetof(struct run, field))

static void compare(const struct program *program, int rounds)
{
	static struct run runs[VARIANTS][ROUNDS_MAX];
	char *argv[] = { "sh", "-c", (char *)program->command, NULL };

	for (int i = 0; i < rounds; i++)
		for (int v = 0; v < VARIANTS; v++)
			runs[v][i] =
				v == UNTRACED ? run_untraced(argv) : run_traced(argv, lanes[v]);
	for (int v = UPROBE; v < VARIANTS; v++)
		printf("  %-30s %-8s  %6.2f  %6.2f  %6.2f\n", program->name, names[v],
		       MEDIAN(v, wall_s) / MEDIAN(UNTRACED, wall_s),
		       MEDIAN(v, cpu_s) / MEDIAN(UNTRACED, cpu_s), MEDIAN(v, slowdown));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 5;

	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: overhead BUILD_DIR [ROUNDS]\n");
		return 2;
	}
	setenv("BUILD", argv[1], 1);
	printf("times as long as untraced (median of %d interleaved runs; stated slowdowns end at "
	       "%.0f)\n",
	       rounds, OVERHEAD_SLOWDOWN_MAX);
	printf("  %-30s %-8s  %6s  %6s  %6s\n", "", "lane", "wall", "CPU", "stated");
	for (size_t i = 0; i < PROGRAMS; i++)
		compare(&programs[i], rounds);
	return 0;
}
