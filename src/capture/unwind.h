/* SPDX-License-Identifier: MIT */
/*
 * unwind.h - stacks the probes could not unwind, because a file's table was not there yet.
 *
 * Walks the copied bytes of the stack by the same rows and the same arithmetic as the probes.
 */
#ifndef CAPTURE_UNWIND_H
#define CAPTURE_UNWIND_H

#include <stdint.h>

#include "memtrace/abi.h"

struct code;
struct space;

/* Unwinds a stack; files are those of space, and are given to the probes on the way. pcs has room for
 * MT_STACK_DEPTH_MAX; at most depth are written, leaf first, as they are stored (MT_PC_EXACT). Returns their count; *end says why there
 * are no more. */
uint32_t unwind_cold(struct code *code, const struct space *space, const struct mt_cold *cold,
		     uint32_t depth, uint64_t *pcs, enum mt_stack_end *end);

#endif
