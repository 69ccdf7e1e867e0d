/* SPDX-License-Identifier: MIT */
/*
 * code_id.h - what tells a file's code from another's: its build id, and where it has its
 * executable segments.
 *
 * Usually one read of the file tells both. A build id is what a file says of itself, and it stays
 * when a tool moves what is in the file; then segments differ.
 */
#ifndef CAPTURE_CODE_ID_H
#define CAPTURE_CODE_ID_H

#include <stddef.h>
#include <stdint.h>

#define CODE_ID_BYTES_MAX 64
#define CODE_ID_SEGMENTS_MAX 64 /* further ones are ignored */

/* An executable segment, as far as 32 bits can say addresses and offsets; others are left out. */
struct code_segment {
	uint32_t vaddr, offset, size;
};

struct code_id {
	uint8_t build_id[CODE_ID_BYTES_MAX];
	size_t build_id_len;				    /* 0: none */
	struct code_segment segments[CODE_ID_SEGMENTS_MAX]; /* by offset */
	size_t segment_cnt;
};

/* 0, or -ENOEXEC: the file at fd is no ELF file. One of 32 bits has neither id nor segments. */
int code_id_read(struct code_id *id, int fd);

#endif
