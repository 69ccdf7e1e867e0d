// SPDX-License-Identifier: MIT
/*
 * kept_shared.c WAY - a child in the same memory writes to the pages in which its parent keeps events, fires
 * for them, and ends without the library's knowledge: "clone" (its function returns), "raw" (vfork, exit by
 * system call), "kill" (vfork, killed). Then the parent keeps on.
 */
#include "truth.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS 5
#define BLOCKS 100

static char stack[256 * 1024] __attribute__((aligned(16)));

static T_NOINLINE void *take(size_t size)
{
	return t_malloc(size);
}

/* A call path that is not known, so the child itself fires. */
static T_NOINLINE void *take_in_child(size_t size)
{
	return t_malloc(size);
}

static T_NOINLINE void in_child(void)
{
	for (int i = 0; i < 20; i++)
		t_free(take_in_child(11));
	for (int i = 0; i < 150; i++)
		t_free(take(12));
}

static int cloned(void *arg)
{
	(void)arg;
	in_child();
	return 0;
}

static pid_t start(const char *way)
{
	pid_t pid;

	if (!strcmp(way, "clone"))
		return clone(cloned, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	pid = vfork();
	if (pid)
		return pid;
	in_child();
	if (!strcmp(way, "kill"))
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
	syscall(SYS_exit_group, 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct timespec moment = { .tv_nsec = 1000000 };
	static void *blocks[BLOCKS];
	pid_t pid;

	t_begin();
	for (int i = 0; i < 200; i++) {
		t_free(take(64));
		if (i % 5 == 0)
			nanosleep(&moment, NULL);
	}
	for (int round = 0; round < ROUNDS; round++) {
		pid = start(argc > 1 ? argv[1] : "clone");
		while (waitpid(pid, NULL, __WALL) < 0)
			;
		for (int i = 0; i < BLOCKS; i++)
			blocks[i] = take(100 + (size_t)i);
		for (int i = 0; i < BLOCKS; i++)
			t_free(blocks[i]);
		for (int i = 0; i < BLOCKS; i++)
			t_free(take(7));
	}
	t_finish();
	return 0;
}
