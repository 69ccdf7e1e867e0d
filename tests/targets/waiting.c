// SPDX-License-Identifier: MIT
/* waiting.c - allocates a little, then waits to be told to end. */
#include "truth.h"

int main(void)
{
	t_begin();
	t_malloc(100);
	t_free(t_malloc(200));
	t_finish();
	return 0;
}
