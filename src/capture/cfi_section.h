/* SPDX-License-Identifier: MIT */
/*
 * cfi_section.h - the bytes of .eh_frame or .debug_frame, wherever a file has them.
 *
 * Bytes are copied out of the file, so they stay what they are while they are looked at.
 */
#ifndef CAPTURE_CFI_SECTION_H
#define CAPTURE_CFI_SECTION_H

#include <gelf.h>
#include <stdbool.h>
#include <stdint.h>

#include "capture/elf_file.h"

/* Unwind sections are a few percent of the code: 5 MB for libLLVM's 110 MB. */
#define CFI_SECTION_BYTES_MAX (128U << 20)

struct cfi_section {
	Elf_Data data;	    /* d_buf is owned; d_size 0 when the file has no such section */
	uint64_t vaddr;	    /* of its first byte */
	uint64_t entry_max; /* functions it can have at most */
	bool eh_frame;
};

/* .eh_frame by its name, or where the header for exception handling says: a stripped file may have
 * no section headers. 0 also when there is none; -E2BIG, -EIO, -ENOMEM. */
int cfi_section_eh_frame(struct cfi_section *section, const struct elf_file *file);

/* .debug_frame, unpacked if need be. Likewise. */
int cfi_section_debug_frame(struct cfi_section *section, const struct elf_file *file);

void cfi_section_fini(struct cfi_section *section);

#endif
