// SPDX-License-Identifier: MIT
/*
 * scale.c - start and end around /bin/true, memory per live block, time of a snapshot, and what an
 * idle session costs.
 *
 *	scale BUILD_DIR
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/process.h"
#include "memtrace/memtrace.h"

static void die(const char *what)
{
	fprintf(stderr, "scale: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void start_and_end(const char *build)
{
	double took[7];
	char program[4096];

	snprintf(program, sizeof(program), "%s/memtrace", build);
	for (int i = 0; i < 7; i++) {
		double start = now_s();
		pid_t pid = fork();

		if (!pid) {
			int null = open("/dev/null", O_WRONLY);

			dup2(null, 1);
			dup2(null, 2);
			execl(program, program, "--", "/bin/true", (char *)NULL);
			_exit(127);
		}
		waitpid(pid, NULL, 0);
		took[i] = now_s() - start;
	}
	qsort(took, 7, sizeof(*took), by_value);
	printf("memtrace -- /bin/true, whole process:  median %.3f s (%.3f .. %.3f)\n", took[3],
	       took[0], took[6]);
}

static pid_t holder(const char *build, long blocks, int *in, int *out)
{
	char program[4096], cnt[24], byte;
	int to[2], from[2];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/bench/holder", build);
	snprintf(cnt, sizeof(cnt), "%ld", blocks);
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (!pid) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(program, program, cnt, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	*in = to[1];
	*out = from[0];
	if (read(*out, &byte, 1) != 1)
		die(program);
	return pid;
}

static struct memtrace *attach(pid_t pid, uint64_t budget)
{
	struct memtrace_options options = { .sz = sizeof(options), .max_memory_bytes = budget };
	struct memtrace *session;

	if (memtrace_open(&options, &session) || memtrace_attach(session, pid) ||
	    memtrace_start(session)) {
		fprintf(stderr, "scale: %s\n", memtrace_error(session));
		exit(1);
	}
	return session;
}

static void live_blocks(const char *build, long blocks)
{
	struct memtrace_snapshot *snap;
	uint64_t losses = 0, spilled = 0;
	struct memtrace *session;
	double took[5], alloc_s;
	int in, out;
	pid_t pid = holder(build, blocks, &in, &out);
	int64_t rss_before = process_rss_bytes(getpid());
	struct pollfd done = { .fd = out, .events = POLLIN };
	char byte;

	session = attach(pid, 4ULL << 30);
	alloc_s = now_s();
	if (write(in, "g", 1) != 1)
		die("target");
	while (!poll(&done, 1, 0))
		memtrace_poll(session, 50);
	if (read(out, &byte, 1) != 1)
		die("target");
	alloc_s = now_s() - alloc_s;
	for (int i = 0; i < 5; i++) {
		double start = now_s();

		if (memtrace_snapshot_take(session, &snap))
			die(memtrace_error(session));
		took[i] = now_s() - start;
		if (i < 4)
			memtrace_snapshot_free(snap);
	}
	for (size_t i = 0; i < snap->loss_cnt; i++)
		losses += snap->losses[i].value;
	for (size_t i = 0; i < snap->notice_cnt; i++)
		if (!strcmp(snap->notices[i].name, "spilled_blocks"))
			spilled = snap->notices[i].value;
	qsort(took, 5, sizeof(*took), by_value);
	printf("%ld live blocks: counted %llu, losses %llu, spilled %llu; tables %.1f MiB = %.1f bytes a "
	       "block, user space grew %.1f MiB; snapshot median %.3f s; %.0f ns an allocation\n",
	       blocks, (unsigned long long)snap->totals.live_blocks, (unsigned long long)losses,
	       (unsigned long long)spilled, snap->tracer_bytes / 1048576.0,
	       (double)snap->tracer_bytes / blocks,
	       (process_rss_bytes(getpid()) - rss_before) / 1048576.0, took[2],
	       alloc_s * 1e9 / blocks);
	fflush(stdout);
	memtrace_snapshot_free(snap);
	memtrace_close(session);
	close(in);
	close(out);
	waitpid(pid, NULL, 0);
}

/* Kernel memory of every BPF map this process holds, by their fdinfo. */
static long long maps_bytes(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	long long all = 0, one;
	struct dirent *entry;
	char path[300], line[256];

	while (dir && (entry = readdir(dir))) {
		FILE *f;
		bool is_map = false;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
		f = fopen(path, "r");
		one = 0;
		while (f && fgets(line, sizeof(line), f)) {
			is_map |= !strncmp(line, "map_type:", 9);
			sscanf(line, "memlock: %lld", &one);
		}
		if (f)
			fclose(f);
		if (is_map)
			all += one;
	}
	if (dir)
		closedir(dir);
	return all;
}

/* Resident memory of this process but for mapped maps, which maps_bytes() has. */
static long long own_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool is_map = false;
	long long all = 0;
	char line[512];
	long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			is_map = strstr(line, "bpf-map");
		else if (sscanf(line, "Rss: %ld kB", &kib) == 1 && !is_map)
			all += kib * 1024;
	}
	if (f)
		fclose(f);
	return all;
}

static void idle(const char *build)
{
	struct memtrace_snapshot *snap;
	struct memtrace *session;
	double start, cpu;
	int in, out;
	pid_t pid = holder(build, 1, &in, &out);

	session = attach(pid, 0);
	if (memtrace_snapshot_take(session, &snap))
		die(memtrace_error(session));
	start = now_s();
	cpu = cpu_s();
	while (now_s() - start < 10)
		memtrace_poll(session, 1000);
	cpu = (cpu_s() - cpu) / (now_s() - start);
	printf("idle: all maps %.1f MB, resident besides %.1f MB, together %.1f MB (10^6 bytes); own CPU "
	       "over 10 s %.3f %%\n", maps_bytes() / 1e6, own_bytes() / 1e6,
	       (maps_bytes() + own_bytes()) / 1e6, cpu * 100);
	memtrace_snapshot_free(snap);
	memtrace_close(session);
	close(in);
	close(out);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: scale BUILD_DIR\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	idle(argv[1]);
	start_and_end(argv[1]);
	live_blocks(argv[1], 1000000);
	live_blocks(argv[1], 10000000);
	return 0;
}
