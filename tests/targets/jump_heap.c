// SPDX-License-Identifier: MIT
/* jump_heap.c - a library with an allocator whose calloc calls malloc by its name, and that leaves
 * its calls by longjmp when told to; see jump_over.c. It never gives memory back. */
#include <setjmp.h>

#include "own_heap.h"

__attribute__((visibility("default")))
jmp_buf *jump_heap_back; /* not NULL: the next malloc leaves by it */

OWN_EXPORT void *malloc(size_t size)
{
	jmp_buf *back = jump_heap_back;

	if (back) {
		jump_heap_back = NULL;
		longjmp(*back, 1);
	}
	return own_cut(16, size);
}

OWN_EXPORT void free(void *block)
{
	__asm__ volatile("" : : "r"(block) : "memory");
}

OWN_EXPORT void *calloc(size_t cnt, size_t size)
{
	void *block = malloc(cnt * size);

	__asm__ volatile("" : "+r"(block));
	if (block)
		memset(block, 0, cnt * size);
	return block;
}

OWN_EXPORT void *realloc(void *old, size_t size)
{
	void *block = malloc(size);

	__asm__ volatile("" : "+r"(block));
	if (old && block)
		memcpy(block, old, own_size(old) < size ? own_size(old) : size);
	return block;
}
