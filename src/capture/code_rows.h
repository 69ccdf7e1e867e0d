/* SPDX-License-Identifier: MIT */
/*
 * code_rows.h - gives the probes the unwind rows of a file: those that were kept, or else new ones.
 *
 * Tables are made by address in the file (cfi.h); here they are by offset in the file, which is
 * what a mapping tells. Rows are for executable segments only. Where one ends a gap row says so,
 * unless the next one begins there.
 *
 * Kept tables go by what code_id.h reads. So that no user's file can give its table to another's,
 * only files that root or the caller own, and others cannot write, are kept and looked for.
 */
#ifndef CAPTURE_CODE_ROWS_H
#define CAPTURE_CODE_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "capture/cfi_cache.h"
#include "capture/code_id.h"
#include "capture/unwind_rows.h"

/* Adds rows of the file at fd, of which stat and id are known, behind those there are. out->cnt is
 * 0 when it has none. -ENOSPC: no room for them; -ENOEXEC, -EIO, -E2BIG: no table can be made of
 * it; -ENOMEM. */
int code_rows_add(struct unwind_rows *rows, const struct cfi_cache *cache, int fd,
		  const struct stat *stat, const struct code_id *id, struct mt_code_table *out);

#endif
