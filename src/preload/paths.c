// SPDX-License-Identifier: MIT
#include "preload/paths.h"

#include <stdbool.h>
#include <stddef.h>

#define STACK_MIN 64 /* of it there is more above any frame */

struct stack {
	uint64_t begin, bytes;
};

/* A rule is right wherever its pc is, but hand-written code may say what is wrong: that costs the path. */
static inline int stack_word(const struct stack *stack, uint64_t addr, __u64 *word)
{
	if (addr - stack->begin >= stack->bytes)
		return -1;
	*word = *(const __u64 *)(uintptr_t)addr;
	return 0;
}

#define MT_UNWIND_READ(stack, addr, word) stack_word(stack, addr, word)
#include "memtrace/unwind.h"

/* The slot behind which an address is, plus 1; 0: it is not known. */
static __attribute__((noinline)) uint32_t search(const volatile struct mt_path_pc *pcs, uint32_t generation,
						 uint64_t key, uint64_t pc)
{
	uint32_t slot = MT_PATH_SLOT(MT_PATH_PC_HASH(pc), generation);

	for (uint32_t end = slot + MT_PATH_PROBES; slot < end; slot++) {
		if (pcs[slot].key == key)
			return slot + 1;
	}
	return 0;
}

static inline uint32_t find_path(const volatile struct mt_path_entry *paths, uint32_t generation,
				 uint32_t epoch, const __u64 *hash)
{
	uint32_t slot = MT_PATH_SLOT(hash[0], generation);

	for (uint32_t end = slot + MT_PATH_PROBES; slot < end; slot++) {
		const volatile struct mt_path_entry *path = &paths[slot];

		if (path->hash[0] == hash[0] && path->hash[1] == hash[1] && path->epoch == epoch)
			return path->site;
	}
	return 0;
}

uint32_t paths_find(const struct mt_batch *batch, const uintptr_t *frame, uintptr_t stack_end,
		    uint32_t depth)
{
	struct stack stack = { (uintptr_t)frame, stack_end - 7 - (uintptr_t)frame };
	struct mt_frame at = { .pc = frame[1], .sp = (uintptr_t)(frame + 2), .fp = frame[0] };
	uint32_t generation = *(const volatile __u32 *)&batch->generation, epoch = batch->epoch, slot;
	uintptr_t tables = *(const volatile __u64 *)&batch->tables[generation];
	struct mt_path_pc *pcs = (struct mt_path_pc *)tables, *entry;
	__u64 hash[2] = { 0, 0 }, key;
	uint32_t *hint = NULL, end;

	if (!tables) /* wiped, in the middle of a call */
		return 0;
	if (stack_end - (uintptr_t)frame - STACK_MIN >= PATHS_STACK_MAX)
		return 0;
	for (uint32_t n = 1;; n++) {
		key = MT_PATH_KEY(at.pc, epoch);
		slot = hint ? *hint : MT_PATH_SLOT(MT_PATH_PC_HASH(at.pc), generation);
		if (((volatile struct mt_path_pc *)pcs)[slot].key != key) {
			slot = search(pcs, generation, key, at.pc);
			if (!slot--)
				return 0;
			if (hint)
				*hint = slot;
		}
		entry = &pcs[slot];
		mt_path_hash(hash, at.pc);
		switch (mt_unwind_step(&stack, entry->rule, &at)) {
		case MT_STEP_CALLER:
			end = n >= depth ? MT_PATH_DEPTH : MT_PATH_GOES_ON;
			break;
		case MT_STEP_END:
		case MT_STEP_ZERO:
			end = MT_PATH_COMPLETE;
			break;
		default:
			return 0;
		}
		if (end != MT_PATH_GOES_ON)
			break;
		if (at.exact)
			return 0;
		hint = &entry->next;
	}
	mt_path_hash(hash, end);
	return find_path((struct mt_path_entry *)(tables + MT_PATH_ENTRIES_AT(generation)), generation,
			 epoch, hash);
}
