// SPDX-License-Identifier: MIT
/* extra.c - calls jemalloc's own functions where there are any (LD_PRELOAD), else malloc. */
#include "truth.h"

void *mallocx(size_t size, int flags) __attribute__((weak));
void sdallocx(void *block, size_t size, int flags) __attribute__((weak));

int main(void)
{
	t_begin();
	for (int i = 0; i < 50; i++) {
		void *block = mallocx ? mallocx(100, 0) : malloc(100);

		T_HIDE(block);
		t_got(block, 100);
		if (i % 3 == 0)
			continue;
		t_gone((uintptr_t)block);
		if (sdallocx && i % 3 == 1)
			sdallocx(block, 100, 0);
		else
			free(block);
	}
	t_finish();
	return 0;
}
