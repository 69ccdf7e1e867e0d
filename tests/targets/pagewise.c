// SPDX-License-Identifier: MIT
/* pagewise.c - valloc and pvalloc: whole pages are taken, the bytes asked for are counted. */
#include "truth.h"

int main(void)
{
	void *p, *q;

	t_begin();
	p = valloc(10);
	t_got(p, 10);
	q = pvalloc(10);
	t_got(q, 10);
	t_free(p);
	p = valloc(9000);
	t_got(p, 9000);
	t_finish();
	return 0;
}
