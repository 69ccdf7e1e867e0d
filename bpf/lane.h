/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * lane.h - who counts for an address space (enum mt_lane): what those who are inside it share.
 *
 * The first of them that speaks has it; from then on probes on allocators are too late there.
 */
#ifndef MEMTRACE_BPF_LANE_H
#define MEMTRACE_BPF_LANE_H

/* No stack pointer at a return is as high: a return probe takes no such call for its own. */
#define SP_OF_LIBRARY (~0ULL - 8)

/* The thread's state and account, where that lane's word counts or is the first. */
static __always_inline struct mt_task *lane_task(struct mt_acct **acct, u32 lane)
{
	struct mt_task *t = member_task();
	struct mt_acct *a;

	if (!t)
		return NULL;
	a = acct_at(t->acct);
	if (!a || (a->lane != lane && a->lane != MT_LANE_OPEN))
		return NULL;
	if (a->lane == MT_LANE_OPEN)
		a->lane = lane;
	*acct = a;
	return t;
}

/* The same, unless it is inside a call of another allocator, which was counted at its entry and will be at
 * its return. */
static __always_inline struct mt_task *claimed_task(struct pt_regs *ctx, struct mt_acct **acct,
						    u32 lane)
{
	struct mt_task *t = lane_task(acct, lane);

	if (t && t->call && t->sp != SP_OF_LIBRARY) {
		if (task_is_nested(ctx, t))
			return NULL;
		task_forget_stale(t, t->acct);
	}
	return t;
}

static __always_inline u32 lane_of(const struct mt_task *t)
{
	const struct mt_acct *a = with_lanes ? acct_at(t->acct) : NULL;

	return a ? a->lane : MT_LANE_OPEN;
}

/* Blocks that were counted before the allocator's own sites first spoke must be seen when they go:
 * sites may tell of some blocks only. */
static __always_inline bool takes_out(u32 call)
{
	return call == MT_CALL_FREE || call == MT_CALL_FREE_SIZED || call == MT_CALL_REALLOC ||
	       call == MT_CALL_REALLOCARRAY;
}

/* Is a probe on an allocator too late in the thread's address space? The preload library has left
 * those to it that it does not call. */
static __always_inline bool is_left(struct pt_regs *ctx, const struct mt_task *t, u32 call)
{
	const struct mt_acct *a = acct_at(t->acct);

	if (!a)
		return false;
	if (a->lane == MT_LANE_OTEL)
		return !takes_out(call);
	if (a->lane != MT_LANE_PRELOAD)
		return false;
	return !(a->flags & MT_ACCT_BESIDE) || !(bpf_get_attach_cookie(ctx) & MT_CALL_BESIDE);
}

/* What the block will stand for. The count is rounded to what a code can say, at random. */
static __always_inline void block_announced(struct mt_task *t, u64 size, u64 count)
{
	t->size = size;
	t->weight = 0;
	if (!weighted || count == MT_COUNT_ONE)
		return;
	if (count > MT_COUNT_MAX)
		count = MT_COUNT_MAX;
	count += bpf_get_prandom_u32() & mt_weight_rest(size_class(count));
	t->weight = mt_weight_code(count, size_class(count));
}

#endif
