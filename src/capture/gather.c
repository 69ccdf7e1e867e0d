// SPDX-License-Identifier: MIT
#include "capture/gather.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "capture/tables.h"
#include "memtrace/weight.h"

/* What the live table says of one site. */
struct ages {
	uint64_t blocks, bytes;
	uint64_t oldest_ns, youngest_ns;
	uint64_t aged_blocks, aged_bytes, aged_youngest_ns;
	struct spread live, aged;
	struct memtrace_ages by_age;
};

struct block_pass {
	const struct tables *tables;
	const bool *slots;
	const struct gather_options *options;
	struct ages *ages; /* by site number */
	uint32_t site_end;
};

/* Ages are of this moment. */
static uint64_t now_of(const struct block_pass *pass, const struct mt_acct *a)
{
	return a->end_ns ? a->end_ns : pass->options->now_ns;
}

static bool is_aged(const struct block_pass *pass, const struct mt_acct *a, uint64_t born_ns)
{
	if (a->end_ns && !pass->options->min_age_at_exit)
		return true;
	return born_ns + pass->options->min_age_ns <= now_of(pass, a);
}

/* Number of the bin an age is in (see memtrace.h). */
static unsigned int age_bin(uint64_t age_ns)
{
	uint64_t units = age_ns / (1000000000 / 64);
	unsigned int bin = units ? 64 - (unsigned int)__builtin_clzll(units) : 0;

	return bin < MEMTRACE_AGE_BINS ? bin : MEMTRACE_AGE_BINS - 1;
}

/* What one block of a sample adds (see weight.h; the probes do the same for what was allocated). */
static void spread_block(struct spread *spread, const struct table_block *block, uint64_t bytes)
{
	double step = bytes > block->size ? (double)(bytes - block->size) : 0;
	double count = (double)block->count / MT_COUNT_ONE;
	double more = fmax(count - 1, 0);

	spread->blocks += count * more;
	spread->bytes += (double)bytes * step;
	spread->blocks_skew += count * more * more;
	spread->bytes_skew += (double)bytes * step * step;
	spread->seen_blocks++;
	spread->seen_bytes += block->size;
}

static void see_block(void *ctx, const struct table_block *block)
{
	struct block_pass *pass = ctx;
	bool weighted = pass->tables->weighted;
	uint64_t born_ns = block->born_ns, bytes = block->size, now_ns;
	struct ages *ages;
	unsigned int bin;

	if (block->acct >= pass->tables->acct_cnt || !pass->slots[block->acct] ||
	    block->site >= pass->site_end)
		return;
	ages = &pass->ages[block->site];
	if (weighted) {
		bytes = mt_weight_bytes(block->size, block->count);
		spread_block(&ages->live, block, bytes);
	}
	now_ns = now_of(pass, &pass->tables->accts[block->acct]);
	bin = age_bin(now_ns > born_ns ? now_ns - born_ns : 0);
	ages->by_age.blocks[bin] += block->count;
	ages->by_age.bytes[bin] += bytes;
	ages->blocks += block->count;
	ages->bytes += bytes;
	if (!ages->oldest_ns || born_ns < ages->oldest_ns)
		ages->oldest_ns = born_ns;
	if (born_ns > ages->youngest_ns)
		ages->youngest_ns = born_ns;
	if (!is_aged(pass, &pass->tables->accts[block->acct], born_ns))
		return;
	if (weighted)
		spread_block(&ages->aged, block, bytes);
	ages->aged_blocks += block->count;
	ages->aged_bytes += bytes;
	if (born_ns > ages->aged_youngest_ns)
		ages->aged_youngest_ns = born_ns;
}

/* Of variances times steps, at least: what it is if all blocks have one step. */
static double skew_of(double variance, double sum, double of_live)
{
	return fmax(sum > 0 ? variance * variance / sum : 0, of_live);
}

/* How many blocks were sampled is not kept. The sum of counts squared, over the sum of their squares, is
 * that number where all counts are equal, which they mostly are in one site, and never more. */
static struct spread spread_of_allocs(const struct mt_site *s, const struct ages *ages)
{
	double blocks = (double)s->alloc_blocks / MT_COUNT_ONE;
	struct spread spread = {
		.blocks = (double)s->variance_blocks / 256,
		.bytes = (double)s->variance_high * 0x1p64 + (double)s->variance_low,
		.seen_blocks = ages->live.seen_blocks,
		.seen_bytes = ages->live.seen_bytes,
	};
	uint64_t equal = blocks > 0 ? blocks * blocks / (spread.blocks + blocks) : 0;

