/* SPDX-License-Identifier: MIT */
/*
 * family.h - the functions that allocate and free, by name: a constant table, nothing else.
 *
 * Groups:
 *   C      malloc and its relatives, as every libc has them
 *   EXTRA  further entry points of one allocator: mallocx, tc_malloc, mi_malloc, je_malloc ...;
 *	    a file that defines any of them brings an allocator of its own
 *   CXX    operator new and delete; an allocator's own only beside a malloc in the same file
 *	    (libstdc++'s call malloc, and are no allocator)
 *
 * Left out: what cannot be said with an enum mt_call (xallocx resizes without telling the block's
 * new address, mi_heap_* have the size in another argument, strdup and the like call malloc).
 */
#ifndef CAPTURE_FAMILY_H
#define CAPTURE_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "memtrace/abi.h"

enum family_group { FAMILY_C, FAMILY_EXTRA, FAMILY_CXX };

struct family_name {
	const char *name;
	enum mt_call call;
	enum family_group group;
	int rank; /* of the names of one function the one with the lowest is shown */
};

/* NULL when name is none of the family. A version (free@@GLIBC_2.2.5) is ignored. */
const struct family_name *family_find(const char *name);

/* The table by index; NULL behind its end. */
const struct family_name *family_at(size_t index);

/* Yields a block / gives one up. realloc is both. */
bool family_call_allocates(enum mt_call call);
bool family_call_frees(enum mt_call call);

#endif
