/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * task.h - a thread inside the allocator: who it belongs to, and which call is the outermost.
 *
 * The outermost call of a nest is the one that counts. Its stack pointer is kept:
 *
 *	sp < t->sp   deeper: a nested call, if the outer one is really still there
 *	sp = t->sp   a tail jump out of the outer call (its [sp] is the return trampoline), or stale
 *	sp > t->sp   the outer call was left without a return (longjmp, exception): stale
 */
#ifndef MEMTRACE_BPF_TASK_H
#define MEMTRACE_BPF_TASK_H

/* The stack pointer a return probe sees, from the one at entry. */
#if defined(__TARGET_ARCH_x86)
#define SP_AT_RETURN(sp) ((sp) + 8)
#else
#define SP_AT_RETURN(sp) (sp)
#endif

static __always_inline struct mt_task *task_get(u64 flags)
{
	struct mt_task *t;
	u32 tid;

	t = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, flags);
	if (t)
		return t;
	tid = (u32)bpf_get_current_pid_tgid();
	return bpf_map_lookup_elem(&task_spill, &tid);
}

/* A thread of a traced process without state yet. Its storage can fail to be allocated when the
 * probe interrupted another task's allocation on this CPU. */
static __always_inline struct mt_task *task_create(void)
{
	struct mt_task *t = task_get(BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 tid;

	if (t)
		return t;
	tid = (u32)bpf_get_current_pid_tgid();
	t = bpf_map_lookup_elem(&task_blank, &(u32){ 0 });
	if (t) {
		bpf_map_update_elem(&task_spill, &tid, t, BPF_NOEXIST);
		__sync_fetch_and_add(&control.task_spilled, 1);
	}
	return bpf_map_lookup_elem(&task_spill, &tid);
}

/* Where the kernel's return trampoline is in this address space, or 0. */
static __always_inline u64 trampoline_address(void)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;

	/* plain loads, which read 0 through a null pointer; helpers would cost 100 ns */
	return mm->uprobes_state.xol_area->vaddr;
}

static __always_inline bool returns_to_trampoline(u64 sp)
{
	u64 ret = 0, trampoline = trampoline_address();

	if (bpf_probe_read_user(&ret, sizeof(ret), (void *)sp))
		return false;
	return trampoline && ret == trampoline;
}

#define NEST_MAX 64 /* calls inside one call, where the stack cannot be followed */

enum { REACHES_NOT, REACHES, REACHES_UNKNOWN };

/* Does the stack, from a call's entry outwards, come to the frame whose return address is at t->sp? In
 * unwind.h. */
GLOBAL int stack_reaches(struct mt_task *t, u64 pc, u64 sp, u64 fp);

/* Is the call that is entered now inside the one in progress? On x86 the outer call's return
 * address was replaced by the trampoline; when it is no longer there, the call is gone. It can also be
 * gone and its word never be written to again, so the stack itself is asked. */
static __always_inline bool task_is_nested(struct pt_regs *ctx, struct mt_task *t)
{
	u64 sp = PT_REGS_SP(ctx);

	if (sp > t->sp)
		return false;
#if defined(__TARGET_ARCH_x86)
	if (!returns_to_trampoline(t->sp))
		return false;
	if (sp == t->sp)
		return true;
	switch (stack_reaches(t, PT_REGS_IP(ctx), sp, PT_REGS_FP(ctx))) {
	case REACHES:
		return true;
	case REACHES_NOT:
		return false;
	}
	if (t->nested++ < NEST_MAX)
		return true;
	__sync_fetch_and_add(&control.losses[MT_LOSS_NEST_OVERFLOW], NEST_MAX);
	return false;
#else
	return sp < t->sp;
#endif
}

/* Puts the old block of an unfinished realloc back. */
GLOBAL int task_put_old_back(struct mt_task *t, u32 acct)
{
	u64 key;

	if (!t || !t->old.born_ns)
		return 0;
	key = live_key(t->arg, acct);
	if (key && live_insert(key, &t->old))
		count_loss(MT_LOSS_TABLE_FULL);
	t->old.born_ns = 0;
	return 0;
}

/* The call in progress will not come back: the thread or its program is gone, or tracing is over. */
GLOBAL int task_abandon(struct mt_task *t)
{
	struct mt_acct *a;
	u32 call;

	if (!t)
		return 0;
	/* the end of the thread and the end of tracing can coincide */
	call = __sync_lock_test_and_set(&t->call, MT_CALL_NONE);
	if (call != MT_CALL_REALLOC && call != MT_CALL_REALLOCARRAY)
		return 0;
	/* of threads that end at the same time, another one may have ended the account */
	a = acct_at(t->acct);
	if (a && a->id == t->acct_id)
		task_put_old_back(t, t->acct);
	return 0;
}

static __always_inline void task_forget_stale(struct mt_task *t, u32 acct)
{
	if (t->call == MT_CALL_REALLOC || t->call == MT_CALL_REALLOCARRAY)
		task_put_old_back(t, acct);
	t->call = MT_CALL_NONE;
	count_notice(MT_NOTICE_STALE_ENTRY);
}

/* free_sized and the like may forward to free: one free seen twice, at or below the first's frame,
 * with nothing between. Two of the first kind in a row are two frees: another thread may have been
 * given the block and handed it over in between. */
static __always_inline bool task_forwarded_free(struct mt_task *t, u32 call, u64 ptr, u64 sp)
{
	bool forwarded;

	if (call == MT_CALL_FREE_SIZED) {
		t->freed_ptr = ptr;
		t->freed_sp = sp;
		return false;
	}
	forwarded = t->freed_ptr && t->freed_ptr == ptr && sp <= t->freed_sp;
	t->freed_ptr = 0;
	return forwarded;
}

#endif
