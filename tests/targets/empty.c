// SPDX-License-Identifier: MIT
/* empty.c - allocates nothing: what an environment (a preloaded allocator) costs by itself. */
#include "truth.h"

int main(void)
{
	t_begin();
	t_finish();
	return 0;
}
