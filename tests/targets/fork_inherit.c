// SPDX-License-Identifier: MIT
/*
 * fork_inherit.c - a child owns what it allocates and frees what it inherited; neither touches the
 * account of the other. Parent, child and grandchild free the same inherited block, each its copy.
 */
#include "truth.h"

#include <sys/wait.h>

static void *shared[8]; /* allocated by the parent */

static void grandchild(void *from_child)
{
	t_forked();
	t_free(shared[0]);
	t_free(from_child);
	t_malloc(7);
	t_free(t_malloc(70));
	t_write();
	_exit(0);
}

static void child(int after_parent)
{
	void *own, *second;
	pid_t pid;

	t_forked();
	own = t_malloc(300);
	second = t_malloc(400);
	t_free(shared[1]);
	t_wait(after_parent); /* the parent freed its copy of 2 and 3 meanwhile */
	t_free(shared[2]);
	shared[3] = t_realloc(shared[3], 5000);
	shared[4] = t_realloc(shared[4], 10);
	t_realloc(shared[5], (size_t)PTRDIFF_MAX - 4096); /* fails: stays inherited */
	t_free(shared[5]);
	t_free(second);
	pid = fork();
	if (!pid)
		grandchild(own);
	waitpid(pid, NULL, 0);
	t_free(own);
	t_free(shared[0]); /* the grandchild freed its copy */
	t_malloc(11);
	t_write();
	_exit(0);
}

int main(void)
{
	int pipe_fds[2];
	pid_t pid;

	t_begin();
	for (int i = 0; i < 8; i++)
		shared[i] = t_malloc(100 * (size_t)(i + 1));
	if (pipe(pipe_fds))
		t_die("fork_inherit: no pipe\n");
	pid = fork();
	if (!pid)
		child(pipe_fds[0]);
	t_free(shared[2]);
	t_free(shared[3]);
	t_malloc(2000); /* may get the address the child still holds */
	t_malloc(300);
	if (write(pipe_fds[1], "", 1) != 1)
		t_die("fork_inherit: the child is gone\n");
	waitpid(pid, NULL, 0);
	t_free(shared[0]);
	t_free(shared[1]);
	t_finish();
	return 0;
}
