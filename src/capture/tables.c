// SPDX-License-Identifier: MIT
#include "capture/tables.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/message.h"
#include "memtrace/weight.h"
#include "memtrace.skel.h"

#define RETRY_MS 200
#define SPILL_BATCH 1024
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

static void *map_array(struct tables *t, const struct bpf_map *map, size_t bytes)
{
	return table_map(&t->memory, bpf_map__fd(map), bytes, NULL);
}

static int map_first_segments(struct tables *t)
{
	struct memtrace_bpf *s = t->skel;

	t->live[0] = map_array(t, s->maps.live_first,
			       MT_LIVE_SEGMENT * sizeof(struct mt_bucket));
	t->index[0] = map_array(t, s->maps.index_first,
				MT_INDEX_SEGMENT * sizeof(struct mt_index_bucket));
	t->sites[0] = map_array(t, s->maps.site_first,
				MT_SITE_SEGMENT * sizeof(struct mt_site));
	t->chunks[0] = map_array(t, s->maps.chunk_first,
				 MT_CHUNK_SEGMENT * sizeof(struct mt_chunk));
	return t->live[0] && t->index[0] && t->sites[0] && t->chunks[0] ? 0 : -ENOMEM;
}

int tables_init(struct tables *t, struct memtrace_bpf *skel, uint32_t acct_cnt,
		uint64_t budget_bytes, struct message *why)
{
	struct mt_control *c = &skel->bss->control;

	memset(t, 0, sizeof(*t));
	t->skel = skel;
	t->stop_fd = -1;
	t->control = c;
	t->weighted = skel->rodata->weighted;
	t->acct_cnt = acct_cnt;
	t->memory.budget = budget_bytes;
	t->ncpu = libbpf_num_possible_cpus();
	t->accts = map_array(t, skel->maps.accts, acct_cnt * sizeof(struct mt_acct));
	t->scopes = map_array(t, skel->maps.scopes, MT_SCOPES * sizeof(struct mt_scope));
	if (t->ncpu < 0 || !t->accts || !t->scopes || map_first_segments(t)) {
		tables_fini(t);
		return message_set(why, -ENOMEM, "cannot map the probes' tables: %s (free some memory)",
				   strerror(errno));
	}
	c->live.cnt = 1;
	c->index.cnt = 1;
	c->accts = (struct mt_pool){ .fresh = 1, .cap = acct_cnt };
	c->sites = (struct mt_pool){ .fresh = 1, .cap = MT_SITE_SEGMENT };
	c->chunks = (struct mt_pool){ .fresh = 1, .cap = MT_CHUNK_SEGMENT };
	c->next_acct_id = 1;
	c->epoch = 1;
	return 0;
}

/* Segments in use. */
static uint32_t segment_cnt(const struct mt_generations *g)
{
	return g->of[g->cnt - 1].first + g->of[g->cnt - 1].mask + 1;
}

/* Adds a generation half as large as all before it, or as much of that as the budget allows: large
 * enough that there are few, small enough to be there before the others are full. */
static int grow_generation(struct tables *t, struct mt_generations *g,
			   const struct segment_kind *kind, void **segments, uint32_t max)
{
	uint32_t first = segment_cnt(g), want = first / 2 + !(first / 2);

	if (g->cnt >= MT_GENERATIONS)
		return -ENOSPC;
	while (want & (want - 1))
		want &= want - 1;
	while (want && (first + want > max ||
			segments_add(&t->memory, kind, segments, first, want)))
		want /= 2;
	if (!want)
		return -ENOSPC;
	g->of[g->cnt].first = first;
	g->of[g->cnt].mask = want - 1;
	STORE(g->cnt, g->cnt + 1);
	return 0;
}

static int grow_live(struct tables *t)
{
	const struct segment_kind kind = { bpf_map__fd(t->skel->maps.live), sizeof(**t->live),
					   MT_LIVE_SEGMENT };

	return grow_generation(t, &t->control->live, &kind, (void **)t->live, MT_LIVE_SEGMENTS);
}

static int grow_index(struct tables *t)
{
	const struct segment_kind kind = { bpf_map__fd(t->skel->maps.site_index),
					   sizeof(**t->index), MT_INDEX_SEGMENT };

	return grow_generation(t, &t->control->index, &kind, (void **)t->index, MT_INDEX_SEGMENTS);
}

static uint64_t index_room(const struct mt_control *c)
{
	return (uint64_t)segment_cnt(&c->index) * MT_INDEX_SEGMENT * MT_BUCKET_SLOTS;
}

