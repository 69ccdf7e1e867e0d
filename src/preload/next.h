/* SPDX-License-Identifier: MIT */
/*
 * next.h - the real functions: those the program would call without this library.
 *
 * Each pointer starts at a function that looks all of them up and then does the call, so a call is
 * one indirect jump at any time, before the constructor, before libc is ready, and after. What the
 * libc of the process lacks (musl has no pvalloc, nobody has free_sized yet) is made of what it
 * has.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct next {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t cnt, size_t size);
	void *(*realloc)(void *old, size_t size);
	void *(*reallocarray)(void *old, size_t cnt, size_t size);
	void *(*memalign)(size_t align, size_t size);
	void *(*aligned_alloc)(size_t align, size_t size);
	int (*posix_memalign)(void **out, size_t align, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	void (*free)(void *block);
	void (*cfree)(void *block);
	void (*free_sized)(void *block, size_t size);
	void (*free_aligned_sized)(void *block, size_t align, size_t size);
	size_t (*malloc_usable_size)(void *block);
};

/* What is known of the allocator once the functions were looked up. */
struct allocator {
	bool resolved;
	/* The program's own calls do not all come here, as an earlier object defines some of the
	 * family; or are not to be told of (foreign.h). */
	bool elsewhere;
	/* It never calls itself through its public names: every call that comes here is an
	 * outermost one. */
	bool flat;
	uintptr_t object; /* that has malloc; see lookup.h */
};

extern struct next next;
extern struct allocator allocator;

/* Looks everything up. Threads may do so at the same time, and all write the same. */
void next_resolve(void);

#endif
