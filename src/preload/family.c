// SPDX-License-Identifier: MIT
/* family.c - the functions of C that programs call. */
#include "preload/trace.h"

static inline size_t product(size_t cnt, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(cnt, size, &bytes) ? SIZE_MAX : bytes;
}

#define WORD(x) ((uintptr_t)(x))

EXPORT void *malloc(size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.malloc(size);
	return trace_alloc(size, REAL_CALL(next.malloc), size, 0, 0);
}

EXPORT void *calloc(size_t cnt, size_t size)
{
	if (!anyone_listens() || trace_passes(product(cnt, size)))
		return next.calloc(cnt, size);
	return trace_alloc(product(cnt, size), REAL_CALL(next.calloc), cnt, size, 0);
}

EXPORT void *realloc(void *old, size_t size)
{
	if (!anyone_listens() || ((!old || trace_free_passes(old)) && trace_passes(size)))
		return next.realloc(old, size);
	if (!old)
		return trace_alloc(size, REAL_CALL(next.realloc), 0, size, 0);
	return trace_realloc(old, size, REAL_CALL(next.realloc), size, 0);
}

/*
 * Of all the family in glibc this alone calls another by its public name: realloc. That one is
 * called instead, unless it is to fail; it is no more than that anywhere.
 */
EXPORT void *reallocarray(void *old, size_t cnt, size_t size)
{
	size_t bytes;

	if (!anyone_listens())
		return next.reallocarray(old, cnt, size);
	bytes = product(cnt, size);
	if ((!old || trace_free_passes(old)) && trace_passes(bytes))
		return next.realloc(old, bytes);
	if (bytes != cnt * size || !allocator.flat) {
		if (!old)
			return trace_alloc(bytes, REAL_CALL(next.reallocarray), 0, cnt, size);
		return trace_realloc(old, bytes, REAL_CALL(next.reallocarray), cnt, size);
	}
	if (!old)
		return trace_alloc(bytes, REAL_CALL(next.realloc), 0, bytes, 0);
	return trace_realloc(old, bytes, REAL_CALL(next.realloc), bytes, 0);
}

EXPORT void *memalign(size_t align, size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.memalign(align, size);
	return trace_alloc(size, REAL_CALL(next.memalign), align, size, 0);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.aligned_alloc(align, size);
	return trace_alloc(size, REAL_CALL(next.aligned_alloc), align, size, 0);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.posix_memalign(out, align, size);
	return trace_posix_memalign(out, align, size);
}

EXPORT void *valloc(size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.valloc(size);
	return trace_alloc(size, REAL_CALL(next.valloc), size, 0, 0);
}

EXPORT void *pvalloc(size_t size)
{
	if (!anyone_listens() || trace_passes(size))
		return next.pvalloc(size);
	return trace_alloc(size, REAL_CALL(next.pvalloc), size, 0, 0);
}

EXPORT void free(void *block)
{
	if (!anyone_listens() || !block || trace_free_passes(block))
		next.free(block);
	else
		trace_free(block, REAL_CALL(next.free), 0, 0);
}

EXPORT void cfree(void *block)
{
	if (!anyone_listens() || !block || trace_free_passes(block))
		next.cfree(block);
	else
		trace_free(block, REAL_CALL(next.cfree), 0, 0);
}

/* What the sizes say is checked by nobody yet; glibc goes on to free, maybe by its public name. */
EXPORT void free_sized(void *block, size_t size)
{
	if (!anyone_listens() || !block || trace_free_passes(block))
		next.free_sized(block, size);
	else if (allocator.flat)
		trace_free(block, REAL_CALL(next.free), 0, 0);
	else
		trace_free(block, REAL_CALL(next.free_sized), size, 0);
}

EXPORT void free_aligned_sized(void *block, size_t align, size_t size)
{
	if (!anyone_listens() || !block || trace_free_passes(block))
		next.free_aligned_sized(block, align, size);
	else if (allocator.flat)
		trace_free(block, REAL_CALL(next.free), 0, 0);
	else
		trace_free(block, REAL_CALL(next.free_aligned_sized), align, size);
}
