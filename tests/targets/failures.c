// SPDX-License-Identifier: MIT
/* failures.c - calls that yield no block: nothing is allocated, and an old block stays as it was.
 */
#include "truth.h"

#define HUGE_SIZE ((size_t)PTRDIFF_MAX - 4096)

int main(void)
{
	volatile size_t half = SIZE_MAX / 2;
	void *keep;

	t_begin();
	keep = t_malloc(500);
	t_malloc(HUGE_SIZE);
	t_calloc(HUGE_SIZE, 1);
	t_realloc(NULL, HUGE_SIZE);
	t_realloc(keep, HUGE_SIZE); /* keeps the block */
	t_reallocarray(keep, half, 4);
	t_reallocarray(keep, half / 2 + 1, 4); /* wraps to 0, which is no size of 0 */
	t_calloc(half / 2 + 1, 4);
	t_reallocarray(NULL, HUGE_SIZE, 1);
	t_memalign(64, HUGE_SIZE);
	t_aligned_alloc(64, HUGE_SIZE);
	t_posix_memalign(64, HUGE_SIZE);
	t_posix_memalign(3, 10); /* no power of two: EINVAL */
	keep = t_realloc(keep, 700);
	t_malloc(30);
	t_free(keep);
	t_finish();
	return 0;
}
