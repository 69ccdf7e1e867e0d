/* SPDX-License-Identifier: MIT */
/*
 * cfi.h - the unwind table of an ELF file: what its .eh_frame (and .debug_frame) say, as sorted
 * rows.
 *
 * Rows are as unwind.h draws them. pcs rise strictly, neighbouring rules differ, the first rule is
 * not NONE and the last one is. Files come from anywhere: whatever is in them, building takes
 * bounded memory and time, and an entry that cannot be used is counted and left out (its range then
 * says NONE), or has UNSUPPORTED rows.
 */
#ifndef CAPTURE_CFI_H
#define CAPTURE_CFI_H

#include <stddef.h>
#include <stdint.h>

#include "memtrace/unwind.h"

/* 128 MiB of rows: ten times what a library of 200 MB has. */
#define CFI_ROWS_MAX (16U << 20)

/* What stood in the way while a table was built. X(field) */
#define CFI_COUNTS(X)                                                                             \
	X(functions) /* entries (FDEs) that gave rows */                                          \
	X(malformed) /* entries left out: cut short, unknown augmentation or pointer encoding */  \
	X(out_of_reach) /* ... for addresses beyond 4 GiB */                                      \
	X(overlapping)	/* entries shortened or left out, as another one has the range already */ \
	X(unsupported)	/* rows whose rule no row can say */

struct cfi_counts {
#define X(field) uint32_t field;
	CFI_COUNTS(X)
#undef X
};

struct cfi_table {
	struct mt_row *rows; /* owned */
	size_t row_cnt;
	struct cfi_counts counts;
};

/*
 * Reads the file and makes its table; fd is borrowed, its offset stays. A file without unwind
 * information has an empty table. -ENOEXEC: no 64-bit ELF file of this machine. -E2BIG: more than
 * any real file has. -EIO: it could not be read. -ENOMEM. The table is written only on success.
 */
int cfi_table_build(struct cfi_table *table, int fd);

/* Frees the rows; the table is empty then. */
void cfi_table_fini(struct cfi_table *table);

/* The rule at a virtual address of the file. */
uint32_t cfi_table_rule(const struct cfi_table *table, uint64_t pc);

/* The first row that begins behind an address; row_cnt when there is none. */
size_t cfi_table_behind(const struct cfi_table *table, uint64_t pc);

/* "sp", "fp_deref"; "unknown" for what is no kind. */
const char *cfi_kind_name(unsigned kind);

#endif
