// SPDX-License-Identifier: MIT
/*
 * peak.c - the heap grows, shrinks and grows less: the peak lies in the middle, and each site has
 * one of its own. The peak of the whole:
 *
 *	grow_first   40 * 1000, of which 39 are freed again
 *	grow_second  10 * 3000, and 10 more after that
 */
#include "truth.h"

static struct t_site *first, *second;

static void grew(struct t_site *site, size_t size)
{
	site->live_blocks++;
	site->live_bytes += size;
	site->alloc_blocks++;
	site->alloc_bytes += size;
	if (site->live_bytes > site->peak_bytes)
		site->peak_bytes = site->live_bytes;
}

static void shrank(struct t_site *site, size_t size)
{
	site->live_blocks--;
	site->live_bytes -= size;
}

T_NOINLINE void *grow_first(void)
{
	void *block = t_malloc(1000);

	grew(first, 1000);
	return block;
}

T_NOINLINE void *grow_second(void)
{
	void *block = t_malloc(3000);

	grew(second, 3000);
	return block;
}

/* Each phase has the same call paths: one loop, not two. */
T_NOINLINE void phase(int number, void **a, void **b)
{
	for (int i = 0; i < 40 && !number; i++)
		a[i] = grow_first();
	for (int i = 0; i < 10; i++)
		b[number * 10 + i] = grow_second();
	if (number)
		return;
	first->bytes_at_peak = first->live_bytes;
	second->bytes_at_peak = second->live_bytes;
	for (int i = 0; i < 39; i++) {
		t_free(a[i]);
		shrank(first, 1000);
	}
}

int main(void)
{
	void *a[40], *b[20];

	t_begin();
	first = t_site("grow_first");
	second = t_site("grow_second");
	for (volatile int number = 0; number < 2; number++)
		phase(number, a, b);
	for (int i = 0; i < 15; i++) {
		t_free(b[i]);
		shrank(second, 3000);
	}
	t_finish();
	return 0;
}
