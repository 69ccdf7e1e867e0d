/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * live.h - the live table: (account, address) -> size, site, time of birth.
 *
 * Two-choice buckets of 16 slots in generations that grow by halves; inserts go to the newest generation,
 * then to older ones, then to the spill hash. Nothing ever moves: a block stays where it was put, so a
 * free that looks at the same places finds it without a lock. Both homes are chosen by hash, so an
 * empty slot never ends a search.
 */
#ifndef MEMTRACE_BPF_LIVE_H
#define MEMTRACE_BPF_LIVE_H

#define LIVE_CROWDED 10 /* first free slot this late in both homes: ask for room */

/* The packed key, or 0 for an address that cannot be packed. */
static __always_inline u64 live_key(u64 addr, u32 acct)
{
	if (addr & ((1 << MT_ADDR_SHIFT) - 1) || addr >> MT_ADDR_BITS)
		return 0;
	return (addr >> MT_ADDR_SHIFT) << MT_ACCT_BITS | acct;
}

/* The third word of a slot. */
static __always_inline u64 born_word(const struct mt_spill *block)
{
	return weighted ? mt_born_word(block->born_ns, control.began_ns, block->weight) :
			  block->born_ns;
}

static __always_inline struct mt_bucket *live_bucket(u32 generation, u64 key, u32 which)
{
	u64 h = MT_LIVE_HASH(key, which);
	u32 segment, at;
	void *inner;

	if (generation >= MT_GENERATIONS)
		return NULL;
	BOUND(generation, MT_GENERATIONS - 1);
	segment = control.live.of[generation].first +
		  MT_HOME_SEGMENT(h, control.live.of[generation].mask);
	inner = bpf_map_lookup_elem(&live, &segment);
	if (!inner)
		return NULL;
	at = MT_HOME_BUCKET(h, MT_LIVE_SEGMENT);
	return bpf_map_lookup_elem(inner, &at);
}

/* Slot of key in the bucket, or MT_BUCKET_SLOTS. */
static __always_inline u32 bucket_search(const struct mt_bucket *b, u64 key)
{
#pragma clang loop unroll(full)
	for (u32 i = 0; i < MT_BUCKET_SLOTS; i++)
		if (*(volatile u64 *)&b->key[i] == key)
			return i;
	return MT_BUCKET_SLOTS;
}

/* The same as a global function: the verifier then knows the result as a number, not as 17
 * different paths that multiply in its callers. */
GLOBAL int bucket_find(struct mt_bucket *b, u64 key)
{
	return b ? bucket_search(b, key) : MT_BUCKET_SLOTS;
}

enum live_take { LIVE_LOOK, LIVE_TAKE, LIVE_TAKE_THREADED };

/* What is in slot i; taken out when take says so. 0 when another thread was faster. */
static __always_inline int bucket_take(struct mt_bucket *b, u32 i, struct mt_spill *out, u32 take)
{
	u64 meta;

	BOUND(i, MT_BUCKET_SLOTS - 1);
	meta = b->meta[i];
	out->born_ns = b->born_ns[i];
	if (weighted) {
		out->weight = mt_born_code(out->born_ns);
		out->born_ns = mt_born_ns(out->born_ns, control.began_ns);
	}
	/* the swap decides between two threads freeing one block */
	if (take == LIVE_TAKE_THREADED)
		meta = __sync_lock_test_and_set(&b->meta[i], 0);
	if (!meta)
		return 0;
	if (take) {
		*(volatile u64 *)&b->meta[i] = 0;
		*(volatile u64 *)&b->key[i] = 0;
	}
	out->size = meta >> MT_SITE_BITS;
	out->site = meta & MT_SITE_MASK;
	return 1;
}

/* Looks everywhere but in the first home of the newest generation. */
GLOBAL int live_find_slow(u64 key, struct mt_spill *out, u32 take)
{
	u32 newest = control.live.cnt;
	struct mt_spill *spilled;

	if (!out)
		return 0;
	for (u32 n = 1; n < 2 * MT_GENERATIONS; n++) {
		u32 generation = newest - 1 - n / 2, i;
		struct mt_bucket *b;

		if (generation >= MT_GENERATIONS)
			break;
		b = live_bucket(generation, key, n & 1);
		if (!b)
			break;
		i = bucket_find(b, key);
		if (i < MT_BUCKET_SLOTS)
			return bucket_take(b, i, out, take);
	}
	if (!*(volatile u64 *)&control.spilled)
		return 0;
	spilled = bpf_map_lookup_elem(&spill, &key);
	if (!spilled)
		return 0;
	*out = *spilled;
	if (take) {
		if (bpf_map_delete_elem(&spill, &key))
			return 0;
		__sync_fetch_and_add(&control.spilled, -1);
	}
	return 1;
}

