// SPDX-License-Identifier: MIT
/* grow_vector.c [rounds [pause_us [bytes]]] - one array that is made longer each round. */
#include "truth.h"

#include "paced.h"

T_NOINLINE void *lengthen(void *array, size_t size)
{
	return t_realloc(array, size);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long bytes = t_arg(argc, argv, 3, 100);
	void *array = NULL;

	t_begin();
	for (long i = 0; i < rounds; i++) {
		array = lengthen(array, (size_t)((i + 1) * bytes));
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
