// SPDX-License-Identifier: MIT
/* fork_storm.c [children] - many children, each with its own account, some of them at once. */
#include "truth.h"

#include <sys/wait.h>

static void *kept[16];

static void child(long number)
{
	void *block;

	t_forked();
	for (long i = 0; i <= number % 20; i++)
		t_malloc((size_t)(number * 10 + i + 1));
	block = t_malloc(64);
	t_free(kept[number % 16]);
	t_free(block);
	t_write();
	_exit((int)(number % 128));
}

int main(int argc, char **argv)
{
	long children = t_arg(argc, argv, 1, 40);

	t_begin();
	for (int i = 0; i < 16; i++)
		kept[i] = t_malloc(128);
	for (long i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid < 0)
			t_die("fork_storm: cannot fork\n");
		if (!pid)
			child(i);
		if (i % 4 == 3)
			while (waitpid(-1, NULL, 0) > 0)
				;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	t_finish();
	return 0;
}
