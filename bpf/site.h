/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * site.h - interns a call path of an account: equal stacks are one site, different ones never.
 *
 * The index maps hash bits to a site number; the frames themselves are then compared, so a hash
 * collision costs time and nothing else. Frames are kept in chained chunks, padded with zeros.
 */
#ifndef MEMTRACE_BPF_SITE_H
#define MEMTRACE_BPF_SITE_H

#define INDEX_CROWDED 12
#define INDEX_TAG_MASK (~MT_SITE_MASK)

static __always_inline struct mt_index_bucket *index_bucket(u32 generation, u64 hash, u32 which)
{
	u64 h = MT_INDEX_HASH(hash, which);
	u32 segment, at;
	void *inner;

	if (generation >= MT_GENERATIONS)
		return NULL;
	BOUND(generation, MT_GENERATIONS - 1);
	segment = control.index.of[generation].first +
		  MT_HOME_SEGMENT(h, control.index.of[generation].mask);
	inner = bpf_map_lookup_elem(&site_index, &segment);
	if (!inner)
		return NULL;
	at = MT_HOME_BUCKET(h, MT_INDEX_SEGMENT);
	return bpf_map_lookup_elem(inner, &at);
}

/* Are the frames in t those of the site? Both are padded with zeros to whole chunks. Since code was
 * unmapped, what is at the addresses must be the same too. */
GLOBAL int site_matches(struct mt_task *t, u32 site, u32 acct, u32 frame_cnt)
{
	struct mt_site *s = site_at(site);
	u64 chunk;

	if (!t || !s || s->acct != acct || s->frame_cnt != frame_cnt)
		return 0;
	if (s->removals != t->removals && (!t->places || s->places != t->places))
		return 0;
	chunk = s->chunk;
	for (u32 c = 0; c < MT_CHUNKS_PER_STACK_MAX; c++) {
		struct mt_chunk *piece;
		u64 diff = 0;

		if (c * MT_CHUNK_FRAMES >= frame_cnt)
			break;
		piece = chunk_at(chunk);
		if (!piece)
			return 0;
#pragma clang loop unroll(full)
		for (u32 i = 0; i < MT_CHUNK_FRAMES; i++) {
			diff |= piece->pc[i] ^ t->frames[c * MT_CHUNK_FRAMES + i];
			OPAQUE(diff); /* one word, not as many branches as frames (clang 19) */
		}
		if (diff)
			return 0;
		chunk = piece->next;
	}
	s->removals = t->removals;
	return 1;
}

/* Copies the frames into fresh chunks; the first one, or 0 when there was no room. */
GLOBAL int frames_store(struct mt_task *t, u32 frame_cnt)
{
	struct mt_chunk *previous = NULL;
	u32 first = 0;

	if (!t)
		return 0;
	for (u32 c = 0; c < MT_CHUNKS_PER_STACK_MAX; c++) {
		struct mt_chunk *piece;
		u32 chunk;

		if (c * MT_CHUNK_FRAMES >= frame_cnt)
			break;
		chunk = chunk_pop();
		piece = chunk ? chunk_at(chunk) : NULL;
		if (!piece)
			return 0;
#pragma clang loop unroll(full)
		for (u32 i = 0; i < MT_CHUNK_FRAMES; i++)
			piece->pc[i] = t->frames[c * MT_CHUNK_FRAMES + i];
		piece->next = 0;
		if (previous)
			previous->next = chunk;
		else
			first = chunk;
		previous = piece;
	}
	return first;
}

/* A new site with the frames in t, or 0. */
GLOBAL int site_create(struct mt_task *t, u32 acct, u32 frame_cnt, u64 hash, u32 end)
{
	u32 site = site_pop(), chunk;
	struct mt_site *s;

	s = site ? site_at(site) : NULL;
	if (!s || !t)
		return 0;
	chunk = frames_store(t, frame_cnt);
	if (!chunk && frame_cnt)
		frame_cnt = 0; /* counted as not recorded by its end */
	s->hash = hash;
	s->chunk = chunk;
	s->frame_cnt = frame_cnt;
	s->stack_end = frame_cnt ? end : MT_END_OFF;
	s->removals = t->removals;
	s->places = t->places;
	s->alloc_blocks = 0;
	s->alloc_bytes = 0;
	s->live_bytes = 0;
	s->peak_bytes = 0;
	s->at_peak_bytes = 0;
	s->epoch = 0;
	s->first_ns = bpf_ktime_get_ns();
	*(volatile u32 *)&s->acct = acct;
	if (2 * site > *(volatile u32 *)&control.sites.cap ||
	    2 * chunk > *(volatile u32 *)&control.chunks.cap)
		want_room(WANT_INDEX);
	return site;
}

