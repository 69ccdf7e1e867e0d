// SPDX-License-Identifier: MIT
/*
 * leaky.c [rounds] - three named call paths lose known amounts each round; a fourth is clean:
 *
 *	lose_small 100 blocks of 32 bytes, lose_medium 10 of 1000, lose_large 1 of 65536
 */
#include "truth.h"

static struct t_site *small, *medium, *large, *clean;

T_INLINE void book(struct t_site *site, size_t size)
{
	site->live_blocks++;
	site->live_bytes += size;
	site->alloc_blocks++;
	site->alloc_bytes += size;
	site->peak_bytes += size;
	site->bytes_at_peak += size;
}

T_NOINLINE void lose_small(void)
{
	for (int i = 0; i < 100; i++) {
		t_malloc(32);
		book(small, 32);
	}
}

T_NOINLINE void lose_medium(void)
{
	for (int i = 0; i < 10; i++) {
		t_calloc(10, 100);
		book(medium, 1000);
	}
}

T_NOINLINE void lose_large(void)
{
	t_malloc(65536);
	book(large, 65536);
}

T_NOINLINE void lose_nothing(void)
{
	void *block = t_malloc(200);

	clean->alloc_blocks++;
	clean->alloc_bytes += 200;
	clean->peak_bytes = 200;
	clean->bytes_at_peak = 200; /* the last call of all makes the peak */
	t_free(block);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 5);

	t_begin();
	small = t_site("lose_small");
	medium = t_site("lose_medium");
	large = t_site("lose_large");
	clean = t_site("lose_nothing");
	for (long i = 0; i < rounds; i++) {
		lose_small();
		lose_medium();
		lose_large();
		lose_nothing();
	}
	t_finish();
	return 0;
}
