// SPDX-License-Identifier: MIT
/*
 * kept.c WAY - has events that its preload library keeps when something happens to it: "raw-exit",
 * "raw-exec", "execl", "execvp", "quick_exit", "_exit", "kill", "segv", "abort", "vfork",
 * "thread", "fork", "raw-fork", "signals", "spin".
 *
 * What it does first makes its call paths known, so that what comes then is kept.
 */
#include "truth.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define BLOCKS 77

static void *blocks[BLOCKS];

static T_NOINLINE void *take(size_t size)
{
	return t_malloc(size);
}

static void work(int rounds)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 100; i++) {
			void *block = take(64);

			if (i % 10 == 9)
				block = t_realloc(block, 200);
			t_free(block);
		}
		if (rounds > 1)
			nanosleep(&moment, NULL);
	}
}

/* Of which some are live in the end, freed and moved ones among them. */
static T_NOINLINE void keep(void)
{
	for (int i = 0; i < BLOCKS; i++)
		blocks[i] = take(100 + i);
	for (int i = 0; i < BLOCKS; i += 3) {
		t_free(blocks[i]);
		blocks[i] = NULL;
	}
	for (int i = 1; i < BLOCKS; i += 3)
		blocks[i] = t_realloc(blocks[i], 300);
}

static void let_go(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		t_free(blocks[i]);
		blocks[i] = NULL;
	}
}

/* ---- a handler in the middle of the library ------------------------------------------------------- */

static uintptr_t library, library_end;
static volatile long hits;

/* Without stdio, which allocates. */
static void find_library(void)
{
	static char maps[65536];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	unsigned long start, end;
	size_t have = 0;
	ssize_t got;

	while (fd >= 0 && (got = read(fd, maps + have, sizeof(maps) - 1 - have)) > 0)
		have += (size_t)got;
	close(fd);
	for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strstr(line, "r-xp") || !strstr(line, "libmemtrace-preload") ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		library = start;
		library_end = end;
	}
}

/* The allocator itself is not at work then, and neither are the books. */
static void on_alarm(int signal, siginfo_t *info, void *context)
{
	uintptr_t pc = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)signal;
	(void)info;
	if (pc - library >= library_end - library)
		return;
	hits++;
	t_free(take(48));
}

static void under_alarms(void)
{
	struct sigaction action = { .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };

	find_library();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 20000 && (hits < 200 || i < 2000); i++) {
		work(1);
		if (i % 100 == 0) {
			keep();
			let_go();
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
	/* the books run before a block is freed, and handlers in between */
	t_state.peak_unknown = true;
	if (hits < 20)
		t_die("kept: no handler ran in the middle of the library\n");
}

/* ---- other ends ------------------------------------------------------------------------------------ */

static void *in_thread(void *arg)
{
	work(3);
	keep();
	return arg;
}

static void beside_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, in_thread, NULL))
		t_die("kept: no thread\n");
	pthread_join(thread, NULL);
	let_go();
	keep();
}

static void in_child(bool raw)
{
	pid_t pid = raw ? (pid_t)syscall(SYS_fork) : fork();

	if (!pid) {
		t_forked();
		let_go(); /* inherited */
		work(30);
		keep();
		t_finish();
		syscall(SYS_exit_group, 0);
	}
	let_go();
	keep();
	waitpid(pid, NULL, 0);
}

static void beside_vfork(char *self)
{
	char *const argv[] = { self, (char *)"return", NULL };
	pid_t pid = vfork();

	if (!pid) {
		execv(self, argv);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	keep();
}

static volatile sig_atomic_t told;

static void on_told(int signal)
{
	(void)signal;
	told = 1;
}

/* Works, without a system call, until SIGUSR1. */
static void spin(void)
{
	signal(SIGUSR1, on_told);
	keep();
	t_write();
	t_done();
	while (!told)
		;
	t_hold();
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "return";
	char *const second[] = { argv[0], (char *)"return", NULL };
	extern char **environ;

	t_begin();
	work(50);
	if (!strcmp(way, "signals")) {
		under_alarms();
	} else if (!strcmp(way, "spin")) {
		spin();
	} else if (!strcmp(way, "thread")) {
		keep();
		beside_a_thread();
		t_state.threads = 1;
	} else if (!strcmp(way, "fork") || !strcmp(way, "raw-fork")) {
		keep();
		in_child(!strcmp(way, "raw-fork"));
	} else if (!strcmp(way, "vfork")) {
		beside_vfork(argv[0]);
	} else {
		keep();
	}
	if (strstr(way, "exec"))
		t_write();
	else
		t_finish();
	if (!strcmp(way, "raw-exit"))
		syscall(SYS_exit_group, 0);
	if (!strcmp(way, "raw-exec"))
		syscall(SYS_execve, argv[0], second, environ);
	if (!strcmp(way, "execl"))
		execl(argv[0], argv[0], "return", (char *)NULL);
	if (!strcmp(way, "execvp"))
		execvp(argv[0], second);
	if (!strcmp(way, "quick_exit"))
		quick_exit(0);
	if (!strcmp(way, "_exit"))
		_exit(0);
	if (!strcmp(way, "kill"))
		syscall(SYS_kill, getpid(), SIGKILL);
	if (!strcmp(way, "segv"))
		*(volatile int *)0 = 0;
	if (!strcmp(way, "abort"))
		abort();
	return 0;
}
