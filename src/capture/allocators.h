/* SPDX-License-Identifier: MIT */
/*
 * allocators.h - what is known of each executable file: does it hold an allocator, and where do
 * probes go, or has it sites of its own for them. Each file (by device, inode, change time and
 * size) is looked at once.
 */
#ifndef CAPTURE_ALLOCATORS_H
#define CAPTURE_ALLOCATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/programs.h"

struct allocators;
struct otel;

struct allocator_file {
	uint64_t dev, ino;
	int64_t changed_ns, size; /* another file may get the inode, or it may be written to */
	struct probe_site *sites; /* none: no allocator in it */
	size_t site_cnt;
	struct otel *otel; /* the allocator's own sites; NULL: there are none */
	bool is_static; /* no program interpreter */
	/* exports malloc, calloc, realloc or free; in a program: calls of that name, everybody's, go to it */
	bool interposes;
	const char *refused; /* why it cannot be traced although it might hold an allocator; or NULL */
};

/* log (may be NULL) gets one line per odd thing found: a probe that must be single-stepped, ... */
struct allocators *allocators_new(void (*log)(void *ctx, const char *line), void *ctx);
void allocators_free(struct allocators *allocators);

/* Looks at an open file; name is for the log. NULL when memory ran out or the file is unreadable. */
const struct allocator_file *allocators_file(struct allocators *allocators, int fd,
					     const char *name);

#endif
