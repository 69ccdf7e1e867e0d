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

/* Where nothing is known of the byte before a return address, but of that address itself, no call was
 * made: a program put a function's start there by hand, and nothing called that (makecontext). */
static __always_inline bool starts_function(struct mt_task *t, u64 pc)
{
	u32 kind = MT_RULE_KIND(rule_find(t, pc));

	return kind > MT_ROW_NONE && kind < MT_ROW_KIND_CNT;
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

#define NEST_FRAMES 16 /* between an allocation function and one that it calls */

GLOBAL int stack_reaches(struct mt_task *t, u64 pc, u64 sp, u64 fp)
{
	struct mt_acct *a;
	u32 rule;

	if (!t || control.stacks != MT_STACKS_DWARF)
		return REACHES_UNKNOWN;
	a = acct_at(t->acct);
	t->space = a ? a->space : 0;
	t->frame.pc = pc;
	t->frame.sp = sp;
	t->frame.fp = fp;
	t->frame.exact = 1;
	t->window_have = 0;
	for (int n = 0; n < NEST_FRAMES; n++) {
		rule = rule_of_frame(t);
		if (mt_unwind_step(t, rule, &t->frame) != MT_STEP_CALLER)
			break;
		if (t->frame.sp - 8 >= t->sp)
			return t->frame.sp - 8 == t->sp ? REACHES : REACHES_NOT;
	}
	return REACHES_UNKNOWN;
}

/* From a site of the preload library to whoever called it: the library's frame at fp is
 *
 *	fp -> | caller's fp | address to return to | ...caller's frame...
 */
GLOBAL int leave_library(struct mt_task *t, u64 fp)
{
	u64 words[2] = {};

	if (!t)
		return -1;
	t->frame.sp = fp;
	if (control.stacks == MT_STACKS_DWARF) { /* the words above will be needed too */
		if (fp & 7 || window_word(t, fp, &words[0]) || window_word(t, fp + 8, &words[1]))
			return -1;
	} else if (bpf_probe_read_user(words, sizeof(words), (void *)fp)) {
		return -1;
	}
	t->caller.pc = words[1];
	t->caller.sp = fp + sizeof(words);
	t->caller.fp = words[0];
	return 0;
}

/* Unwinds from a call that just returned: pc is in its caller, after the call. As stack_walk(). */
GLOBAL int stack_unwind(struct mt_task *t)
{
	u32 depth = control.stack_depth, n, end = MT_END_DEPTH, rule;
	u64 hash = HASH_PRIME, trampoline, pc;
	int step;

	if (!t)
		return MT_END_OFF;
	if (!t->trampoline)
		t->trampoline = trampoline_address();
	trampoline = t->trampoline;
	pc = t->caller.pc;
	if (pc == trampoline)
		pc = real_return(t->caller.sp - 8, trampoline);
	t->frame.pc = pc;
	t->frame.sp = t->caller.sp;
	t->frame.fp = t->caller.fp;
	t->frame.exact = 0;
	/* What a frame begins with is at the top, because Linux 6.1 takes no loop that falls back into it. */
	for (n = 0; n < MT_STACK_DEPTH_MAX;) {
		t->frames[n++] = pc;
		hash = HASH_MIX(hash, pc);
		rule = rule_of_frame(t);
		step = mt_unwind_step(t, rule, &t->frame);
		if (step != MT_STEP_CALLER) {
			end = end_of_step(step, rule);
			if (end == MT_END_NO_ROW && starts_function(t, t->frame.pc))
				end = MT_END_COMPLETE;
			break;
		}
		if (n >= depth)
			break; /* only now: there is one more */
		pc = t->frame.pc;
		if (pc == trampoline)
			t->frame.pc = pc = real_return(t->frame.sp - 8, trampoline);
		if (t->frame.exact)
			pc |= MT_PC_EXACT;
	}
	t->hash = hash;
	t->frame_cnt = n;
	t->stack_end = end;
	return end;
}

/* Has code come or gone? What the cache knows of the addresses holds no more then, and when some is gone
 * they may become another library's, so that equal stacks need not be the same. A loader allocates
 * between one and the other, so what takes another's place does not go unseen; what is mapped straight
 * over something is heard of later, by user space. */
static __always_inline void space_check(struct mt_acct *a)
{
	u32 now = bpf_get_current_task_btf()->mm->exec_vm, before = a->exec_pages;

	if (now == before)
		return;
	a->exec_pages = now;
	if (!before)
		return;
	a->space = MT_SPACE_SEEN_CHANGED | __sync_fetch_and_add(&control.next_space, 1);
	if (now < before)
		a->removals++;
}

/* Where the call path begins: at an allocator's return, or at a site inside the preload library. */
static __always_inline void stack_begin(struct pt_regs *ctx, struct mt_task *t, bool in_library)
{
	t->window_have = 0;
	t->caller.pc = PT_REGS_IP(ctx);
	t->caller.sp = PT_REGS_SP(ctx);
	t->caller.fp = PT_REGS_FP(ctx);
	if (in_library && control.stacks != MT_STACKS_NONE)
		leave_library(t, t->caller.fp);
}

/* Takes the call path that began there into t. */
static __always_inline void stack_take(struct mt_task *t, struct mt_acct *a)
{
	u32 how = control.stacks;

	t->frame_cnt = 0;
	t->hash = HASH_PRIME;
	t->stack_end = MT_END_OFF;
	t->removals = 0;
	t->places = 0;
	if (how == MT_STACKS_DWARF) {
		space_check(a);
		t->space = a->space;
		t->removals = a->removals;
		stack_unwind(t);
	} else if (how == MT_STACKS_FP) {
		stack_walk(t, t->caller.pc, t->caller.sp, t->caller.fp);
	}
}

#endif
