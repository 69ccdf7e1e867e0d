// SPDX-License-Identifier: MIT
/* brief.c - allocates a little and is gone in a moment, with blocks still live. */
#include "truth.h"

int main(void)
{
	t_begin();
	for (int i = 0; i < 50; i++) {
		void *block = t_malloc(100);

		if (i % 5)
			t_free(block);
	}
	t_finish();
	_exit(0);
}
