/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * account.h - the figures: what one allocation or free does to a site, its account and its scopes.
 *
 * live_bytes of an account and of a scope change by one fetch-add per event; what that returns is
 * the point in time for peaks and limits. bytes-at-peak of a site is kept lazily: before a site
 * changes, if a newer peak was made since it was last touched, what is live there now is what was
 * live at that peak.
 */
#ifndef MEMTRACE_BPF_ACCOUNT_H
#define MEMTRACE_BPF_ACCOUNT_H

#define PEAK_TRIES 16
#define SIGNAL_KILL 9
#define SIGNAL_STOP 19

/* Adds and returns the new value. An account and its sites belong to one address space, so while it
 * has one thread nobody else writes them and the bus need not be locked. */
static __always_inline s64 figure_add(void *figure, s64 value, bool threaded)
{
	s64 *at = figure;

	if (threaded)
		return __sync_fetch_and_add(at, value) + value;
	return *at += value;
}

/* Raises *peak to value; 1 when this call did. */
static __always_inline int peak_raise(u64 *peak, u64 value)
{
	u64 old = *(volatile u64 *)peak, seen;

	for (int try = 0; try < PEAK_TRIES; try++) {
		if (value <= old)
			return 0;
		seen = __sync_val_compare_and_swap(peak, old, value);
		if (seen == old)
			return 1;
		old = seen;
	}
	count_loss(MT_LOSS_PEAK_RACE);
	return 0;
}

/* Before a site changes: settle what was live in it at the account's latest peak. */
static __always_inline void site_settle(struct mt_site *s, const struct mt_acct *a)
{
	u64 epoch = *(volatile u64 *)&a->peak_epoch;

	if (s->epoch == epoch)
		return;
	s->at_peak_bytes = s->live_bytes;
	s->epoch = epoch;
}

/* What a block counts for: one and its size, or an estimate. */
static __always_inline u64 block_count(const struct mt_spill *block)
{
	return weighted ? mt_weight_count(block->weight) : 1;
}

static __always_inline u64 block_bytes(const struct mt_spill *block)
{
	return weighted ? mt_weight_bytes(block->size, mt_weight_count(block->weight)) :
			  block->size;
}

/* A block that stands for count blocks of its size adds count * (count - 1) to the variance of the sum of
 * blocks, and size squared times that to the one of bytes. */
static __always_inline void variance_add(struct mt_site *s, u64 size, u64 count)
{
	u64 coarse = count >> 8, bytes = mt_weight_bytes(size, count), more = bytes - size, low, high;
	u64 excess;

	if (count <= MT_COUNT_ONE)
		return;
	if (coarse >> 31)
		coarse = 1ULL << 31;
	excess = count >> 8 > 256 ? coarse - 256 : 0;
	__sync_fetch_and_add(&s->variance_blocks, coarse * excess >> 8);
	if (bytes >> 32) {
		low = (bytes >> 16) * (more >> 16);
		high = low >> 32;
		low <<= 32;
	} else {
		low = bytes * more;
		high = 0;
	}
	if (__sync_fetch_and_add(&s->variance_low, low) + low < low)
		high++;
	if (high)
		__sync_fetch_and_add(&s->variance_high, high);
}

/* A block that counts for that many, and as many bytes. */
static __always_inline void site_add(struct mt_acct *a, const struct mt_spill *block, u64 count,
				     u64 bytes, bool threaded)
{
	struct mt_site *s = block->site ? site_at(block->site) : NULL;
	u64 now;

	if (!s) {
		figure_add(&a->unsited_blocks, count, true);
		figure_add(&a->unsited_bytes, bytes, true);
		return;
	}
	site_settle(s, a);
	if (weighted)
		variance_add(s, block->size, count);
	figure_add(&s->alloc_blocks, count, threaded);
	figure_add(&s->alloc_bytes, bytes, threaded);
	now = figure_add(&s->live_bytes, bytes, threaded);
	if (now > *(volatile u64 *)&s->peak_bytes)
		peak_raise(&s->peak_bytes, now);
}

static __always_inline void site_sub(const struct mt_acct *a, const struct mt_spill *block,
				     bool threaded)
{
	struct mt_site *s = block->site ? site_at(block->site) : NULL;

	if (!s) {
		if (block->site) /* not one that was never known (site_table_full) */
			count_loss(MT_LOSS_LATE_SITE);
		return;
	}
	site_settle(s, a);
	figure_add(&s->live_bytes, -(s64)block_bytes(block), threaded);
}