/* Doubles a pool that is half used, so that there is always as much ahead as was ever needed. */
static int grow_pool(struct tables *t, struct mt_pool *pool, const struct segment_kind *kind,
		     void **segments, uint32_t max)
{
	uint32_t have = pool->cap / kind->items, want = have;

	if (2 * LOAD(pool->fresh) < pool->cap)
		return 0;
	while (want && (have + want > max ||
			segments_add(&t->memory, kind, segments, have, want)))
		want /= 2;
	if (!want)
		return -ENOSPC;
	STORE(pool->cap, pool->cap + want * kind->items);
	return 0;
}

static int grow_pools(struct tables *t)
{
	const struct segment_kind sites = { bpf_map__fd(t->skel->maps.sites), sizeof(**t->sites),
					    MT_SITE_SEGMENT };
	const struct segment_kind chunks = { bpf_map__fd(t->skel->maps.chunks), sizeof(**t->chunks),
					     MT_CHUNK_SEGMENT };
	int err = grow_pool(t, &t->control->sites, &sites, (void **)t->sites, MT_SITE_SEGMENTS);

	if (err)
		return err;
	return grow_pool(t, &t->control->chunks, &chunks, (void **)t->chunks, MT_CHUNK_SEGMENTS);
}

/* Adds the segments that are wanted or will be soon. */
static void grow(struct tables *t)
{
	struct mt_control *c = t->control;
	int err = 0;

	/* each flag is cleared after the room is there, and stays up when there is none to give */
	if (LOAD(c->want_live)) {
		err = grow_live(t);
		if (!err)
			STORE(c->want_live, 0);
	}
	if (!err)
		err = grow_pools(t);
	if (!err && LOAD(c->want_index)) {
		if (index_room(c) < 4ULL * c->sites.cap)
			err = grow_index(t);
		if (!err)
			STORE(c->want_index, 0);
	}
	t->full = err == -ENOSPC;
}

static int see_wish(void *ctx, void *data, size_t size)
{
	(void)data;
	(void)size;
	grow(ctx);
	return 0;
}

static void *grow_on_demand(void *arg)
{
	struct tables *t = arg;
	struct pollfd fds[] = {
		{ .fd = ring_buffer__epoll_fd(t->growth), .events = POLLIN },
		{ .fd = t->stop_fd, .events = POLLIN },
	};

	while (!fds[1].revents) {
		/* a wish that could not be granted stays: look again after a while */
		poll(fds, 2, t->full ? RETRY_MS : -1);
		ring_buffer__consume(t->growth);
		grow(t);
	}
	return NULL;
}

