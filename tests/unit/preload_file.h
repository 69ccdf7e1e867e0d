/* SPDX-License-Identifier: MIT */
/*
 * preload_file.h - libmemtrace-preload.so as a file: its sites, and copies of it to try things
 * with.
 *
 * What memtrace does to processes can be done to the file: a semaphore that is not 0 says that
 * someone listens, and an int3 in place of a site's first byte stops who gets there. A process that
 * loads such a copy needs nothing more.
 */
#ifndef PRELOAD_FILE_H
#define PRELOAD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/preload.h"

#define PRELOAD_SITES_MAX 64

struct preload_site {
	char provider[32], name[32], args[64];
	uint64_t address, semaphore; /* as linked */
	unsigned char bytes[16];     /* there */
};

struct preload_file {
	unsigned char *image;
	size_t size;
	struct preload_site sites[PRELOAD_SITES_MAX];
	size_t site_cnt;
	uint64_t base, base_section; /* what notes say, and where it is */
};

enum preload_listen {
	LISTEN_NOBODY = 0,
	LISTEN_MEMTRACE = 1 << 0, /* the semaphore */
	LISTEN_OTEL = 1 << 1,	  /* both semaphores */
	LISTEN_TRAP = 1 << 2,	  /* int3 at the sites of those above */
};

/* Fail the test when they cannot. */
void preload_read(struct preload_file *file);
void preload_file_free(struct preload_file *file);
/* The offset in the file of what is linked at address. */
size_t preload_offset(const struct preload_file *file, uint64_t address);
/* A section's place in the file; false: there is none of that name. */
bool preload_section(const struct preload_file *file, const char *name, uint64_t *offset,
		     uint64_t *bytes, uint64_t *flags);
/* Writes a copy to path; config NULL: as built. */
void preload_copy(const struct preload_file *file, const char *path, unsigned int listen,
		  const struct mt_preload_config *config);
struct mt_preload_config preload_config(enum mt_preload_mode mode);

/* A directory for a test, removed with what is in it. */
const char *preload_stage(void);
void preload_unstage(void);

#endif
