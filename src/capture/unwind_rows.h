/* SPDX-License-Identifier: MIT */
/*
 * unwind_rows.h - the rows of unwind tables as the probes read them: in segments of the kernel's,
 * which lie one after another here.
 *
 *	row       | libc.so.6 | python3.11 | ...                | reserved, inaccessible
 *	segments  |       0       |       1       |      2      |
 *
 * Rows stay where they are for the session; what is behind cnt nobody reads. One thread adds.
 */
#ifndef CAPTURE_UNWIND_ROWS_H
#define CAPTURE_UNWIND_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "capture/publisher.h"
#include "memtrace/abi.h"
#include "memtrace/unwind.h"

struct unwind_rows {
	struct table_memory *memory;
	int files_fd;
	struct mt_row *row;   /* address space for all segments is reserved */
	uint32_t cnt;	      /* in use */
	uint32_t segment_cnt; /* mapped */
	uint32_t seen_cnt;    /* of these, segments the probes see */
	struct publisher publisher;
};

/* Maps the first segment. The probes' maps are borrowed: row segments, the first of them, and which
 * rows are whose. 0 or -errno. */
int unwind_rows_init(struct unwind_rows *rows, struct table_memory *memory, int outer_fd,
		     int first_fd, int files_fd);
void unwind_rows_fini(struct unwind_rows *rows);

/* Room for cnt rows behind those there are, to be written, sorted, and then taken. 0 or -ENOSPC. */
int unwind_rows_room(struct unwind_rows *rows, size_t cnt, struct mt_row **room);

/* The first cnt rows of the room are a table now, which the probes can read. 0 or -ENOSPC. */
int unwind_rows_take(struct unwind_rows *rows, size_t cnt, struct mt_code_table *out);

/* Tells the probes which rows are a file's. 0 or -errno. */
int unwind_rows_publish(const struct unwind_rows *rows, const struct mt_code_file *file,
			const struct mt_code_table *table);

/* The rule for an offset in the file: what rows_search() finds in the probe. */
uint32_t unwind_rows_rule(const struct unwind_rows *rows, const struct mt_code_table *table,
			  uint32_t offset);

#endif
