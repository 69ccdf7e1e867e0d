// SPDX-License-Identifier: MIT
/* family.c - every member of the family once or twice, with the sizes where they differ. */
#include "truth.h"

/* The paths of realloc: from nothing, in place, moved, mapped, remapped, to nothing. */
static void *realloc_paths(void)
{
	void *wall, *p = t_realloc(NULL, 40);

	wall = t_malloc(64); /* what follows p: growing p must move it */
	p = t_realloc(p, 4000);
	p = t_realloc(p, 16);
	p = t_realloc(p, 16);
	p = t_realloc(p, 1 << 20);
	p = t_realloc(p, 3 << 20);
	p = t_realloc(p, 100);
	t_free(wall);
	t_free(t_realloc(NULL, 0));
	wall = t_malloc(10);
	wall = t_realloc(wall, 0); /* NULL where that is a free, else a block of 0 bytes */
	t_free(wall);
	p = t_reallocarray(p, 30, 8);
	t_free(t_reallocarray(NULL, 4, 8));
	return p;
}

static void aligned_paths(void)
{
	void *p[6];

	p[0] = t_memalign(8, 24); /* no more than malloc gives anyway */
	p[1] = t_memalign(64, 100);
	p[2] = t_aligned_alloc(256, 512);
	p[3] = t_aligned_alloc(4096, 1 << 20);
	p[4] = t_posix_memalign(128, 1000);
	p[5] = t_posix_memalign(sizeof(void *), 0);
	for (int i = 0; i < 5; i++)
		t_free(p[i]);
}

int main(void)
{
	void *keep, *other;

	t_begin();
	keep = t_malloc(100);
	other = t_malloc(0);
	t_free(NULL);
	t_free(t_calloc(3, 7));
	t_free(t_calloc(0, 5));
	t_free(other);
	other = realloc_paths();
	aligned_paths();
	keep = t_realloc(keep, 101);
	t_free(other);
	t_finish();
	return 0;
}
