/* SPDX-License-Identifier: MIT */
/* names.h - from return addresses to frames with names. */
#ifndef CAPTURE_NAMES_H
#define CAPTURE_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct space;
struct symbols;

/* Strings belong to the symbol cache and the space. */
struct names_frame {
	uint64_t address; /* in the process */
	const char *symbol, *module, *file;
	uint64_t offset; /* of address in the module's ELF addresses; address itself without a file */
	uint32_t line;
	bool inlined;
};

/* The module of code that was made at run time; the kernel's own names for code without a file,
 * [vdso] and the like, are modules too. */
#define NAMES_JIT "[jit]"

/*
 * Names a stack (frames as they are stored, leaf first) by what was mapped at time_ns; inlined functions
 * are frames of their own. What is in no known mapping is a frame without symbol and module. by_chain: the
 * stack was found by frame pointers alone; where such a chain ends outside of all mappings it was no chain
 * there, and these last frames are cut. *frames is the caller's to free. Returns the count or -ENOMEM.
 */
int names_of_stack(struct symbols *symbols, const struct space *space, pid_t pid, uint64_t time_ns,
		   const uint64_t *pcs, uint32_t cnt, bool by_chain, struct names_frame **frames);

#endif
