// SPDX-License-Identifier: MIT
/* apart_library.c - a library that allocates for itself; see apart.c. */
#include <stdlib.h>

__attribute__((visibility("default"))) void apart_use(int count)
{
	for (int i = 0; i < count; i++) {
		void *block = malloc(700);

		__asm__ volatile("" : : "r"(block) : "memory");
		if (i % 2)
			free(block);
	}
}