/* Someone's live bytes passed the limit: tell, and act before the call returns to the program. */
static __always_inline void limit_crossed(struct mt_acct *a, u32 slot, u32 scope, u64 now_ns)
{
	struct mt_news item = {};

	item.kind = MT_NEWS_LIMIT;
	item.tgid = a->tgid;
	item.time_ns = now_ns;
	item.acct = slot;
	item.scope = scope;
	item.acct_id = a->id;
	if (control.on_limit == MT_ON_LIMIT_KILL)
		bpf_send_signal(SIGNAL_KILL);
	else if (control.on_limit == MT_ON_LIMIT_STOP)
		bpf_send_signal(SIGNAL_STOP);
	news_send(&item);
}

static __always_inline void scope_change(u32 scope, struct mt_acct *a, u32 slot, u32 site,
					 s64 bytes, u64 now_ns, bool limited)
{
	struct mt_scope *s = bpf_map_lookup_elem(&scopes, &scope);
	u64 limit = control.limit_bytes;
	s64 live;

	if (!s)
		return;
	live = __sync_fetch_and_add(&s->live_bytes, bytes) + bytes;
	if (bytes <= 0 || live <= 0)
		return;
	if ((u64)live > *(volatile u64 *)&s->peak_bytes && peak_raise(&s->peak_bytes, live))
		s->peak_at_ns = now_ns;
	if (!limited || !limit || (u64)live <= limit || s->exceeded_ns)
		return;
	if (__sync_val_compare_and_swap(&s->exceeded_ns, 0, now_ns))
		return;
	s->exceeded_usage = live;
	s->exceeded_acct = slot;
	s->exceeded_site = site;
	s->exceeded_acct_id = a->id;
	limit_crossed(a, slot, scope, now_ns);
}

/* Live bytes and blocks of an account changed; site is where bytes came from, and now_ns when (for
 * bytes that went, neither is needed). */
static __always_inline void acct_change(struct mt_acct *a, u32 slot, u32 site, s64 bytes,
					s64 blocks, u64 now_ns, bool threaded)
{
	bool per_process = control.limit_per_process;
	u64 limit = control.limit_bytes;
	u32 scope = a->scope;
	s64 live;

	if (blocks)
		figure_add(&a->live_blocks, blocks, threaded);
	live = figure_add(&a->live_bytes, bytes, threaded);
	if (bytes > 0 && live > 0) {
		if ((u64)live > *(volatile u64 *)&a->peak_bytes &&
		    peak_raise(&a->peak_bytes, live)) {
			a->peak_at_ns = now_ns;
			a->peak_blocks = a->live_blocks;
			figure_add(&a->peak_epoch, 1, threaded);
		}
		if (per_process && limit && (u64)live > limit && !a->exceeded_ns &&
		    !__sync_val_compare_and_swap(&a->exceeded_ns, 0, now_ns)) {
			a->exceeded_site = site;
			*(volatile u64 *)&a->exceeded_usage = live;
			limit_crossed(a, slot, 0, now_ns);
		}
	}
	scope_change(0, a, slot, site, bytes, now_ns, !per_process && !scope);
	if (scope)
		scope_change(scope, a, slot, site, bytes, now_ns, !per_process);
}

/* log2 of a word whose lower bits are all set, by the top bits of its product with a de Bruijn word. */
static const u8 log2_of[64] = {
	0, 58, 1, 59, 47, 53, 2, 60, 39, 48, 27, 54, 33, 42, 3, 61,
	51, 37, 40, 49, 18, 28, 20, 55, 30, 34, 11, 43, 14, 22, 4, 62,
	57, 46, 52, 38, 26, 32, 41, 50, 36, 17, 19, 29, 10, 13, 21, 56,
	45, 25, 31, 35, 16, 9, 12, 44, 24, 15, 8, 23, 7, 6, 5, 63,
};

/* Without a branch: six of them were 64 paths for the verifier. */
static __always_inline u32 size_class(u64 size)
{
	u32 class;

	size |= size >> 1;
	size |= size >> 2;
	size |= size >> 4;
	size |= size >> 8;
	size |= size >> 16;
	size |= size >> 32;
	class = log2_of[size * 0x03f6eaf2cd271461ULL >> 58];
	return class < MT_SIZE_CLASSES ? class : MT_SIZE_CLASSES - 1;
}

static __always_inline void size_count(u64 size, u64 count)
{
	struct mt_percpu *counters = percpu_counters();
	u32 class = size_class(size);

	if (counters && class < MT_SIZE_CLASSES)
		__sync_fetch_and_add(&counters->size_classes[class], count);
}

#endif
