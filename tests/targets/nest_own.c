// SPDX-License-Identifier: MIT
/*
 * nest_own.c - a program with its own malloc family, whose members call one another:
 *
 *	calloc -> malloc           reallocarray -> realloc -> malloc, free
 *	aligned_alloc -> memalign -> malloc       posix_memalign -> memalign -> malloc
 *	free_sized, free_aligned_sized -> free
 *
 * What the program asked for counts, once, with the size the program asked for: memalign asks
 * malloc for more, which is its own affair.
 */
#include "truth.h"

#include "own_heap.h"

/* Direct calls through the exported names, as a real allocator's would be. */
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wattributes"

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

OWN_EXPORT void *malloc(size_t size)
{
	return own_cut(16, size);
}

OWN_EXPORT void free(void *block)
{
	if (block)
		memset((unsigned char *)block - sizeof(size_t), 0xff, sizeof(size_t));
}

OWN_EXPORT void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *block;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	block = malloc(bytes);
	T_HIDE(block); /* or the compiler makes it a call of calloc */
	if (block)
		memset(block, 0, bytes);
	return block;
}

OWN_EXPORT void *realloc(void *old, size_t size)
{
	size_t old_size;
	void *block;

	if (!old)
		return malloc(size);
	if (!size) {
		free(old);
		return NULL;
	}
	block = malloc(size);
	T_HIDE(block);
	if (!block)
		return NULL;
	old_size = own_size(old);
	memcpy(block, old, old_size < size ? old_size : size);
	free(old);
	return block;
}

OWN_EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

OWN_EXPORT void *memalign(size_t alignment, size_t size)
{
	unsigned char *block = size < OWN_HEAP_BYTES ? malloc(size + 2 * alignment) : NULL;
	unsigned char *aligned;

	T_HIDE(block);
	if (!block)
		return NULL;
	aligned = (unsigned char *)(((uintptr_t)block + alignment) & ~(alignment - 1));
	memcpy(aligned - sizeof(size), &size, sizeof(size));
	return aligned;
}

OWN_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	void *block = memalign(alignment, size);

	T_HIDE(block);
	return block;
}

OWN_EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	void *block;

	if (alignment % sizeof(void *) || alignment & (alignment - 1) || !alignment)
		return EINVAL;
	block = memalign(alignment, size);
	T_HIDE(block);
	if (!block)
		return ENOMEM;
	*out = block;
	return 0;
}

OWN_EXPORT void free_sized(void *block, size_t size)
{
	(void)size;
	free(block);
}

OWN_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	free(block);
}

static void one_round(int i)
{
	volatile size_t half = SIZE_MAX / 2;
	size_t size = 16 + (size_t)i;
	void *a = t_calloc(size, 3), *b = t_malloc(size), *c = t_aligned_alloc(64, size * 64);
	void *d = t_posix_memalign(256, size), *e = t_memalign(32, size);

	a = t_realloc(a, size * 5);
	a = t_realloc(a, 20);
	b = t_reallocarray(b, size, 2);
	t_realloc(a, OWN_HEAP_BYTES * 2ul);
	t_reallocarray(a, half, 8);
	t_posix_memalign(24, size);
	t_posix_memalign(64, OWN_HEAP_BYTES * 2ul);
	t_free(t_realloc(NULL, size));
	t_realloc(a, 0);
	t_gone((uintptr_t)c);
	T_HIDE(c);
	free_aligned_sized(c, 64, size * 64);
	if (i % 2) {
		t_gone((uintptr_t)b);
		T_HIDE(b);
		free_sized(b, size * 2);
		t_free(d);
	}
	if (i % 3)
		t_free(e);
}

int main(void)
{
	t_begin();
	for (int i = 0; i < 200; i++)
		one_round(i);
	t_finish();
	return 0;
}
