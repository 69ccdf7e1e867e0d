/* SPDX-License-Identifier: MIT */
/*
 * cfi_gap.h - code that no unwind information speaks of: was it generated, and by what?
 *
 * Compilers embedded in a program can put code into its file without unwind information: V8's builtins
 * are 1.6 MB in the middle of node. They walk their own stacks by frame pointers, so their functions
 * begin with "push %rbp; mov %rsp,%rbp", one in 0.9 KiB there. Hand-written code (libcrypto, libgmp:
 * up to 150 KiB at a stretch) has none, and is left without rows.
 */
#ifndef CAPTURE_CFI_GAP_H
#define CAPTURE_CFI_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/elf_file.h"

/* Does the code from start to end, within one executable segment, keep frame pointers? *budget: bytes
 * that may still be read; less by those that were. */
bool cfi_gap_keeps_frames(const struct elf_file *file, uint64_t start, uint64_t end,
			  uint64_t *budget);

#endif
