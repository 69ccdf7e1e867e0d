/* SPDX-License-Identifier: MIT */
/*
 * cfi_cache.h - rows of unwind tables kept on disk, by what names a table.
 *
 * One file for a table, named by its id and the format's version, little endian as in memory:
 *
 *	+-------+---------+----------+--------------+---------+----------+-----+------ - - -
 *	| magic | version | id bytes | id, 72 bytes | row_cnt | rows_sum | sum | rows
 *	+-------+---------+----------+--------------+---------+----------+-----+------ - - -
 *
 * A file is used only if all of it is as it was written: owner, size, id, checksums, order of rows.
 * Any other file is as good as none, and is replaced by the next table of that name. The directory
 * must be the caller's own and writable by nobody else, or nothing is read or written in it.
 *
 * The header has a sum of its own, so that how many rows a file has can be relied on before memory
 * for them is found, and rows are read straight to where they are used.
 */
#ifndef CAPTURE_CFI_CACHE_H
#define CAPTURE_CFI_CACHE_H

#include <stddef.h>

#include "capture/cfi.h"

#define CFI_CACHE_ID_MAX 72

struct cfi_cache {
	int dir_fd; /* -1: nothing is kept */
};

/* dir: NULL, or where tables are kept; one that cannot be opened, or is a link, is as good as NULL.
 */
void cfi_cache_init(struct cfi_cache *cache, const char *dir);
void cfi_cache_fini(struct cfi_cache *cache);

/* A table that is there; its rows are not read yet. */
struct cfi_kept {
	int fd; /* owned */
	size_t row_cnt;
	uint64_t rows_sum;
};

/* -ENOENT for every reason there can be not to have it. */
int cfi_cache_find(const struct cfi_cache *cache, const void *id, size_t id_len,
		   struct cfi_kept *kept);

/* Reads the rows to where there is room for row_cnt; kept is over then. -ENOENT: they are not what
 * was written, and what is in rows is for nothing. */
int cfi_kept_read(struct cfi_kept *kept, struct mt_row *rows);
void cfi_kept_drop(struct cfi_kept *kept); /* instead of reading it */

/* Keeps a table, atomically, in place of what was there. 0 or -errno; -EPERM: the directory is not
 * the caller's alone. */
int cfi_cache_store(const struct cfi_cache *cache, const void *id, size_t id_len,
		    const struct mt_row *rows, size_t cnt);

#endif
