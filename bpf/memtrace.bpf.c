// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/*
 * memtrace.bpf.c - the programs on allocation functions: what enters, what returns.
 *
 * Programs for malloc, for free, for every other entry (the attach cookie says which function it is,
 * enum mt_call), and one for every return. Rules kept here: a free takes its block out at entry, an allocation puts one
 * in at return; realloc takes out at entry and puts in, or back, at return; only the outermost
 * call counts; a NULL result is a failure, never a block.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "memtrace/abi.h"
#include "memtrace/batch.h"
#include "memtrace/unwind.h"
#include "memtrace/weight.h"
#include "maps.h"
#include "count.h"
#include "pool.h"
#include "live.h"
#include "task.h"
#include "stack.h"
#include "rows.h"
#include "unwind.h"
#include "site.h"
#include "cold.h"
#include "account.h"
#include "member.h"
#include "inherit.h"
#include "block.h"
#include "lane.h"
#include "batch.h"
#include "preload.h"
#include "otel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

static __always_inline void on_free_entry(struct pt_regs *ctx, struct mt_task *t, u32 call)
{
	u64 addr = PT_REGS_PARM1(ctx);
	struct mt_spill block = {};
	u32 slot = t->acct;
	struct mt_acct *a;

	if (!addr || task_forwarded_free(t, call, addr, PT_REGS_SP(ctx)))
		return;
	a = acct_at(slot);
	if (!a)
		return;
	if (block_take(a, slot, addr, &block))
		discharge(a, slot, &block);
	else if (lane_of(t) != MT_LANE_OTEL)
		unknown_free(a, slot, addr);
}

static __always_inline void on_realloc_entry(struct mt_task *t, u64 addr)
{
	struct mt_acct *a;

	t->arg = addr;
	t->old.born_ns = 0;
	if (!addr)
		return;
	a = acct_at(t->acct);
	if (a)
		block_take(a, t->acct, addr, &t->old);
}

/* The current thread's state when it enters a call that counts, else NULL: not traced, or inside
 * another call of the family. */
static __always_inline struct mt_task *call_enter(struct pt_regs *ctx, u32 call)
{
	struct mt_task *t = member_task();

	if (!t || (with_lanes && is_left(ctx, t, call)))
		return NULL;
	if (!t->call)
		return t;
	if (task_is_nested(ctx, t))
		return NULL;
	task_forget_stale(t, t->acct);
	return t;
}

static __always_inline void call_begin(struct mt_task *t, u32 call, u64 sp, u64 size)
{
	t->freed_ptr = 0;
	t->nested = 0;
	t->sp = sp;
	t->call = call;
	t->size = size;
}

/* The two calls that are most of all have programs of their own: asking for the cookie costs. */
SEC("uprobe")
int on_malloc(struct pt_regs *ctx)
{
	u64 sp = PT_REGS_SP(ctx);
	struct mt_task *t = call_enter(ctx, MT_CALL_MALLOC);

	if (t)
		call_begin(t, MT_CALL_MALLOC, sp, PT_REGS_PARM1(ctx));
	return 0;
}

SEC("uprobe")
int on_free(struct pt_regs *ctx)
{
	struct mt_task *t = call_enter(ctx, MT_CALL_FREE);

	if (t)
		on_free_entry(ctx, t, MT_CALL_FREE);
	return 0;
}

/* What calloc and its like ask for; a product that overflows is more than anyone has. */
static __always_inline u64 product(u64 a, u64 b)
{
	u64 small = a < b ? a : b, large = a < b ? b : a;
	u64 high = (large >> 32) * small, low = (u32)large * small, sum = (high << 32) + low;

	return small >> 32 || high >> 32 || sum < low ? ~0ULL : sum;
}

/* Entry of the others. */
SEC("uprobe")
int on_enter(struct pt_regs *ctx)
{
	u32 call = MT_CALL_OF(bpf_get_attach_cookie(ctx));
	u64 sp = PT_REGS_SP(ctx);
	struct mt_task *t = call_enter(ctx, call);

	if (!t)
		return 0;
	if (lane_of(t) == MT_LANE_OTEL && call != MT_CALL_FREE_SIZED)
		call = MT_CALL_FREE; /* what realloc gives is the sites' to tell */
	switch (call) {
	case MT_CALL_FREE:
	case MT_CALL_FREE_SIZED:
		on_free_entry(ctx, t, call);
		break;
	case MT_CALL_CALLOC:
		call_begin(t, call, sp, product(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx)));
		break;
	case MT_CALL_REALLOC:
		call_begin(t, call, sp, PT_REGS_PARM2(ctx));
		on_realloc_entry(t, PT_REGS_PARM1(ctx));
		break;
	case MT_CALL_REALLOCARRAY:
		call_begin(t, call, sp, product(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx)));
		on_realloc_entry(t, PT_REGS_PARM1(ctx));
		break;
	case MT_CALL_ALIGNED:
		call_begin(t, call, sp, PT_REGS_PARM2(ctx));
		break;
	case MT_CALL_POSIX_MEMALIGN:
		call_begin(t, call, sp, PT_REGS_PARM3(ctx));
		t->arg = PT_REGS_PARM1(ctx);
		break;
	}
	return 0;
}

/* Return of any function of the family that yields a block. */
SEC("uprobe")
int on_return(struct pt_regs *ctx)
{
	struct mt_task *t = task_get(0);
	u64 sp = PT_REGS_SP(ctx), addr = PT_REGS_RC(ctx);
	struct mt_spill old = {};
	struct mt_acct *a;
	u32 call;

	if (!t || !t->call || SP_AT_RETURN(t->sp) > sp || is_closed())
		return 0;
	if (SP_AT_RETURN(t->sp) < sp) {
		task_forget_stale(t, t->acct);
		return 0;
	}
	call = t->call;
	t->call = MT_CALL_NONE;
	a = acct_at(t->acct);
	if (!a)
		return 0;
	if (call == MT_CALL_REALLOC || call == MT_CALL_REALLOCARRAY) {
		if (!addr) {
			realloc_gave_nothing(t, a, block_count(&old));
			return 0;
		}
		realloc_succeeded(t, a, &old);
	} else if (call == MT_CALL_POSIX_MEMALIGN) {
		u64 out = 0;

		if ((s32)addr == 0 && bpf_probe_read_user(&out, sizeof(out), (void *)t->arg)) {
			count_loss(MT_LOSS_READ_FAULT);
			return 0;
		}
		addr = (s32)addr == 0 ? out : 0;
	}
	if (addr) {
		stack_begin(ctx, t, false);
		charge(t, a, addr, 0, &old);
	} else {
		__sync_fetch_and_add(&a->failed_allocs, block_count(&old));
	}
	return 0;
}

#include "life.h"
