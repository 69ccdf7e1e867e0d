/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * unwind.h - the call path of an allocation by unwind tables: right without frame pointers.
 *
 * Rows give each frame's size; the stack is copied one window at a time and read inside the copy.
 */
#ifndef MEMTRACE_BPF_UNWIND_H
#define MEMTRACE_BPF_UNWIND_H

/* Copies the window that holds addr: from the current frame's stack pointer on, if it reaches so far,
 * because the frame's other words are above it. 0 when addr is in. */
GLOBAL int window_move(struct mt_task *t, u64 addr)
{
	u64 at;

	if (!t)
		return -1;
	at = t->frame.sp & ~7ULL;
	if (addr - at >= MT_WINDOW_BYTES)
		at = addr;
	t->window_at = at;
	t->window_have = window_read(&t->window, at);
	return addr - at < t->window_have ? 0 : -1;
}

static __always_inline int window_word(struct mt_task *t, u64 addr, u64 *word)
{
	u64 off = addr - t->window_at;

	if (off >= t->window_have) {
		if (window_move(t, addr))
			return -1;
		off = addr - t->window_at;
	}
	BOUND(off, (MT_WINDOW_BYTES - 1) & ~7);
	*word = *(u64 *)((void *)t->window.words + off);
	return 0;
}

#define MT_UNWIND_READ(stack, addr, word) window_word(stack, addr, word)
#include "memtrace/unwind.h"

#define PENDING_MAX 64 /* return probes a thread can be inside of */

/* The address that a return probe of an outer frame replaced by the trampoline; at is where it was. */
GLOBAL u64 real_return(u64 at, u64 trampoline)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct return_instance *pending = BPF_CORE_READ(task, utask, return_instances);

	for (int i = 0; i < PENDING_MAX && pending; i++) {
		u64 real = BPF_CORE_READ(pending, orig_ret_vaddr);

		if (BPF_CORE_READ(pending, stack) == at && real != trampoline)
			return real;
		pending = BPF_CORE_READ(pending, next);
	}
	return trampoline;
}

static __always_inline u32 end_of_step(int step, u32 rule)
{
	switch (step) {
	case MT_STEP_END:
	case MT_STEP_ZERO:
		return MT_END_COMPLETE;
	case MT_STEP_NO_ROW:
		return MT_END_NO_ROW;
	case MT_STEP_READ_FAULT:
		return MT_END_READ_FAULT;
	case MT_STEP_UNSUPPORTED:
		return MT_RULE_KIND(rule) >= RULE_BUSY ? MT_END_NO_TABLE : MT_END_UNSUPPORTED;
	}
	return MT_END_BROKEN;
}

/* Unwinds from a call that just returned: pc is in its caller, after the call. As stack_walk(). */
GLOBAL int stack_unwind(struct mt_task *t, u64 pc, u64 sp, u64 fp)
{
	u32 depth = control.stack_depth, n, end = MT_END_DEPTH, rule;
	u64 hash = HASH_PRIME, trampoline;
	int step;

	if (!t)
		return MT_END_OFF;
	if (!t->trampoline)
		t->trampoline = trampoline_address();
	trampoline = t->trampoline;
	t->frame.pc = pc;
	t->frame.sp = sp;
	t->frame.fp = fp;
	t->frame.exact = 0;
	t->window_have = 0;
	t->frames[0] = pc;
	hash = HASH_MIX(hash, pc);
	for (n = 1; n < MT_STACK_DEPTH_MAX && n < depth; n++) {
		rule = rule_at(mt_frame_lookup_pc(&t->frame), t->space);
		step = mt_unwind_step(t, rule, &t->frame);
		if (step != MT_STEP_CALLER) {
			end = end_of_step(step, rule);
			break;
		}
		pc = t->frame.pc;
		if (pc == trampoline)
			t->frame.pc = pc = real_return(t->frame.sp - 8, trampoline);
		t->frames[n] = pc;
		hash = HASH_MIX(hash, pc);
	}
	t->hash = hash;
	t->frame_cnt = n;
	t->stack_end = end;
	return end;
}

/* Takes the current call path into t. */
static __always_inline void stack_take(struct pt_regs *ctx, struct mt_task *t, const struct mt_acct *a)
{
	u32 how = control.stacks;

	t->frame_cnt = 0;
	t->hash = HASH_PRIME;
	t->stack_end = MT_END_OFF;
	if (how == MT_STACKS_DWARF) {
		t->space = a->space;
		stack_unwind(t, PT_REGS_IP(ctx), PT_REGS_SP(ctx), PT_REGS_FP(ctx));
	} else if (how == MT_STACKS_FP) {
		stack_walk(t, PT_REGS_IP(ctx), PT_REGS_SP(ctx), PT_REGS_FP(ctx));
	}
}

#endif
