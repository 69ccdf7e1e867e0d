/* SPDX-License-Identifier: MIT */
/*
 * cfi_cache.h - unwind tables kept on disk, by build id.
 *
 * One file for a table, named by build id and format version, little endian as in memory:
 *
 *	+--------+---------+----------+--------------+--------+---------+----------+------ - - -
 *	| magic  | version | id bytes | id, 64 bytes | counts | row_cnt | checksum | rows
 *	+--------+---------+----------+--------------+--------+---------+----------+------ - - -
 *
 * A file is used only if all of it is as it was written: owner, size, id, checksum, order of rows.
 * Any other file is as good as none, and is replaced by the next table of that name. The directory
 * must be the caller's own and writable by nobody else, or nothing is read or written in it.
 *
 * A build id is what a file says of itself. So that no user's file can give its table to another's,
 * only files that root or the caller own, and others cannot write, are cached.
 */
#ifndef CAPTURE_CFI_CACHE_H
#define CAPTURE_CFI_CACHE_H

#include <stddef.h>

#include "capture/cfi.h"

#define CFI_CACHE_ID_MAX 64

/* What was kept for a build id. -ENOENT for every reason there can be not to have it; -ENOMEM. */
int cfi_cache_load(struct cfi_table *table, const char *dir, const void *id, size_t id_len);

/* Keeps a table, atomically, in place of what was there. 0 or -errno; -EPERM: the directory is not
 * the caller's alone. */
int cfi_cache_store(const struct cfi_table *table, const char *dir, const void *id, size_t id_len);

/* The table of the file at fd: loaded, or else built and, where that is possible, kept. dir may be
 * NULL, id_len 0. As cfi_table_build(). */
int cfi_cache_table(struct cfi_table *table, int fd, const char *dir, const void *id,
		    size_t id_len);

#endif
