// SPDX-License-Identifier: MIT
/*
 * static_base.c - what a statically linked glibc allocates before main() and gives back after it:
 * the linker sends every call of the family, the library's own included, through here (--wrap). Its
 * truth has two lines, at main() and at the end. It is run by itself, as the measure for others;
 * never traced.
 */
#include "truth.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);

void *__wrap_malloc(size_t size)
{
	void *block = __real_malloc(size);

	t_got(block, size);
	return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
	void *block = __real_calloc(count, size);

	t_got(block, count * size);
	return block;
}

void *__wrap_realloc(void *old, size_t size)
{
	uintptr_t old_address = (uintptr_t)old;
	void *block = __real_realloc(old, size);

	t_moved(old_address, size, block);
	return block;
}

void __wrap_free(void *block)
{
	t_gone((uintptr_t)block);
	__real_free(block);
}

/* The last of all to run: libgcc of gcc 13 and later frees its index of frames in a destructor. */
static __attribute__((destructor(101))) void finish(void)
{
	t_write();
}

int main(void)
{
	t_write();
	return 0;
}