	if (equal > spread.seen_blocks)
		spread.seen_blocks = equal;
	spread.blocks_skew = skew_of(spread.blocks, blocks, ages->live.blocks_skew);
	spread.bytes_skew = skew_of(spread.bytes, s->alloc_bytes, ages->live.bytes_skew);
	return spread;
}

static void spread_add(struct spread *into, const struct spread *more)
{
	into->blocks += more->blocks;
	into->bytes += more->bytes;
	into->blocks_skew += more->blocks_skew;
	into->bytes_skew += more->bytes_skew;
	into->seen_blocks += more->seen_blocks;
	into->seen_bytes += more->seen_bytes;
}

static void take_site(struct site_record *out, const struct mt_site *s, const struct mt_acct *a,
		      uint32_t number, const struct ages *ages)
{
	uint64_t live = s->live_bytes > 0 ? s->live_bytes : 0;

	out->number = number;
	out->stack_end = s->stack_end;
	out->places = s->places;
	out->first_ns = s->first_ns;
	out->alloc_blocks = s->alloc_blocks;
	out->alloc_bytes = s->alloc_bytes;
	out->live_blocks = ages->blocks;
	out->live_bytes = ages->bytes;
	out->peak_bytes = s->peak_bytes;
	/* not touched since the latest peak: what is live now was live then */
	out->bytes_at_peak = s->epoch == a->peak_epoch ? s->at_peak_bytes : live;
	out->oldest_ns = ages->oldest_ns;
	out->youngest_ns = ages->youngest_ns;
	out->aged_blocks = ages->aged_blocks;
	out->aged_bytes = ages->aged_bytes;
	out->aged_youngest_ns = ages->aged_youngest_ns;
}

static void take_spread(struct site_record *out, const struct mt_site *s, const struct ages *ages)
{
	out->alloc = spread_of_allocs(s, ages);
	out->live = ages->live;
	out->aged = ages->aged;
}

static int by_frames(const struct site_record *x, const struct site_record *y)
{
	if (x->frame_cnt != y->frame_cnt)
		return x->frame_cnt < y->frame_cnt ? -1 : 1;
	return memcmp(x->pcs, y->pcs, x->frame_cnt * sizeof(*x->pcs));
}

/* Equal stacks together, in order of time; those whose places are not known behind the others. */
static int by_stack(const void *a, const void *b)
{
	const struct site_record *x = a, *y = b;
	int order = by_frames(x, y);

	if (order || !x->places != !y->places)
		return order ? order : !x->places ? 1 : -1;
	return x->first_ns < y->first_ns ? -1 : x->first_ns > y->first_ns;
}

