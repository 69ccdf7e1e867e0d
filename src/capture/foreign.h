/* SPDX-License-Identifier: MIT */
/*
 * foreign.h - programs that bear no library before their own: which they are, by their files alone.
 *
 *	sanitizers: address, thread,		their runtime has to be the first library, or
 *	leak, memory				cannot be called as early as a preloaded one
 *	valgrind's tools, qemu, rr, Pin,	read the code of others and translate it: with it
 *	DynamoRIO				the probes in it
 *	glibc's libc_malloc_debug		is called by versioned names only
 *	programs that call jemalloc's		would be seen in part
 *	mallocx and the like
 *	32-bit programs, those of other		their linker says that it cannot load it
 *	machines
 *
 * Everybody else may have the preload library; where it is of no use it does nothing.
 */
#ifndef CAPTURE_FOREIGN_H
#define CAPTURE_FOREIGN_H

#include <stdbool.h>

/* Does the program, by its name, read the code of others, or start what does? Then nothing is to be
 * probed for its sake: probes are in a file for the whole tree, and would be read. */
bool foreign_translates(const char *exe);

/* Why the program bears no preloaded library, as the end of a sentence "it ..."; NULL: it does, or
 * cannot be read. exe: its path below root, where #! lines are followed; ld_preload may be NULL.
 * Constant text. */
const char *foreign_program(const char *root, const char *exe, const char *ld_preload);

#endif
