// SPDX-License-Identifier: MIT
/* vfork_heap.c [program] - a vfork child before its exec allocates in its parent's heap, and what
 * it does is the parent's. Then it runs the program, or ends. */
#include "truth.h"

#include <sys/wait.h>

static void *volatile from_child;
static void *volatile for_child;

/* All in one function: a child that returned would spoil the stack it shares. */
int main(int argc, char **argv)
{
	char *const *program = argv + 1;
	pid_t pid;

	t_begin();
	for (volatile int i = 0; i < 5; i++) {
		for_child = t_malloc(640);
		pid = vfork();
		if (!pid) {
			from_child = t_malloc(321);
			t_free(for_child);
			t_malloc(45);
			if (argc > 1)
				execv(program[0], program);
			_exit(argc > 1 ? 127 : 0);
		}
		waitpid(pid, NULL, 0);
		t_free(from_child);
	}
	t_finish();
	return 0;
}