static uint64_t older(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

static void ages_add(struct memtrace_ages *into, const struct memtrace_ages *more)
{
	for (unsigned int bin = 0; bin < MEMTRACE_AGE_BINS; bin++) {
		into->blocks[bin] += more->blocks[bin];
		into->bytes[bin] += more->bytes[bin];
	}
}

static void site_merge(struct site_record *into, const struct site_record *twin)
{
	into->alloc_blocks += twin->alloc_blocks;
	into->alloc_bytes += twin->alloc_bytes;
	into->live_blocks += twin->live_blocks;
	into->live_bytes += twin->live_bytes;
	into->peak_bytes += twin->peak_bytes;
	into->bytes_at_peak += twin->bytes_at_peak;
	into->oldest_ns = older(into->oldest_ns, twin->oldest_ns);
	if (twin->youngest_ns > into->youngest_ns)
		into->youngest_ns = twin->youngest_ns;
	into->aged_blocks += twin->aged_blocks;
	into->aged_bytes += twin->aged_bytes;
	if (twin->aged_youngest_ns > into->aged_youngest_ns)
		into->aged_youngest_ns = twin->aged_youngest_ns;
	spread_add(&into->alloc, &twin->alloc);
	spread_add(&into->live, &twin->live);
	spread_add(&into->aged, &twin->aged);
	if (!into->ages)
		into->ages = twin->ages;
	else if (twin->ages)
		ages_add(into->ages, twin->ages);
}

/* Among sites with equal stacks the one that is the same, or NULL. A site whose places are not known was
 * mostly unwound by user space, until the table was there: it is the first one that began later. */
static struct site_record *twin_of(struct site_record *sites, uint32_t cnt, const struct site_record *s)
{
	for (uint32_t i = 0; i < cnt; i++)
		if (s->places ? sites[i].places == s->places :
				sites[i].first_ns >= s->first_ns || i + 1 == cnt)
			return &sites[i];
	return NULL;
}

static void merge_twins(struct account_record *r)
{
	uint32_t n = 0, run = 0; /* sites that stay; the first of those with this stack */

	if (r->site_cnt)
		qsort(r->sites, r->site_cnt, sizeof(*r->sites), by_stack);
	for (uint32_t i = 0; i < r->site_cnt; i++) {
		struct site_record *twin;

		if (i && by_frames(&r->sites[run], &r->sites[i]))
			run = n;
		twin = twin_of(r->sites + run, n - run, &r->sites[i]);
		if (twin)
			site_merge(twin, &r->sites[i]);
		else
			r->sites[n++] = r->sites[i];
	}
	r->site_cnt = n;
}

static uint64_t whole_blocks(uint64_t units)
{
	return (units + MT_COUNT_ONE / 2) >> MT_COUNT_SHIFT;
}

uint64_t gather_whole_blocks(const struct tables *t, uint64_t units)
{
	return t->weighted ? whole_blocks(units) : units;
}

/* From MT_COUNT_ONE to blocks. */
static void count_whole_blocks(struct account_record *r, bool sampled)
{
	uint64_t sited = 0, live = 0;

	for (uint32_t i = 0; i < r->site_cnt; i++) {
		struct site_record *site = &r->sites[i];

		sited += site->live_blocks;
		site->alloc_blocks = whole_blocks(site->alloc_blocks);
		site->live_blocks = whole_blocks(site->live_blocks);
		site->aged_blocks = whole_blocks(site->aged_blocks);
		live += site->live_blocks;
		for (unsigned int bin = 0; site->ages && bin < MEMTRACE_AGE_BINS; bin++)
			site->ages->blocks[bin] = whole_blocks(site->ages->blocks[bin]);
		spread_add(&r->alloc, &site->alloc);
		spread_add(&r->live, &site->live);
	}
	if (r->acct.unsited_blocks && r->acct.live_blocks > (int64_t)sited)
		live += whole_blocks(r->acct.live_blocks - sited);
	r->acct.live_blocks = live;
	r->acct.unsited_blocks = whole_blocks(r->acct.unsited_blocks);
	r->acct.peak_blocks = whole_blocks(r->acct.peak_blocks);
	r->acct.failed_allocs = whole_blocks(r->acct.failed_allocs);
	r->estimated = (sampled && r->acct.lane == MT_LANE_PRELOAD) ||
		       r->acct.flags & MT_ACCT_SAMPLED;
}

/* The account's own figures, from its sites'. */
static void add_up(struct account_record *r)
{
	uint64_t live = r->acct.live_blocks > 0 ? r->acct.live_blocks : 0;

	r->allocs = r->acct.unsited_blocks;
	r->alloc_bytes = r->acct.unsited_bytes;
	for (uint32_t i = 0; i < r->site_cnt; i++) {
		r->allocs += r->sites[i].alloc_blocks;
		r->alloc_bytes += r->sites[i].alloc_bytes;
	}
	r->frees = r->allocs > live ? r->allocs - live : 0;
}

/* Counts sites and frames of each account, so that each gets two arrays and no more. */
static int make_room(const struct tables *t, uint32_t site_end, struct account_record *records,
		     int cnt, const uint32_t *record_of)
{
	for (uint32_t site = 1; site < site_end; site++) {
		const struct mt_site *s = tables_site(t, site);

		if (!s || !s->acct || s->acct >= t->acct_cnt || !record_of[s->acct])
			continue;
		records[record_of[s->acct] - 1].site_cnt++;
		records[record_of[s->acct] - 1].pc_cnt += s->frame_cnt;
	}
	for (int i = 0; i < cnt; i++) {
		records[i].sites = calloc(records[i].site_cnt + 1, sizeof(*records[i].sites));
		/* a stack is copied whole, so leave room for the longest */
		records[i].pcs = calloc(records[i].pc_cnt + MT_STACK_DEPTH_MAX, sizeof(uint64_t));
		if (!records[i].sites || !records[i].pcs)
			return -ENOMEM;
	}
	return 0;
}

/* Most sites have no live blocks, so nothing to tell of their ages. */
static int make_age_room(const struct tables *t, uint32_t site_end, struct account_record *records,
			 int cnt, const uint32_t *record_of, const struct ages *ages)
{
	uint32_t room[cnt + 1];

	memset(room, 0, sizeof(room));
	for (uint32_t site = 1; site < site_end; site++) {
		const struct mt_site *s = ages[site].blocks ? tables_site(t, site) : NULL;

		if (s && s->acct && s->acct < t->acct_cnt && record_of[s->acct])
			room[record_of[s->acct] - 1]++;
	}
	for (int i = 0; i < cnt; i++) {
		records[i].ages = room[i] ? calloc(room[i], sizeof(*records[i].ages)) : NULL;
		records[i].age_cnt = room[i];
		if (room[i] && !records[i].ages)
			return -ENOMEM;
	}
	return 0;
}

/* ages NULL: nothing was looked at but counters. */
static void fill(const struct tables *t, uint32_t site_end, struct account_record *records, int cnt,
		 const uint32_t *record_of, const struct ages *ages)
{
	static const struct ages none;
	uint64_t pc_room[cnt + 1];
	uint32_t site_room[cnt + 1], age_room[cnt + 1];

	for (int i = 0; i < cnt; i++) {
		pc_room[i] = records[i].pc_cnt;
		site_room[i] = records[i].site_cnt;
		age_room[i] = records[i].age_cnt;
		records[i].pc_cnt = 0;
		records[i].site_cnt = 0;
		records[i].age_cnt = 0;
	}
	for (uint32_t site = 1; site < site_end; site++) {
		const struct mt_site *s = tables_site(t, site);
		struct account_record *r;
		struct site_record *out;

		if (!s || !s->acct || s->acct >= t->acct_cnt || !record_of[s->acct])
			continue;
		r = &records[record_of[s->acct] - 1];
		/* a running account may have got more since the count: the next one has them */
		if (!s->alloc_blocks || r->pc_cnt + s->frame_cnt > pc_room[r - records] ||
		    r->site_cnt >= site_room[r - records])
			continue;
		out = &r->sites[r->site_cnt];
		take_site(out, s, &r->acct, site, ages ? &ages[site] : &none);
		if (!ages)
			out->live_bytes = s->live_bytes > 0 ? s->live_bytes : 0;
		else if (ages[site].blocks && r->age_cnt < age_room[r - records])
			out->ages = &r->ages[r->age_cnt++];
		if (out->ages)
			*out->ages = ages[site].by_age;
		if (t->weighted && ages)
			take_spread(out, s, &ages[site]);
		out->pcs = r->pcs + r->pc_cnt;
		out->frame_cnt = tables_frames(t, s, r->pcs + r->pc_cnt);
		r->pc_cnt += out->frame_cnt;
		r->site_cnt++;
	}
}

static int look_at_blocks(const struct tables *t, const bool *slots,
			  const struct gather_options *options, uint32_t site_end,
			  struct ages **ages)
{
	struct block_pass pass = { t, slots, options, calloc(site_end, sizeof(**ages)), site_end };
	int err = pass.ages ? tables_each_block(t, see_block, &pass) : -ENOMEM;

	if (err)
		free(pass.ages);
	else
		*ages = pass.ages;
	return err;
}

int gather_accounts(const struct tables *t, const bool *slots, const struct gather_options *options,
		    struct account_record **out)
{
	uint32_t site_end, *record_of = calloc(t->acct_cnt, sizeof(*record_of));
	struct account_record *records = NULL;
	struct ages *ages = NULL;
	int cnt = 0, err = -ENOMEM;

	if (!record_of)
		goto out;
	for (uint32_t slot = 1; slot < t->acct_cnt; slot++)
		if (slots[slot])
			record_of[slot] = ++cnt;
	records = calloc(cnt + 1, sizeof(*records));
	if (!records)
		goto out;
	for (uint32_t slot = 1; slot < t->acct_cnt; slot++) {
		if (!slots[slot])
			continue;
		records[record_of[slot] - 1].acct = t->accts[slot];
		records[record_of[slot] - 1].slot = slot;
		records[record_of[slot] - 1].taken_ns = options->now_ns;
	}
	/* after the accounts: the site where one crossed its limit is among these */
	site_end = tables_site_end(t);
	err = make_room(t, site_end, records, cnt, record_of);
	if (!err && !options->counters_only)
		err = look_at_blocks(t, slots, options, site_end, &ages);
	if (!err && ages)
		err = make_age_room(t, site_end, records, cnt, record_of, ages);
	if (err)
		goto out;
	fill(t, site_end, records, cnt, record_of, ages);
	for (int i = 0; i < cnt; i++) {
		merge_twins(&records[i]);
		if (t->weighted && !options->counters_only)
			count_whole_blocks(&records[i], t->sampled);
		add_up(&records[i]);
	}
	*out = records;
	records = NULL;
	err = cnt;
out:
	for (int i = 0; records && i < cnt; i++)
		account_record_fini(&records[i]);
	free(records);
	free(record_of);
	free(ages);
	return err;
}

void account_record_fini(struct account_record *r)
{
	free(r->sites);
	free(r->pcs);
	free(r->ages);
	r->sites = NULL;
	r->pcs = NULL;
	r->ages = NULL;
}
