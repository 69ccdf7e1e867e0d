/* SPDX-License-Identifier: MIT */
/*
 * otel.h - the sites that an allocator's file offers to whoever wants to know of its blocks, as
 * OpenTelemetry published them: otel_memory:alloc(ptr, size, weighted_bytes) and
 * otel_memory:free(ptr).
 *
 * A file has them all or counts as one without: both kinds must be there, and every argument of
 * each must be understood.
 */
#ifndef CAPTURE_OTEL_H
#define CAPTURE_OTEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/elf_file.h"
#include "memtrace/abi.h"

struct otel_site {
	uint64_t offset, semaphore; /* in the file */
	bool frees;
	struct mt_otel_site spec;
};

struct otel {
	struct otel_site *sites; /* at least one of each kind */
	size_t site_cnt;
	bool has_nop5;	   /* laid out as memtrace/preload.h says */
	uint32_t numbered; /* in a session: one more than the number of the first; 0: not yet */
};

/* Looks at an open file. allocator_only: its code is an allocator's and nothing else's, so what of
 * a call path is in it is left out; else only the function that has the site is. NULL: it has no
 * sites, or *why (else NULL) says why they are of no use. */
struct otel *otel_read(const struct elf_file *file, bool allocator_only, const char **why);
void otel_free(struct otel *otel); /* takes NULL */

#endif
