// SPDX-License-Identifier: MIT
/* ends.c WAY - ends with blocks live: "exit N", "_exit N", "return N", "signal N", "abort",
 * "child-killed" (kills a child that allocates and waits). */
#include "truth.h"

#include <signal.h>
#include <sys/wait.h>

static void killed_child(void)
{
	int pipe_fds[2];
	char byte;
	pid_t pid;

	if (pipe(pipe_fds))
		t_die("ends: no pipe\n");
	pid = fork();
	if (!pid) {
		t_forked();
		for (int i = 0; i < 30; i++)
			t_malloc(99);
		t_write();
		if (write(pipe_fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(pipe_fds[0], &byte, 1) != 1)
		t_die("ends: the child is gone\n");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "return";
	int number = (int)t_arg(argc, argv, 2, 0);

	t_begin();
	for (int i = 0; i < 20; i++) {
		void *block = t_malloc(150);

		if (i % 2)
			t_free(block);
	}
	if (!strcmp(way, "child-killed"))
		killed_child();
	t_finish();
	if (!strcmp(way, "exit"))
		exit(number);
	if (!strcmp(way, "_exit"))
		_exit(number);
	if (!strcmp(way, "signal"))
		kill(getpid(), number);
	if (!strcmp(way, "abort"))
		abort();
	return number;
}