/* Finds the block; takes it out when take says so. Returns 1 when found. Most blocks are in their
 * first home in the newest generation; a call costs more than looking there. */
static __always_inline int live_find(u64 key, struct mt_spill *out, u32 take)
{
	struct mt_bucket *b = live_bucket(control.live.cnt - 1, key, 0);
	u32 i;

	if (b) {
		i = bucket_search(b, key);
		if (i < MT_BUCKET_SLOTS)
			return bucket_take(b, i, out, take);
	}
	return live_find_slow(key, out, take);
}

static __always_inline int live_spill(u64 key, const struct mt_spill *block)
{
	struct mt_spill copy = *block; /* on the stack: 6.1 takes no other memory of ours here */

	/* two blocks of one address are a free that was missed: refused, so that it is counted */
	if (bpf_map_update_elem(&spill, &key, &copy, BPF_NOEXIST))
		return -1;
	__sync_fetch_and_add(&control.spilled, 1);
	count_notice(MT_NOTICE_SPILLED);
	return 0;
}

/* First free slot, or MT_BUCKET_SLOTS. */
static __always_inline u32 bucket_free(struct mt_bucket *b)
{
	return bucket_find(b, 0);
}

/* Puts the block into one generation; 0 when it is in. */
GLOBAL int generation_insert(u32 generation, u64 key, struct mt_spill *block, u32 newest)
{
	if (!block)
		return -1;
	for (int try = 0; try < 4; try++) {
		struct mt_bucket *a = live_bucket(generation, key, 0), *b;
		u32 i, j;

		if (!a)
			return -1;
		i = bucket_free(a);
		if (i >= MT_BUCKET_SLOTS / 2) {
			b = live_bucket(generation, key, 1);
			if (!b)
				return -1;
			j = bucket_free(b);
			if (j < i) {
				a = b;
				i = j;
			}
			if (newest && i >= LIVE_CROWDED)
				want_room(WANT_LIVE);
			if (i >= MT_BUCKET_SLOTS)
				return -1;
		}
		BOUND(i, MT_BUCKET_SLOTS - 1);
		if (__sync_val_compare_and_swap(&a->key[i], 0, key))
			continue;
		a->born_ns[i] = born_word(block);
		*(volatile u64 *)&a->meta[i] = block->size << MT_SITE_BITS | block->site;
		return 0;
	}
	return -1;
}

/* Wherever there is room; 0 or -1. */
GLOBAL int live_insert_slow(u64 key, struct mt_spill *block)
{
	u32 newest = control.live.cnt;

	if (!block)
		return -1;
	for (u32 n = 0; n < MT_GENERATIONS; n++) {
		u32 generation = newest - 1 - n;

		if (generation >= MT_GENERATIONS)
			break;
		if (!generation_insert(generation, key, block, !n))
			return 0;
	}
	return live_spill(key, block);
}

/* Puts a block in; 0 or -1 when there was no room anywhere (the caller counts the loss).
 * meta 0 means "being written", so a block of 0 bytes without a site spills, like a huge one. */
static __always_inline int live_insert(u64 key, struct mt_spill *block)
{
	struct mt_bucket *b;
	u32 i;

	if (block->size > MT_SIZE_MAX || !(block->size | block->site))
		return live_spill(key, block);
	b = live_bucket(control.live.cnt - 1, key, 0);
	if (b) {
		i = bucket_search(b, 0);
		if (i < MT_BUCKET_SLOTS / 2 && !__sync_val_compare_and_swap(&b->key[i], 0, key)) {
			b->born_ns[i] = born_word(block);
			*(volatile u64 *)&b->meta[i] = block->size << MT_SITE_BITS | block->site;
			return 0;
		}
	}
	return live_insert_slow(key, block);
}

#endif
