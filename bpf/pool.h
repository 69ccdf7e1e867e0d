/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * pool.h - slots of the tables that are addressed by number.
 *
 * User space pushes released slots, probes pop them; see struct mt_pool for the ABA tag.
 */
#ifndef MEMTRACE_BPF_POOL_H
#define MEMTRACE_BPF_POOL_H

#define POOL_TRIES 16

static __always_inline struct mt_acct *acct_at(u32 slot)
{
	return bpf_map_lookup_elem(&accts, &slot);
}

static __always_inline struct mt_site *site_at(u32 site)
{
	u32 segment = site / MT_SITE_SEGMENT, slot = site % MT_SITE_SEGMENT;
	void *inner = bpf_map_lookup_elem(&sites, &segment);

	return inner ? bpf_map_lookup_elem(inner, &slot) : NULL;
}

static __always_inline struct mt_chunk *chunk_at(u32 chunk)
{
	u32 segment = chunk / MT_CHUNK_SEGMENT, slot = chunk % MT_CHUNK_SEGMENT;
	void *inner = bpf_map_lookup_elem(&chunks, &segment);

	return inner ? bpf_map_lookup_elem(inner, &slot) : NULL;
}

/* Takes a never-used slot, or 0. Never passes cap: to step back could give one slot to two, when cap is
 * raised in between. */
static __always_inline u32 pool_fresh(struct mt_pool *pool)
{
	for (int try = 0; try < POOL_TRIES; try++) {
		u32 slot = *(volatile u32 *)&pool->fresh;

		if (slot >= *(volatile u32 *)&pool->cap)
			break;
		if (__sync_val_compare_and_swap(&pool->fresh, slot, slot + 1) == slot)
			return slot;
	}
	return 0;
}

/* Global functions, so that each is verified once and not in every caller. */
#define POOL_POP(name, pool, at, link)                                                             \
	GLOBAL int name(void)                                                                  \
	{                                                                                          \
		for (int try = 0; try < POOL_TRIES; try++) {                                       \
			u64 head = *(volatile u64 *)&(pool)->head, next;                           \
			typeof(at(0)) item;                                                        \
                                                                                                   \
			if (!(u32)head)                                                            \
				break;                                                             \
			item = at((u32)head);                                                      \
			if (!item)                                                                 \
				break;                                                             \
			next = ((head >> 32) + 1) << 32 | (u32)item->link;                         \
			if (__sync_val_compare_and_swap(&(pool)->head, head, next) == head)        \
				return (u32)head;                                                  \
		}                                                                                  \
		return pool_fresh(pool);                                                           \
	}

POOL_POP(acct_pop, &control.accts, acct_at, next_free)
POOL_POP(site_pop, &control.sites, site_at, next_free)
POOL_POP(chunk_pop, &control.chunks, chunk_at, next)

#endif
