// SPDX-License-Identifier: MIT
/* overflow.c - calloc whose product is too large for a size_t. */
#include "truth.h"

int main(void)
{
	volatile size_t half = SIZE_MAX / 2;
	void *block;

	t_begin();
	t_malloc(1);
	block = calloc(half, 4);
	T_HIDE(block);
	t_got(block, 0);
	t_malloc(2);
	t_finish();
	return block != NULL;
}
