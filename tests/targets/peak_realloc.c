// SPDX-License-Identifier: MIT
/* peak_realloc.c - a realloc that moves a block never makes old and new live at once; one that
 * shrinks makes no peak; one that grows makes it of the new size alone. */
#include "truth.h"

int main(void)
{
	void *base, *p, *wall;

	t_begin();
	base = t_malloc(10000);
	p = t_malloc(5000);
	wall = t_malloc(64);
	p = t_realloc(p, 6000);
	p = t_realloc(p, 100);
	p = t_realloc(p, 50000);
	t_realloc(p, (size_t)PTRDIFF_MAX - 4096);
	t_free(base);
	p = t_realloc(p, 55000);
	t_free(wall);
	t_free(p);
	t_finish();
	return 0;
}
