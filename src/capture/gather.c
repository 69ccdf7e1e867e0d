// SPDX-License-Identifier: MIT
#include "capture/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/tables.h"

/* What the live table says of one site. */
struct ages {
	uint64_t blocks, bytes;
	uint64_t oldest_ns, youngest_ns;
	uint64_t aged_blocks, aged_bytes, aged_youngest_ns;
};

struct block_pass {
	const struct tables *tables;
	const bool *slots;
	const struct gather_options *options;
	struct ages *ages; /* by site number */
	uint32_t site_end;
};

static void see_block(void *ctx, uint32_t slot, uint32_t site, uint64_t size, uint64_t born_ns)
{
	struct block_pass *pass = ctx;
	const struct mt_acct *a;
	struct ages *ages;
	uint64_t now;
	bool aged;

	if (slot >= pass->tables->acct_cnt || !pass->slots[slot] || site >= pass->site_end)
		return;
	a = &pass->tables->accts[slot];
	ages = &pass->ages[site];
	ages->blocks++;
	ages->bytes += size;
	if (!ages->oldest_ns || born_ns < ages->oldest_ns)
		ages->oldest_ns = born_ns;
	if (born_ns > ages->youngest_ns)
		ages->youngest_ns = born_ns;
	now = a->end_ns ? a->end_ns : pass->options->now_ns;
	aged = a->end_ns && !pass->options->min_age_at_exit ? true :
		born_ns + pass->options->min_age_ns <= now;
	if (!aged)
		return;
	ages->aged_blocks++;
	ages->aged_bytes += size;
	if (born_ns > ages->aged_youngest_ns)
		ages->aged_youngest_ns = born_ns;
}

static void take_site(struct site_record *out, const struct mt_site *s, const struct mt_acct *a,
		      uint32_t number, const struct ages *ages)
{
	uint64_t live = s->live_bytes > 0 ? s->live_bytes : 0;

	out->number = number;
	out->stack_end = s->stack_end;
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

static int by_stack(const void *a, const void *b)
{
	const struct site_record *x = a, *y = b;

	if (x->frame_cnt != y->frame_cnt)
		return x->frame_cnt < y->frame_cnt ? -1 : 1;
	return memcmp(x->pcs, y->pcs, x->frame_cnt * sizeof(*x->pcs));
}

static uint64_t older(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
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
}

static void merge_twins(struct account_record *r)
{
	uint32_t n = 0;

	if (!r->site_cnt)
		return;
	qsort(r->sites, r->site_cnt, sizeof(*r->sites), by_stack);
	for (uint32_t i = 1; i < r->site_cnt; i++) {
		if (by_stack(&r->sites[n], &r->sites[i]))
			r->sites[++n] = r->sites[i];
		else
			site_merge(&r->sites[n], &r->sites[i]);
	}
	r->site_cnt = n + 1;
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

static void fill(const struct tables *t, uint32_t site_end, struct account_record *records, int cnt,
		 const uint32_t *record_of, const struct ages *ages)
{
	uint64_t pc_room[cnt + 1];
	uint32_t site_room[cnt + 1];

	for (int i = 0; i < cnt; i++) {
		pc_room[i] = records[i].pc_cnt;
		site_room[i] = records[i].site_cnt;
		records[i].pc_cnt = 0;
		records[i].site_cnt = 0;
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
		take_site(out, s, &r->acct, site, &ages[site]);
		out->pcs = r->pcs + r->pc_cnt;
		out->frame_cnt = tables_frames(t, s, r->pcs + r->pc_cnt);
		r->pc_cnt += out->frame_cnt;
		r->site_cnt++;
	}
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
	ages = calloc(site_end, sizeof(*ages));
	err = ages ? make_room(t, site_end, records, cnt, record_of) : -ENOMEM;
	if (err)
		goto out;
	struct block_pass pass = { t, slots, options, ages, site_end };

	err = tables_each_block(t, see_block, &pass);
	if (err)
		goto out;
	fill(t, site_end, records, cnt, record_of, ages);
	for (int i = 0; i < cnt; i++) {
		merge_twins(&records[i]);
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
	r->sites = NULL;
	r->pcs = NULL;
}
