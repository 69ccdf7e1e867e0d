// SPDX-License-Identifier: MIT
/* spawn.c [children] - posix_spawn of itself, several times. */
#include "truth.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int child(long number)
{
	for (long i = 0; i < number + 3; i++)
		t_malloc(256);
	t_free(t_malloc(9));
	t_write();
	return (int)number;
}

int main(int argc, char **argv)
{
	char number[24], word[] = "child";
	char *child_argv[] = { argv[0], word, number, NULL };
	long children;
	pid_t pid;

	if (argc > 2 && !strcmp(argv[1], "child"))
		return child(atol(argv[2]));
	children = t_arg(argc, argv, 1, 4);
	t_begin();
	t_malloc(5000);
	for (long i = 0; i < children; i++) {
		snprintf(number, sizeof(number), "%ld", i);
		if (posix_spawn(&pid, argv[0], NULL, NULL, child_argv, environ))
			t_die("spawn: cannot spawn\n");
		waitpid(pid, NULL, 0);
	}
	t_malloc(6000);
	t_finish();
	return 0;
}
