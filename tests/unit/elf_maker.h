/* SPDX-License-Identifier: MIT */
/*
 * elf_maker.h - ELF files made byte by byte, with the unwind information a test wants.
 *
 * A file is: headers, one executable PT_LOAD over everything (vaddr = file offset), then text, the
 * parts below, section headers. Functions are placed at addresses; there is no code.
 *
 *	0         0x1000          0x5000        parts follow one another
 *	| headers | text (zeros) | .eh_frame_hdr | .eh_frame | .debug_frame | names | sections |
 */
#ifndef ELF_MAKER_H
#define ELF_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAKER_TEXT 0x1000
#define ELF_MAKER_TEXT_END 0x5000

struct bytes {
	uint8_t *data; /* owned */
	size_t len, cap;
};

void bytes_fini(struct bytes *b);
void bytes_put(struct bytes *b, const void *data, size_t len);
void bytes_uint(struct bytes *b, uint64_t value, size_t size);

/* Instructions of a call frame program, as a string literal: "\x0e\x10" is def_cfa_offset 16. */
#define PROGRAM(literal) literal, sizeof(literal) - 1

/* A CIE for .eh_frame: "zR" and 8-byte absolute pointers; code alignment 1, data alignment -8, and
 * the rules of a function's first instruction (CFA = rsp + 8, pc at CFA - 8). Its offset. */
size_t cfi_put_cie(struct bytes *frame);

/* The same with other letters, data for them, and instructions. */
size_t cfi_put_cie_like(struct bytes *frame, const char *letters, const void *data, size_t data_len,
			const char *program, size_t program_len);

void cfi_put_fde(struct bytes *frame, size_t cie, uint64_t start, uint64_t len, const char *program,
		 size_t program_len);

/* The end mark of .eh_frame. */
void cfi_put_end(struct bytes *frame);

struct elf_plan {
	const struct bytes *eh_frame, *debug_frame; /* NULL: none */
	bool no_sections;			    /* stripped of its section headers */
	bool no_header;				    /* no PT_GNU_EH_FRAME */
	uint32_t header_cnt;			    /* of functions, in the header; 0: left out */
	uint16_t machine;			    /* 0: this one */
	uint64_t entry;				    /* where the program begins */
	const struct bytes *code;		    /* at ELF_MAKER_TEXT_END; NULL: none */
};

/* A file descriptor of such a file; fails the test when it cannot be made. */
int elf_make(const struct elf_plan *plan);

/* Likewise of any bytes. */
int elf_make_raw(const void *data, size_t len);

#endif