/* Looks a stack up in one bucket; its site, or 0. tag has the hash bits, the low ones are ignored. */
GLOBAL int index_lookup(struct mt_index_bucket *b, struct mt_task *t, u32 acct, u32 frame_cnt,
			u64 tag)
{
	if (!b || !t)
		return 0;
	for (u32 i = 0; i < MT_BUCKET_SLOTS; i++) {
		u64 entry = *(volatile u64 *)&b->entry[i];
		u32 site = entry & MT_SITE_MASK;

		if (site && !((entry ^ tag) & INDEX_TAG_MASK) &&
		    site_matches(t, site, acct, frame_cnt))
			return site;
	}
	return 0;
}

/* First free entry, or MT_BUCKET_SLOTS. */
GLOBAL int index_room(struct mt_index_bucket *b)
{
	if (b) {
		for (u32 i = 0; i < MT_BUCKET_SLOTS; i++)
			if (!*(volatile u64 *)&b->entry[i])
				return i;
	}
	return MT_BUCKET_SLOTS;
}

/* Finds a stack among all its homes; 0 when it is new. */
GLOBAL int site_find(struct mt_task *t, u32 acct, u32 frame_cnt, u64 hash)
{
	u32 newest = control.index.cnt;

	if (!t)
		return 0;
	for (u32 n = 0; n < 2 * MT_GENERATIONS; n++) {
		u32 generation = newest - 1 - n / 2, site;
		struct mt_index_bucket *b;

		if (generation >= MT_GENERATIONS)
			break;
		b = index_bucket(generation, hash, n & 1);
		if (!b)
			break;
		site = index_lookup(b, t, acct, frame_cnt, hash);
		if (site)
			return site;
	}
	return 0;
}

/* Enters hash bits and site into one bucket. A thread that lost the race for the entry looks again:
 * the winner may have been the same stack; its own new site then stays unused. Returns the site that
 * is in, or 0 when there was no room. */
GLOBAL int index_enter(struct mt_index_bucket *b, struct mt_task *t, u32 acct, u32 frame_cnt,
		       u64 entry)
{
	if (!b || !t)
		return 0;
	for (int try = 0; try < 3; try++) {
		u32 room = index_room(b), twin;

		if (room >= MT_BUCKET_SLOTS)
			return 0;
		if (room >= INDEX_CROWDED)
			want_room(WANT_INDEX);
		BOUND(room, MT_BUCKET_SLOTS - 1);
		if (!__sync_val_compare_and_swap(&b->entry[room], 0, entry))
			return entry & MT_SITE_MASK;
		twin = index_lookup(b, t, acct, frame_cnt, entry);
		if (twin)
			return twin;
	}
	return 0;
}

/* Publishes a site in the newest generation that has room. */
GLOBAL int site_publish(struct mt_task *t, u32 acct, u32 frame_cnt, u64 hash, u32 site)
{
	u64 entry = (hash & INDEX_TAG_MASK) | (site & MT_SITE_MASK);
	u32 newest = control.index.cnt;

	if (!t)
		return 0;
	for (u32 n = 0; n < 2 * MT_GENERATIONS; n++) {
		u32 generation = newest - 1 - n / 2, in;
		struct mt_index_bucket *b;

		if (generation >= MT_GENERATIONS)
			break;
		b = index_bucket(generation, hash, n & 1);
		if (!b)
			break;
		in = index_enter(b, t, acct, frame_cnt, entry);
		if (in)
			return in;
	}
	want_room(WANT_INDEX);
	return site; /* not found again: a second site with these frames; user space merges them */
}

/* The site of the stack in t, the long way; 0 when there was no room (counted). */
GLOBAL int site_intern_slow(struct mt_task *t, u32 acct, u64 hash)
{
	u32 n, site;

	if (!t)
		return 0;
	n = t->frame_cnt;
	site = site_find(t, acct, n, hash);
	if (site)
		return site;
	if (control.stacks == MT_STACKS_DWARF)
		stack_places(t);
	if (t->removals) {
		site = site_find(t, acct, n, hash);
		if (site)
			return site;
	}
	site = site_create(t, acct, n, hash, t->stack_end);
	if (!site) {
		count_loss(MT_LOSS_SITE_TABLE_FULL);
		want_room(WANT_INDEX);
		return 0;
	}
	return site_publish(t, acct, n, hash, site);
}

/* The site of the stack in t, or 0. */
static __always_inline u32 site_intern(struct mt_task *t, u32 acct)
{
	u64 hash = (t->hash ^ acct) * HASH_PRIME;
	u64 n = t->frame_cnt;
	u32 site, at;

	hash ^= hash >> 32;
	BOUND(n, MT_STACK_DEPTH_MAX);
#pragma clang loop unroll(full)
	for (u32 i = 0; i < MT_CHUNK_FRAMES - 1; i++)
		t->frames[n + i] = 0;
	at = (hash >> 48) % MT_RECENT;
	site = t->recent[at].site;
	if (site && t->recent[at].hash == hash && site_matches(t, site, acct, n))
		return site;
	site = site_intern_slow(t, acct, hash);
	t->recent[at].hash = hash;
	t->recent[at].site = site;
	return site & MT_SITE_MASK;
}

#endif
