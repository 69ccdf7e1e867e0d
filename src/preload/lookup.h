/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - which object of the process defines a symbol.
 *
 * dlsym() would do, but it may allocate, takes the loader's locks, forgets the program's dlerror(),
 * is in another library in older glibc, and does not see what was loaded RTLD_LOCAL. So the hash
 * tables of the objects are read here; nothing is allocated. Objects come in the order they were
 * loaded in, which at the start of a program is the order in which the loader looks too.
 */
#ifndef PRELOAD_LOOKUP_H
#define PRELOAD_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct definition {
	const char *name;
	void *address;	  /* NULL: nobody defines it */
	uintptr_t object; /* identifies the object: where its program headers are */
};

/* Fills in where the names are defined in objects after this library; those already filled in are
 * left. */
void lookup_next(struct definition *definitions, size_t cnt);
/* Is name in this library what the program's calls reach: does no earlier object define it? */
bool lookup_is_first(const char *name);
/* Does that object define name? */
bool lookup_defines(uintptr_t object, const char *name);

#endif
