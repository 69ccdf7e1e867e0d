// SPDX-License-Identifier: MIT
#include "preload/paths.h"

#include <stdbool.h>
#include <stddef.h>

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

static inline bool is_node(const volatile struct mt_path_node *node, uint32_t epoch, uint32_t parent,
			   uint64_t pc)
{
	return node->pc == pc && node->parent == parent && node->epoch == epoch;
}

static __attribute__((noinline)) uint32_t search(const volatile struct mt_path_node *nodes,
						 uint32_t epoch, uint32_t parent, uint64_t pc)
{
	uint32_t slot = mt_path_hash(parent, pc);

	for (uint32_t end = slot + MT_PATH_PROBES; slot < end; slot++) {
		if (is_node(&nodes[slot], epoch, parent, pc))
			return slot + 1;
	}
	return 0;
}

uint32_t paths_find(const struct mt_batch *batch, const uintptr_t *frame, uintptr_t stack_end)
{
	struct stack stack = { (uintptr_t)frame, stack_end - 7 - (uintptr_t)frame };
	struct mt_frame at = { .pc = frame[1], .sp = (uintptr_t)(frame + 2), .fp = frame[0] };
	struct mt_path_node *nodes = (struct mt_path_node *)(uintptr_t)batch->nodes;
	uint32_t epoch = batch->epoch, parent = 0, slot;
	volatile struct mt_path_node *node;
	uint32_t *hint = NULL;

	if ((uintptr_t)frame >= stack_end - 64)
		return 0;
	for (;;) {
		slot = hint ? *hint : mt_path_hash(0, at.pc);
		if (!is_node(&nodes[slot], epoch, parent, at.pc)) {
			slot = search(nodes, epoch, parent, at.pc);
			if (!slot--)
				return 0;
			if (hint)
				*hint = slot;
		}
		node = &nodes[slot];
		switch (mt_unwind_step(&stack, node->rule, &at)) {
		case MT_STEP_CALLER:
			if (node->end == MT_PATH_DEPTH)
				return node->site;
			break;
		case MT_STEP_END:
		case MT_STEP_ZERO:
			return node->end == MT_PATH_COMPLETE ? node->site : 0;
		default:
			return 0;
		}
		if (at.exact)
			return 0;
		parent = slot + 1;
		hint = (uint32_t *)&node->child;
	}
}
