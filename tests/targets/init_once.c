// SPDX-License-Identifier: MIT
/* init_once.c [rounds [pause_us [blocks]]] - makes what it needs at the start and keeps it; then works with
 * blocks that it frees. */
#include "truth.h"

#include "paced.h"

T_NOINLINE void set_up(void)
{
	t_malloc(500);
}

T_NOINLINE void work(void)
{
	t_free(t_malloc(300));
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long blocks = t_arg(argc, argv, 3, 1000);

	t_begin();
	for (long i = 0; i < blocks; i++)
		set_up();
	for (long i = 0; i < rounds; i++) {
		work();
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
