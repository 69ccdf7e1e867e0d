// SPDX-License-Identifier: MIT
/* spawner.c - an attached parent whose child works until told to stop, so that who follows it has
 * the time to. The child's truth is that of its whole life. */
#include "truth.h"

#include <sys/wait.h>

int main(void)
{
	void *block;
	pid_t pid;

	t_begin();
	block = t_malloc(1000);
	pid = fork();
	if (!pid) {
		t_forked();
		t_free(t_malloc(40));
		t_free(block);
		t_write();
		t_done();
		t_hold();
		t_free(t_malloc(41));
		_exit(0);
	}
	t_malloc(2000);
	t_write();
	waitpid(pid, NULL, 0);
	return 0;
}
