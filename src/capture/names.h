/* SPDX-License-Identifier: MIT */
/* names.h - from return addresses to frames with names, the allocator's own frames left out. */
#ifndef CAPTURE_NAMES_H
#define CAPTURE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

struct space;
struct symbols;

struct names_frame {
	uint64_t address;
	const char *symbol, *module, *file;
	uint64_t offset;
	uint32_t line;
	bool inlined;
};

/* *frames points into the symbol cache's scratch: good until the next call. Returns the count, or
 * -ENOMEM. */
int names_of_stack(struct symbols *symbols, const struct space *space, const uint64_t *pcs,
		   uint32_t cnt, struct names_frame **frames);

#endif
