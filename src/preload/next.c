// SPDX-License-Identifier: MIT
#include "preload/next.h"

#include <errno.h>

#include "preload/foreign.h"
#include "preload/lookup.h"

#define PAGE_BYTES \
	4096 /* at least; x86-64 has no other, and for the stand-ins more is not needed */

/* ---- before anything was looked up ---------------------------------------------------------- */

#define FIRST(result, name, parameters, arguments) \
	static result first_##name parameters      \
	{                                          \
		next_resolve();                    \
		return next.name arguments;        \
	}

FIRST(void *, malloc, (size_t size), (size))
FIRST(void *, calloc, (size_t cnt, size_t size), (cnt, size))
FIRST(void *, realloc, (void *old, size_t size), (old, size))
FIRST(void *, reallocarray, (void *old, size_t cnt, size_t size), (old, cnt, size))
FIRST(void *, memalign, (size_t align, size_t size), (align, size))
FIRST(void *, aligned_alloc, (size_t align, size_t size), (align, size))
FIRST(int, posix_memalign, (void **out, size_t align, size_t size), (out, align, size))
FIRST(void *, valloc, (size_t size), (size))
FIRST(void *, pvalloc, (size_t size), (size))
FIRST(void, free, (void *block), (block))
FIRST(void, cfree, (void *block), (block))
FIRST(void, free_sized, (void *block, size_t size), (block, size))
FIRST(void, free_aligned_sized, (void *block, size_t align, size_t size), (block, align, size))
FIRST(size_t, malloc_usable_size, (void *block), (block))

struct next next = {
	.malloc = first_malloc,
	.calloc = first_calloc,
	.realloc = first_realloc,
	.reallocarray = first_reallocarray,
	.memalign = first_memalign,
	.aligned_alloc = first_aligned_alloc,
	.posix_memalign = first_posix_memalign,
	.valloc = first_valloc,
	.pvalloc = first_pvalloc,
	.free = first_free,
	.cfree = first_cfree,
	.free_sized = first_free_sized,
	.free_aligned_sized = first_free_aligned_sized,
	.malloc_usable_size = first_malloc_usable_size,
};

struct allocator allocator;

/* ---- what a libc may lack ------------------------------------------------------------------- */

static void *fail(int error)
{
	errno = error;
	return NULL;
}

/* Nobody at all defines malloc or the like: there is no memory to be had. */
static void *stand_in_alloc(size_t a, size_t b)
{
	(void)a;
	(void)b;
	return fail(ENOMEM);
}

static void stand_in_free(void *block)
{
	(void)block;
}

static void *stand_in_reallocarray(void *old, size_t cnt, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(cnt, size, &bytes))
		return fail(ENOMEM);
	return next.realloc(old, bytes);
}

static int stand_in_posix_memalign(void **out, size_t align, size_t size)
{
	int before = errno;
	void *block;

	if (align % sizeof(void *) || !align || align & (align - 1))
		return EINVAL;
	block = next.memalign(align, size);
	errno = before;
	if (!block)
		return ENOMEM;
	*out = block;
	return 0;
}

static void *stand_in_valloc(size_t size)
{
	return next.memalign(PAGE_BYTES, size);
}

static void *stand_in_pvalloc(size_t size)
{
	size_t bytes = (size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);

	if (bytes < size)
		return fail(ENOMEM);
	return next.memalign(PAGE_BYTES, bytes);
}

static void stand_in_free_sized(void *block, size_t size)
{
	(void)size;
	next.free(block);
}

static void stand_in_free_aligned_sized(void *block, size_t align, size_t size)
{
	(void)align;
	(void)size;
	next.free(block);
}

static size_t stand_in_usable_size(void *block)
{
	(void)block;
	return 0;
}

/* ---- the look-up ---------------------------------------------------------------------------- */

/* clang-format off */
enum name {
	MALLOC, CALLOC, REALLOC, REALLOCARRAY, MEMALIGN, ALIGNED_ALLOC, POSIX_MEMALIGN, VALLOC,
	PVALLOC, FREE, CFREE, FREE_SIZED, FREE_ALIGNED_SIZED, USABLE_SIZE, NAME_CNT,
};
/* clang-format on */

