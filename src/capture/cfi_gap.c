// SPDX-License-Identifier: MIT
#include "capture/cfi_gap.h"

#include <string.h>

#define GAP_BYTES_MIN (64U << 10)
#define BYTES_PER_FUNCTION 4096 /* at most: builtins have 862, hand-written code has no such function */

#define PUSH 0x55
#define PROLOGUE_BYTES 4
#define PIECE_BYTES (16U << 10)

/* The second instruction has two encodings. */
static bool is_prologue(const uint8_t *code)
{
	static const uint8_t store[PROLOGUE_BYTES] = { PUSH, 0x48, 0x89, 0xe5 };
	static const uint8_t load[PROLOGUE_BYTES] = { PUSH, 0x48, 0x8b, 0xec };

	return !memcmp(code, store, sizeof(store)) || !memcmp(code, load, sizeof(load));
}

static uint64_t count_prologues(const uint8_t *code, size_t len)
{
	const uint8_t *at = code, *end = code + len;
	uint64_t cnt = 0;

	while (end - at >= PROLOGUE_BYTES &&
	       (at = memchr(at, PUSH, end - at - PROLOGUE_BYTES + 1))) {
		cnt += is_prologue(at);
		at++;
	}
	return cnt;
}

bool cfi_gap_keeps_frames(const struct elf_file *file, uint64_t start, uint64_t end,
			  uint64_t *budget)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t found = 0;

	if (end < start || end - start < GAP_BYTES_MIN || end - start > *budget)
		return false;
	*budget -= end - start;
	for (uint64_t at = start; at < end;) {
		size_t len = end - at < sizeof(piece) ? end - at : sizeof(piece);

		if (elf_file_read(file, at, piece, len) != len)
			return false;
		found += count_prologues(piece, len);
		/* one that lies across two pieces is in the next */
		at += len == end - at ? len : len - PROLOGUE_BYTES + 1;
	}
	return found * BYTES_PER_FUNCTION >= end - start;
}
