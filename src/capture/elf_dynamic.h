/* SPDX-License-Identifier: MIT */
/*
 * elf_dynamic.h - what an ELF file tells the dynamic linker about libraries.
 *
 *	PT_DYNAMIC  ->  DT_NEEDED libm.so.6, DT_NEEDED libc.so.6, DT_RUNPATH $ORIGIN/../lib ...
 *
 * Read by its segment, as the linker does: sections may be stripped. What the file says is bounded
 * and copied, never trusted.
 */
#ifndef CAPTURE_ELF_DYNAMIC_H
#define CAPTURE_ELF_DYNAMIC_H

#include <stddef.h>

#include "base/arena.h"
#include "capture/elf_file.h"

struct elf_dynamic {
	const char *soname;	     /* NULL where there is none, as the next two */
	const char *rpath, *runpath; /* lists by colons; never both: runpath replaces rpath */
	const char **needed;	     /* names, in their order */
	size_t needed_cnt;
};

/* All of it lives in the arena; empty for a file without a dynamic section. 0 or -ENOMEM. */
int elf_dynamic_read(const struct elf_file *file, struct arena *arena, struct elf_dynamic *out);

#endif
