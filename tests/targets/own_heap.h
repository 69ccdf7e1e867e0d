/* SPDX-License-Identifier: MIT */
/*
 * own_heap.h - a heap for targets that bring their own malloc family: blocks are cut from one
 * static area, never given back, and headed by their size.
 */
#ifndef OWN_HEAP_H
#define OWN_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OWN_HEAP_BYTES (64u << 20)
#define OWN_EXPORT __attribute__((noinline, used, visibility("default")))

static unsigned char own_heap[OWN_HEAP_BYTES] __attribute__((aligned(4096)));
static size_t own_heap_used = 64;

static inline __attribute__((always_inline)) void *own_cut(size_t alignment, size_t size)
{
	size_t at = own_heap_used + sizeof(size_t);

	if (alignment < 16)
		alignment = 16;
	at = (at + alignment - 1) & ~(alignment - 1);
	if (at > OWN_HEAP_BYTES || size > OWN_HEAP_BYTES - at)
		return NULL;
	own_heap_used = at + size;
	memcpy(own_heap + at - sizeof(size_t), &size, sizeof(size));
	return own_heap + at;
}

static inline size_t own_size(const void *block)
{
	size_t size;

	memcpy(&size, (const unsigned char *)block - sizeof(size), sizeof(size));
	return size;
}

#endif