int tables_start_growing(struct tables *t, struct message *why)
{
	sigset_t all, before;
	int err;

	t->growth = ring_buffer__new(bpf_map__fd(t->skel->maps.growth), see_wish, t, NULL);
	t->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (!t->growth || t->stop_fd < 0)
		return message_set(why, -ENOMEM, "out of memory");
	sigfillset(&all); /* signals are the caller's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t->grower, NULL, grow_on_demand, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		return 0;
	close(t->stop_fd);
	t->stop_fd = -1;
	return message_set(why, -err, "cannot start a thread: %s", strerror(err));
}

static void stop_growing(struct tables *t)
{
	uint64_t one = 1;

	if (t->stop_fd >= 0) {
		if (write(t->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(t->grower, NULL);
		close(t->stop_fd);
		t->stop_fd = -1;
	}
	ring_buffer__free(t->growth);
	t->growth = NULL;
}

void tables_fini(struct tables *t)
{
	if (!t->control)
		return;
	stop_growing(t);
	table_unmap(t->accts, t->acct_cnt * sizeof(struct mt_acct));
	table_unmap(t->scopes, MT_SCOPES * sizeof(struct mt_scope));
	for (int i = 0; i < MT_LIVE_SEGMENTS; i++)
		if (t->live[i])
			table_unmap(t->live[i],
				    MT_LIVE_SEGMENT * sizeof(struct mt_bucket));
	for (int i = 0; i < MT_INDEX_SEGMENTS; i++)
		if (t->index[i])
			table_unmap(t->index[i],
				    MT_INDEX_SEGMENT * sizeof(struct mt_index_bucket));
	for (int i = 0; i < MT_SITE_SEGMENTS; i++)
		table_unmap(t->sites[i], MT_SITE_SEGMENT * sizeof(struct mt_site));
	for (int i = 0; i < MT_CHUNK_SEGMENTS; i++)
		table_unmap(t->chunks[i], MT_CHUNK_SEGMENT * sizeof(struct mt_chunk));
	memset(t, 0, sizeof(*t));
}

struct mt_site *tables_site(const struct tables *t, uint32_t site)
{
	uint32_t segment = site / MT_SITE_SEGMENT;

	if (segment >= MT_SITE_SEGMENTS || !t->sites[segment])
		return NULL;
	return &t->sites[segment][site % MT_SITE_SEGMENT];
}

static struct mt_chunk *chunk_at(const struct tables *t, uint64_t chunk)
{
	uint64_t segment = chunk / MT_CHUNK_SEGMENT;

	if (segment >= MT_CHUNK_SEGMENTS || !t->chunks[segment])
		return NULL;
	return &t->chunks[segment][chunk % MT_CHUNK_SEGMENT];
}

uint32_t tables_site_end(const struct tables *t)
{
	uint32_t fresh = LOAD(t->control->sites.fresh), cap = t->control->sites.cap;

	return fresh < cap ? fresh : cap;
}

uint32_t tables_frames(const struct tables *t, const struct mt_site *site, uint64_t *pcs)
{
	uint32_t cnt = site->frame_cnt, n = 0;
	uint64_t chunk = site->chunk;

	while (n < cnt && n < MT_STACK_DEPTH_MAX) {
		const struct mt_chunk *piece = chunk_at(t, chunk);

		if (!chunk || !piece)
			break;
		for (int i = 0; i < MT_CHUNK_FRAMES && n < cnt && n < MT_STACK_DEPTH_MAX; i++)
			pcs[n++] = piece->pc[i];
		chunk = piece->next;
	}
	return n;
}

static uint64_t count_of(const struct tables *t, uint64_t code)
{
	return t->weighted ? mt_weight_count(code) : 1;
}

static void see_spilled(const struct tables *t, uint64_t key, const struct mt_spill *spilled,
			block_fn see, void *ctx)
{
	struct table_block block = {
		.acct = key & MT_ACCT_MASK,
		.site = spilled->site,
		.size = spilled->size,
		.born_ns = spilled->born_ns,
		.count = count_of(t, spilled->weight),
	};

	see(ctx, &block);
}

/* In batches of whole buckets: a walk from key to key begins anew, and sees blocks twice, when the key
 * it stands on is deleted. */
static int spill_each(const struct tables *t, block_fn see, void *ctx)
{
	int fd = bpf_map__fd(t->skel->maps.spill), err = 0;
	uint32_t room = SPILL_BATCH, cnt, at = 0, *from = NULL;
	struct mt_spill *blocks = NULL;
	uint64_t *keys = NULL;

	if (!LOAD(t->control->spilled))
		return 0;
	while (!err) {
		if (!keys) {
			keys = malloc(room * sizeof(*keys));
			blocks = malloc(room * sizeof(*blocks));
			if (!keys || !blocks) {
				err = -ENOMEM;
				break;
			}
		}
		cnt = room;
		err = bpf_map_lookup_batch(fd, from, &at, keys, blocks, &cnt, NULL) ? -errno : 0;
		if (err == -ENOSPC) { /* one bucket has more */
			free(keys);
			free(blocks);
			keys = NULL;
			blocks = NULL;
			room *= 2;
			err = 0;
			continue;
		}
		if (err && err != -ENOENT)
			break;
		for (uint32_t i = 0; i < cnt; i++)
			see_spilled(t, keys[i], &blocks[i], see, ctx);
		from = &at;
	}
	free(keys);
	free(blocks);
	return err == -ENOENT ? 0 : err;
}

/* What is in slot i of the bucket; false when it is empty or about to change. */
static bool read_slot(const struct tables *t, struct mt_bucket *b, int i, struct table_block *out)
{
	uint64_t key = LOAD(b->key[i]), meta, born;

	if (!key)
		return false;
	meta = LOAD(b->meta[i]);
	born = b->born_ns[i];
	if (!meta || LOAD(b->key[i]) != key)
		return false;
	*out = (struct table_block){
		.acct = key & MT_ACCT_MASK,
		.site = meta & MT_SITE_MASK,
		.size = meta >> MT_SITE_BITS,
		.born_ns = t->weighted ? mt_born_ns(born, t->control->began_ns) : born,
		.count = count_of(t, mt_born_code(born)),
	};
	return true;
}

int tables_each_block(const struct tables *t, block_fn see, void *ctx)
{
	struct table_block block;

	for (uint32_t segment = 0; segment < segment_cnt(&t->control->live); segment++)
		for (uint32_t n = 0; n < MT_LIVE_SEGMENT; n++)
			for (int i = 0; i < MT_BUCKET_SLOTS; i++)
				if (read_slot(t, &t->live[segment][n], i, &block))
					see(ctx, &block);
	return spill_each(t, see, ctx);
}

/* ---- slots ------------------------------------------------------------------------------------ */

static void pool_push(struct mt_pool *pool, uint64_t *link, uint32_t slot)
{
	__u64 head = LOAD(pool->head), next;

	do {
		STORE(*link, (uint32_t)head);
		next = (head >> 32 << 32) | slot;
	} while (!__atomic_compare_exchange_n(&pool->head, &head, next, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
}

uint32_t tables_acct_pop(struct tables *t)
{
	struct mt_pool *pool = &t->control->accts;
	__u64 head = LOAD(pool->head), next;
	uint32_t slot;

	while ((uint32_t)head) {
		next = ((head >> 32) + 1) << 32 | (uint32_t)LOAD(t->accts[(uint32_t)head].next_free);
		if (__atomic_compare_exchange_n(&pool->head, &head, next, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return head;
	}
	slot = LOAD(pool->fresh);
	while (slot < pool->cap)
		if (__atomic_compare_exchange_n(&pool->fresh, &slot, slot + 1, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return slot;
	return 0;
}

static uint32_t chunk_pop(struct tables *t)
{
	struct mt_pool *pool = &t->control->chunks;
	__u64 head = LOAD(pool->head), next;
	struct mt_chunk *piece;
	uint32_t chunk;

	while ((uint32_t)head) {
		piece = chunk_at(t, (uint32_t)head);
		if (!piece)
			return 0;
		next = ((head >> 32) + 1) << 32 | (uint32_t)LOAD(piece->next);
		if (__atomic_compare_exchange_n(&pool->head, &head, next, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			return head;
	}
	chunk = __atomic_fetch_add(&pool->fresh, 1, __ATOMIC_ACQ_REL);
	if (chunk < LOAD(pool->cap))
		return chunk;
	__atomic_fetch_sub(&pool->fresh, 1, __ATOMIC_ACQ_REL);
	return 0;
}

static void release_chunks(struct tables *t, uint64_t chunk)
{
	uint64_t next;

	for (int n = 0; chunk && n < MT_CHUNKS_PER_STACK_MAX; n++) {
		struct mt_chunk *piece = chunk_at(t, chunk);

		if (!piece)
			break;
		next = piece->next;
		pool_push(&t->control->chunks, (uint64_t *)&piece->next, chunk);
		chunk = next;
	}
}

/* A fresh chain with the frames; its first chunk, or 0. */
static uint32_t store_frames(struct tables *t, const uint64_t *pcs, uint32_t cnt)
{
	struct mt_chunk *previous = NULL;
	uint32_t first = 0, chunk;

	for (uint32_t at = 0; at < cnt; at += MT_CHUNK_FRAMES) {
		struct mt_chunk *piece;

		chunk = chunk_pop(t);
		piece = chunk ? chunk_at(t, chunk) : NULL;
		if (!piece) {
			release_chunks(t, first);
			return 0;
		}
		for (uint32_t i = 0; i < MT_CHUNK_FRAMES; i++)
			piece->pc[i] = at + i < cnt ? pcs[at + i] : 0;
		piece->next = 0;
		if (previous)
			previous->next = chunk;
		else
			first = chunk;
		previous = piece;
	}
	return first;
}

int tables_complete_site(struct tables *t, struct mt_site *site, const uint64_t *pcs, uint32_t cnt,
			 uint32_t stack_end)
{
	uint32_t chunk = store_frames(t, pcs, cnt), old = site->chunk;

	if (!chunk)
		return -ENOSPC;
	site->frame_cnt = cnt;
	site->stack_end = stack_end;
	STORE(site->chunk, chunk);
	release_chunks(t, old);
	return 0;
}

static void release_blocks(struct tables *t, const bool *slots)
{
	for (uint32_t segment = 0; segment < segment_cnt(&t->control->live); segment++) {
		for (uint32_t n = 0; n < MT_LIVE_SEGMENT; n++) {
			struct mt_bucket *b = &t->live[segment][n];

			for (int i = 0; i < MT_BUCKET_SLOTS; i++) {
				uint64_t key = LOAD(b->key[i]);

				if (!key || (key & MT_ACCT_MASK) >= t->acct_cnt ||
				    !slots[key & MT_ACCT_MASK])
					continue;
				STORE(b->meta[i], 0);
				STORE(b->key[i], 0);
			}
		}
	}
}

/* Removes the keys of these accounts from a hash; returns how many. */
static uint64_t release_hash(struct tables *t, int fd, const bool *slots)
{
	uint64_t key, next, cnt = 0;
	int more = !bpf_map_get_next_key(fd, NULL, &key);

	while (more) {
		more = !bpf_map_get_next_key(fd, &key, &next);
		if ((key & MT_ACCT_MASK) < t->acct_cnt && slots[key & MT_ACCT_MASK] &&
		    !bpf_map_delete_elem(fd, &key))
			cnt++;
		key = next;
	}
	return cnt;
}

/* Removes a site from the index; it may not be there (see site_publish). */
static void index_forget(struct tables *t, uint64_t hash, uint32_t site)
{
	const struct mt_generations *g = &t->control->index;

	for (uint32_t n = 0; n < 2 * g->cnt; n++) {
		uint64_t h = MT_INDEX_HASH(hash, n & 1);
		uint32_t segment = g->of[n / 2].first + MT_HOME_SEGMENT(h, g->of[n / 2].mask);
		struct mt_index_bucket *b = &t->index[segment][MT_HOME_BUCKET(h, MT_INDEX_SEGMENT)];

		for (int i = 0; i < MT_BUCKET_SLOTS; i++)
			if ((LOAD(b->entry[i]) & MT_SITE_MASK) == site)
				STORE(b->entry[i], 0);
	}
}

static void release_site(struct tables *t, struct mt_site *s, uint32_t site)
{
	index_forget(t, s->hash, site);
	release_chunks(t, s->chunk);
	/* the other figures are set to 0 by the probe that takes the site again */
	s->variance_blocks = s->variance_low = s->variance_high = 0;
	STORE(s->acct, 0);
	pool_push(&t->control->sites, (uint64_t *)&s->next_free, site);
}

void tables_release(struct tables *t, const bool *slots)
{
	struct mt_control *c = t->control;
	uint32_t end = tables_site_end(t);
	bool blocks = false;

	for (uint32_t slot = 1; slot < t->acct_cnt; slot++)
		if (slots[slot] && t->accts[slot].live_blocks)
			blocks = true;
	if (blocks)
		release_blocks(t, slots);
	if (LOAD(c->spilled))
		__atomic_fetch_sub(&c->spilled,
				   release_hash(t, bpf_map__fd(t->skel->maps.spill), slots),
				   __ATOMIC_ACQ_REL);
	if (LOAD(c->ghosts))
		__atomic_fetch_sub(&c->ghosts,
				   release_hash(t, bpf_map__fd(t->skel->maps.ghosts), slots),
				   __ATOMIC_ACQ_REL);
	for (uint32_t site = 1; site < end; site++) {
		struct mt_site *s = tables_site(t, site);

		if (s && s->acct && s->acct < t->acct_cnt && slots[s->acct])
			release_site(t, s, site);
	}
	for (uint32_t slot = 1; slot < t->acct_cnt; slot++) {
		if (!slots[slot])
			continue;
		if (t->accts[slot].parent && t->accts[slot].parent < t->acct_cnt)
			__atomic_fetch_sub(&t->accts[t->accts[slot].parent].heirs, 1,
					   __ATOMIC_ACQ_REL);
		t->accts[slot].id = 0;
		STORE(t->accts[slot].state, MT_ACCT_FREE);
		pool_push(&c->accts, (uint64_t *)&t->accts[slot].next_free, slot);
	}
}

void tables_percpu(const struct tables *t, struct mt_percpu *sum)
{
	struct mt_percpu *each = calloc(t->ncpu, sizeof(*each));
	uint32_t zero = 0;

	memset(sum, 0, sizeof(*sum));
	if (!each || bpf_map_lookup_elem(bpf_map__fd(t->skel->maps.percpu), &zero, each))
		goto out;
	for (int cpu = 0; cpu < t->ncpu; cpu++)
		for (int i = 0; i < MT_SIZE_CLASSES; i++)
			sum->size_classes[i] += each[cpu].size_classes[i];
out:
	free(each);
}
