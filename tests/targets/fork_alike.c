// SPDX-License-Identifier: MIT
/* fork_alike.c [children] - children that all do the same, one after another: same calls, same
 * addresses. */
#include "truth.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	long children = t_arg(argc, argv, 1, 8);

	free(malloc(100)); /* whatever is set up at a first call is, before the forks */
	for (long i = 0; i < children; i++) {
		pid_t pid = fork();

		if (!pid) {
			for (int n = 0; n < 2000; n++)
				if (!malloc(100))
					_exit(1);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	return 0;
}
