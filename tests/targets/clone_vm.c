// SPDX-License-Identifier: MIT
/* clone_vm.c - a process of its own that shares the address space: one heap, one account. */
#include "truth.h"

#include <sched.h>
#include <sys/wait.h>

static char stack[256 * 1024] __attribute__((aligned(16)));
static void *block;

static int child(void *arg)
{
	(void)arg;
	t_free(block);
	block = t_malloc(4321);
	for (int i = 0; i < 100; i++)
		t_free(t_malloc(77));
	_exit(0);
}

int main(void)
{
	pid_t pid;

	t_begin();
	block = t_malloc(1000);
	pid = clone(child, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (pid < 0)
		t_die("clone_vm: cannot clone\n");
	waitpid(pid, NULL, 0);
	t_malloc(55);
	t_free(block);
	t_finish();
	return 0;
}
