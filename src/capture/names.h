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
	uint64_t offset; /* of address in the module's ELF addresses; address itself without one */
	uint32_t line;
	bool inlined;
};

/*
 * Names a stack (frames as they are stored, leaf first); by what was mapped at time_ns; inlined
 * functions are frames of their own. A chain
 * that leaves the executable mappings was no chain from there on: the rest is cut. *frames is the
 * caller's to free. Returns the count or -ENOMEM.
 */
int names_of_stack(struct symbols *symbols, const struct space *space, pid_t pid, uint64_t time_ns,
		   const uint64_t *pcs, uint32_t cnt, struct names_frame **frames);

#endif
