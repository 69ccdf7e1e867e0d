// SPDX-License-Identifier: MIT
/* pid_reuse.c - two children, one after another, with the same pid: two processes. Root only. */
#include "truth.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* fork(), with the pid asked for unless it is 0. */
static pid_t fork_as(pid_t wanted)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = wanted ? (uintptr_t)&wanted : 0,
		.set_tid_size = wanted ? 1 : 0,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void child(size_t size, void *inherited)
{
	t_forked();
	for (int i = 0; i < 10; i++)
		t_malloc(size);
	t_free(inherited);
	t_write();
	_exit(0);
}

int main(void)
{
	void *block;
	pid_t first, second;

	t_begin();
	block = t_malloc(123);
	first = fork_as(0);
	if (!first)
		child(64, block);
	waitpid(first, NULL, 0);
	second = fork_as(first);
	if (second < 0)
		t_die("pid_reuse: the pid cannot be had again\n");
	if (!second)
		child(6400, block);
	waitpid(second, NULL, 0);
	t_finish();
	return 0;
}
