// SPDX-License-Identifier: MIT
/* stubborn.c - does not end on SIGINT; says at MT_DONE_FD that it came. */
#include "truth.h"

#include <signal.h>

static int done_fd = -1;

static void on_interrupt(int signal)
{
	(void)signal;
	if (write(done_fd, "i", 1) != 1)
		_exit(98);
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };

	done_fd = t_env_fd("MT_DONE_FD");
	sigaction(SIGINT, &action, NULL);
	t_begin();
	t_malloc(100);
	t_hold();
	t_write();
	return 6;
}
