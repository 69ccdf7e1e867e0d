// SPDX-License-Identifier: MIT
/* saw_tooth.c [rounds [pause_us [batch]]] - collects a block a round, and frees them all when there are
 * so many; ends in the middle of a batch. */
#include "truth.h"

#include "paced.h"

T_NOINLINE void *collect(void)
{
	return t_malloc(1000);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long batch = t_arg(argc, argv, 3, 40), cnt = 0;
	void *blocks[1000];

	t_begin();
	if (batch < 1 || batch > 1000)
		t_die("saw_tooth: a batch has 1 to 1000 blocks\n");
	for (long i = 0; i < rounds + batch / 2; i++) {
		if (cnt == batch)
			while (cnt > 0)
				t_free(blocks[--cnt]);
		blocks[cnt++] = collect();
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
