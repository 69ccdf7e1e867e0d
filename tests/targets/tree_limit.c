// SPDX-License-Identifier: MIT
/* tree_limit.c [children [mib]] - children that each stay below a limit which they pass together.
 * All are live at once: each waits for its parent's word, which never comes when that is killed. */
#include "truth.h"

#include <sys/wait.h>

static void child(int report, int wait, long mib)
{
	t_forked();
	alarm(120); /* whatever goes wrong, it does not stay for ever */
	for (long i = 0; i < mib; i++)
		t_malloc(1ul << 20);
	t_write();
	if (write(report, "", 1) != 1)
		_exit(1);
	t_wait(wait);
	_exit(0);
}

int main(int argc, char **argv)
{
	long children = t_arg(argc, argv, 1, 3), mib = t_arg(argc, argv, 2, 10);
	int report[2], wait[2];
	char byte;

	t_begin();
	if (pipe(report) || pipe(wait))
		t_die("tree_limit: no pipe\n");
	for (long i = 0; i < children; i++) {
		pid_t pid = fork();

		if (!pid)
			child(report[1], wait[0], mib);
		if (read(report[0], &byte, 1) != 1)
			t_die("tree_limit: a child is gone\n");
	}
	for (long i = 0; i < children; i++)
		if (write(wait[1], "", 1) != 1)
			t_die("tree_limit: the children are gone\n");
	while (waitpid(-1, NULL, 0) > 0)
		;
	t_finish();
	return 0;
}
