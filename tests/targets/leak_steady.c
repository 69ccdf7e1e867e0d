// SPDX-License-Identifier: MIT
/* leak_steady.c [rounds [pause_us [bytes]]] - loses a block a round. */
#include "truth.h"

#include "paced.h"

T_NOINLINE void lose_one(size_t size)
{
	t_malloc(size);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long bytes = t_arg(argc, argv, 3, 100);

	t_begin();
	for (long i = 0; i < rounds; i++) {
		lose_one((size_t)bytes);
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
