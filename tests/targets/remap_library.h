/* SPDX-License-Identifier: MIT */
/*
 * remap_library.h - a library to be replaced by its sister at the same address: the same code at the
 * same places, but for the size of a frame and the names.
 */
#ifndef REMAP_LIBRARY_H
#define REMAP_LIBRARY_H

#include <stdlib.h>

#define NOIPA __attribute__((noipa, visibility("default")))

NOIPA void *INNER(size_t size);
NOIPA void *OUTER(size_t size);

NOIPA void *INNER(size_t size)
{
	volatile char room[ROOM];
	void *block;

	room[0] = 1;
	block = malloc(size);
	__asm__ volatile("" : "+r"(block) : : "memory");
	room[1] = 2;
	return block;
}

NOIPA void *OUTER(size_t size)
{
	void *block = INNER(size);

	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

#endif
