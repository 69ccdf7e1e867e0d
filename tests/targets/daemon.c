// SPDX-License-Identifier: MIT
/* daemon.c - forks twice and goes into the background; the one that is left does the work after
 * its parents are gone. */
#include "truth.h"

#include <sys/wait.h>

/* Until the write ends of all who hold them are closed. */
static void wait_for_end(int fd)
{
	char byte;

	while (read(fd, &byte, 1) > 0)
		;
}

int main(void)
{
	int pipe_fds[2];
	void *early;
	pid_t pid;

	t_begin();
	early = t_malloc(111);
	/* the daemon reads; parents hold the other end until they are gone */
	if (pipe(pipe_fds))
		t_die("daemon: no pipe\n");
	pid = fork();
	if (pid) {
		waitpid(pid, NULL, 0);
		t_write();
		return 5;
	}
	t_forked();
	setsid();
	t_malloc(222);
	pid = fork();
	if (pid) {
		t_write();
		_exit(0);
	}
	t_forked();
	close(pipe_fds[1]);
	wait_for_end(pipe_fds[0]);
	for (int i = 0; i < 100; i++)
		t_malloc(333);
	t_free(early);
	t_finish();
	return 0;
}
