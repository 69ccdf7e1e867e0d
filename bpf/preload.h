/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * preload.h - the programs on the sites of the preload library (memtrace/preload.h has the contract).
 *
 * The library is inside the process and knows what the call was and what came of it, so one event is
 * one probe and nothing is to be matched. Only realloc has two: the old block goes before the call, as
 * rule 2 wants, and what was between is kept in the thread's state as for an allocator's own realloc.
 */
#ifndef MEMTRACE_BPF_PRELOAD_H
#define MEMTRACE_BPF_PRELOAD_H

/* Not every libbpf has a name for it. */
#if defined(__TARGET_ARCH_x86)
#define SIXTH_ARGUMENT(ctx) ((ctx)->r9)
#else
#define SIXTH_ARGUMENT(ctx) (((struct user_pt_regs *)(ctx))->regs[5])
#endif

/* Is this the end of a realloc? Sites of allocations and of these ends share a program, because most of
 * what it is made of is the same and costs the verifier long. Asking for the cookie costs the probe, and
 * between begin and end only a signal handler allocates; without a begin there is an end only where
 * blocks are sampled. */
static __always_inline bool is_realloc_end(struct pt_regs *ctx, const struct mt_task *t)
{
	bool begun = t->call == MT_CALL_REALLOC && t->sp == SP_OF_LIBRARY;

	return (begun || weighted) && bpf_get_attach_cookie(ctx) == MT_CALL_REALLOC;
}

/* Settles what the realloc replaced: in *old. False: there is no new block to put in. */
static __always_inline bool realloc_ended(struct pt_regs *ctx, struct mt_task *t, struct mt_acct *a,
					  struct mt_spill *old)
{
	u64 new = PT_REGS_PARM2(ctx), count = PT_REGS_PARM5(ctx);
	bool begun = t->call == MT_CALL_REALLOC && t->sp == SP_OF_LIBRARY;

	t->call = MT_CALL_NONE;
	block_announced(t, PT_REGS_PARM3(ctx), count);
	if (!begun) {
		t->arg = 0;
		t->old.born_ns = 0;
	}
	if (!new) {
		if (begun || count)
			realloc_gave_nothing(t, a, weighted ? count : 1);
		return false;
	}
	realloc_succeeded(t, a, old);
	if (!count && old->born_ns)
		discharge(a, t->acct, old);
	return count;
}

/* The end of an allocation: alloc(ptr, size, weight, count, ticket), or of a realloc. */
SEC("uprobe")
int preload_put(struct pt_regs *ctx)
{
	u64 addr = PT_REGS_PARM1(ctx), ticket = PT_REGS_PARM5(ctx), its_ticket = SIXTH_ARGUMENT(ctx);
	struct mt_spill old = {};
	struct mt_acct *a = NULL;
	struct mt_task *t = claimed_task(ctx, &a, MT_LANE_PRELOAD);
	u32 site;

	OPAQUE(its_ticket); /* or one load would be made of two, by an address that the verifier refuses */
	if (!t || !a)
		return 0;
	if (is_realloc_end(ctx, t)) {
		if (!realloc_ended(ctx, t, a, &old))
			return 0;
		addr = PT_REGS_PARM2(ctx);
		ticket = its_ticket;
	} else {
		block_announced(t, PT_REGS_PARM2(ctx), PT_REGS_PARM4(ctx));
	}
	stack_begin(ctx, t, true);
	site = charge(t, a, addr, t->weight, &old);
	if (with_batches && ticket)
		path_tell(t, site, ticket);
	return 0;
}

SEC("uprobe")
int preload_free(struct pt_regs *ctx)
{
	struct mt_acct *a = NULL;
	struct mt_task *t = claimed_task(ctx, &a, MT_LANE_PRELOAD);

	if (t && a)
		block_free(a, t->acct, PT_REGS_PARM1(ctx));
	return 0;
}

/* claim(), realloc_begin(old), failed(size, weight, count), by the cookie. */
SEC("uprobe")
int preload_other(struct pt_regs *ctx)
{
	struct mt_acct *a = NULL;
	struct mt_task *t = claimed_task(ctx, &a, MT_LANE_PRELOAD);

	if (!t || !a)
		return 0;
	switch (bpf_get_attach_cookie(ctx)) {
	case MT_CALL_REALLOC:
		t->sp = SP_OF_LIBRARY;
		t->arg = PT_REGS_PARM1(ctx);
		t->old.born_ns = 0;
		block_take(a, t->acct, t->arg, &t->old);
		t->call = MT_CALL_REALLOC;
		break;
	case MT_CALL_FAILED:
		__sync_fetch_and_add(&a->failed_allocs, weighted ? PT_REGS_PARM3(ctx) : 1);
		break;
	}
	return 0;
}

#endif
