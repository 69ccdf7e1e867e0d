/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * block.h - a block comes and goes: the live table first, then the figures. What both lanes do, whoever saw
 * the event.
 */
#ifndef MEMTRACE_BPF_BLOCK_H
#define MEMTRACE_BPF_BLOCK_H

/* A block left the account. */
static __always_inline void discharge(struct mt_acct *a, u32 slot, const struct mt_spill *block)
{
	bool threaded = a->threaded;

	site_sub(a, block, threaded);
	acct_change(a, slot, 0, -(s64)block_bytes(block), -(s64)block_count(block), 0, threaded);
}

static __always_inline void unknown_free(struct mt_acct *a, u32 slot, u64 addr)
{
	if (a->parent && block_is_inherited(slot, addr))
		__sync_fetch_and_add(&a->inherited_frees, 1);
	else
		__sync_fetch_and_add(&a->unknown_frees, 1);
}

/* Takes a block out of the live table; 1 when it was there. */
static __always_inline int block_take(struct mt_acct *a, u32 slot, u64 addr, struct mt_spill *block)
{
	u64 key = live_key(addr, slot);

	if (!key || !live_find(key, block, a->threaded ? LIVE_TAKE_THREADED : LIVE_TAKE))
		return 0;
	if (*(volatile u32 *)&a->heirs)
		ghost_leave(a, key, block, bpf_ktime_get_ns());
	return 1;
}

/* A block was freed. */
static __always_inline void block_free(struct mt_acct *a, u32 slot, u64 addr)
{
	struct mt_spill block = {};

	if (block_take(a, slot, addr, &block))
		discharge(a, slot, &block);
	else
		unknown_free(a, slot, addr);
}

/* A block is there, at addr: the table, then the figures. old is what a realloc replaced (born_ns 0:
 * nothing). */
static __always_inline void block_put(struct mt_acct *a, u32 slot, u64 addr, struct mt_spill *block,
				      const struct mt_spill *old)
{
	u64 key = live_key(addr, slot), count = block_count(block), bytes = block_bytes(block);
	bool threaded = a->threaded;
	s64 more_bytes, more_count;

	if (!key || live_insert(key, block)) {
		count_loss(key ? MT_LOSS_TABLE_FULL : MT_LOSS_BAD_ADDRESS);
		if (old->born_ns)
			discharge(a, slot, old);
		return;
	}
	more_bytes = bytes;
	more_count = count;
	if (old->born_ns) {
		more_bytes -= block_bytes(old);
		more_count -= block_count(old);
		site_sub(a, old, threaded);
	}
	site_add(a, block, count, bytes, threaded);
	size_count(block->size, count);
	acct_change(a, slot, block->site, more_bytes, more_count, block->born_ns, threaded);
}

/* A block of t->size came to be at addr; returns its site. Its stack has begun (stack_begin()). weight is a
 * constant where nothing is ever weighed: the arithmetic is then not done. */
static __always_inline u32 charge(struct mt_task *t, struct mt_acct *a, u64 addr, u64 weight,
				  const struct mt_spill *old)
{
	struct mt_spill block = { .size = t->size, .born_ns = bpf_ktime_get_ns(),
				  .weight = weight };

	stack_take(t, a);
	block.site = t->stack_end == MT_END_NO_TABLE ? site_cold(t) : site_intern(t, t->acct);
	block_put(a, t->acct, addr, &block, old);
	return block.site;
}

/* realloc came back with a block: what it replaced is in old. */
static __always_inline void realloc_succeeded(struct mt_task *t, struct mt_acct *a,
					      struct mt_spill *old)
{
	*old = t->old;
	t->old.born_ns = 0;
	if (!t->arg)
		return;
	__sync_fetch_and_add(&a->reallocs, 1);
	if (!old->born_ns)
		unknown_free(a, t->acct, t->arg);
}

/* realloc came back without: a free by size 0, or a failure that keeps the old block and counts as that
 * many. */
static __always_inline void realloc_gave_nothing(struct mt_task *t, struct mt_acct *a,
						 u64 failed)
{
	struct mt_spill old = t->old;

	if (!t->arg || t->size) {
		task_put_old_back(t, t->acct);
		__sync_fetch_and_add(&a->failed_allocs, failed);
		return;
	}
	t->old.born_ns = 0;
	if (old.born_ns)
		discharge(a, t->acct, &old);
	else
		unknown_free(a, t->acct, t->arg);
}

#endif
