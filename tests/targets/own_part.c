// SPDX-License-Identifier: MIT
/* own_part.c - a program with a calloc of its own, and the C library's malloc and free. */
#include "truth.h"

/* Everybody's in this program. It is no call of the C library's calloc, so it is a malloc to the
 * account. */
void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *block;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	block = malloc(bytes);
	T_HIDE(block);
	if (block)
		memset(block, 0, bytes);
	return block;
}

int main(void)
{
	void *blocks[30];

	t_begin();
	for (int i = 0; i < 30; i++)
		blocks[i] = i % 2 ? t_calloc((size_t)i, 5) : t_malloc((size_t)(100 + i));
	for (int i = 0; i < 30; i += 3)
		t_free(blocks[i]);
	for (int i = 1; i < 30; i += 3)
		t_realloc(blocks[i], 400);
	t_finish();
	return 0;
}