static const char *const names[NAME_CNT] = {
	[MALLOC] = "malloc",
	[CALLOC] = "calloc",
	[REALLOC] = "realloc",
	[REALLOCARRAY] = "reallocarray",
	[MEMALIGN] = "memalign",
	[ALIGNED_ALLOC] = "aligned_alloc",
	[POSIX_MEMALIGN] = "posix_memalign",
	[VALLOC] = "valloc",
	[PVALLOC] = "pvalloc",
	[FREE] = "free",
	[CFREE] = "cfree",
	[FREE_SIZED] = "free_sized",
	[FREE_ALIGNED_SIZED] = "free_aligned_sized",
	[USABLE_SIZE] = "malloc_usable_size",
};

/* One store: other threads call through it. */
static void set(void *pointer, void *found, void *stand_in)
{
	__atomic_store_n((void **)pointer, found ? found : stand_in, __ATOMIC_RELEASE);
}

/*
 * glibc's family calls its own insides only, but for those that family.c knows. Before 2.34 a hook
 * could be set that calls the public names; the hooks' symbols are hidden versions since. A
 * debugging malloc put in between is another object.
 */
static bool is_flat(const struct definition *definitions)
{
	uintptr_t object = definitions[MALLOC].object;

	for (size_t i = 0; i < NAME_CNT; i++) {
		if (definitions[i].address && definitions[i].object != object)
			return false;
	}
	return lookup_defines(object, "gnu_get_libc_version") &&
	       !lookup_defines(object, "__malloc_hook");
}

/* Whoever has one of these takes calls away from us, whatever else it leaves. */
static bool is_elsewhere(void)
{
	return !lookup_is_first("malloc") || !lookup_is_first("calloc") ||
	       !lookup_is_first("realloc") || !lookup_is_first("free") || foreign_is_reading();
}

void next_resolve(void)
{
	struct definition d[NAME_CNT];
	void *free_found;

	for (size_t i = 0; i < NAME_CNT; i++)
		d[i] = (struct definition){ .name = names[i] };
	lookup_next(d, NAME_CNT);
	allocator.object = d[MALLOC].object;
	allocator.elsewhere = is_elsewhere();
	/* elsewhere: what libc's functions call by name is not what comes next */
	allocator.flat = is_flat(d) && !allocator.elsewhere;
	free_found = d[FREE].address ? d[FREE].address : (void *)stand_in_free;
	set(&next.free, free_found, NULL);
	set(&next.cfree, d[CFREE].address, free_found);
	set(&next.free_sized, d[FREE_SIZED].address, (void *)stand_in_free_sized);
	set(&next.free_aligned_sized, d[FREE_ALIGNED_SIZED].address,
	    (void *)stand_in_free_aligned_sized);
	set(&next.malloc_usable_size, d[USABLE_SIZE].address, (void *)stand_in_usable_size);
	set(&next.realloc, d[REALLOC].address, (void *)stand_in_alloc);
	set(&next.reallocarray, d[REALLOCARRAY].address, (void *)stand_in_reallocarray);
	set(&next.memalign, d[MEMALIGN].address,
	    d[ALIGNED_ALLOC].address ? d[ALIGNED_ALLOC].address : (void *)stand_in_alloc);
	set(&next.aligned_alloc, d[ALIGNED_ALLOC].address, next.memalign);
	set(&next.posix_memalign, d[POSIX_MEMALIGN].address, (void *)stand_in_posix_memalign);
	set(&next.valloc, d[VALLOC].address, (void *)stand_in_valloc);
	set(&next.pvalloc, d[PVALLOC].address, (void *)stand_in_pvalloc);
	set(&next.calloc, d[CALLOC].address, (void *)stand_in_alloc);
	set(&next.malloc, d[MALLOC].address, (void *)stand_in_alloc);
	__atomic_store_n(&allocator.resolved, true, __ATOMIC_RELEASE);
}
