// SPDX-License-Identifier: MIT
#include "capture/estimates.h"

#include <errno.h>
#include <math.h>

#include "model/estimate.h"
#include "model/snapshot.h"

/* What may have been missed altogether (see estimate_bound()). */
struct steps {
	double blocks, bytes;
};

/* Of no block at all nothing can be said, but what the sampling itself says. */
static double step_or(const struct memtrace_estimate *alloc, uint64_t value)
{
	return value ? estimate_step(alloc, value) : INFINITY;
}

static struct steps steps_of_kind(const struct memtrace_estimates *e, uint64_t blocks,
				  uint64_t bytes)
{
	return (struct steps){ step_or(&e->alloc_blocks, blocks), step_or(&e->alloc_bytes, bytes) };
}

static struct steps steps_of_many(const struct memtrace_snapshot *snapshot,
				  const struct memtrace_estimates *e, uint64_t blocks,
				  uint64_t bytes)
{
	struct steps steps = steps_of_kind(e, blocks, bytes);

	double of_any_blocks = estimate_blocks_step(snapshot),
	       of_any_bytes = estimate_bytes_step(snapshot);

	if (of_any_blocks > 0)
		steps.blocks = of_any_blocks;
	if (of_any_bytes > 0)
		steps.bytes = of_any_bytes;
	return steps;
}

static void take_spread(const struct spread *spread, struct memtrace_estimate *blocks,
			struct memtrace_estimate *bytes)
{
	*blocks = (struct memtrace_estimate){
		.variance = spread->blocks,
		.skew = spread->blocks_skew,
		.seen = spread->seen_blocks,
	};
	*bytes = (struct memtrace_estimate){
		.variance = spread->bytes,
		.skew = spread->bytes_skew,
		.seen = spread->seen_bytes,
	};
}

static double less(double a, double b)
{
	return a > b ? a - b : 0;
}

/* A block that went was in the sample of those that came: what is left of their variance is its
 * own. */
static void bound_freed(struct memtrace_estimates *e, uint64_t blocks, uint64_t bytes,
			const struct steps *steps)
{
	e->freed_blocks.variance = less(e->alloc_blocks.variance, e->live_blocks.variance);
	e->freed_bytes.variance = less(e->alloc_bytes.variance, e->live_bytes.variance);
	e->freed_blocks.skew = less(e->alloc_blocks.skew, e->live_blocks.skew);
	e->freed_bytes.skew = less(e->alloc_bytes.skew, e->live_bytes.skew);
	estimate_bound(&e->freed_blocks, blocks, steps->blocks);
	estimate_bound(&e->freed_bytes, bytes, steps->bytes);
}

static struct memtrace_estimates *new_estimates(struct memtrace_snapshot *snapshot)
{
	return arena_alloc(snapshot_arena(snapshot), sizeof(struct memtrace_estimates));
}

int estimates_of_site(struct memtrace_snapshot *snapshot, struct memtrace_site *site,
		      const struct site_record *record)
{
	struct memtrace_estimates *e = new_estimates(snapshot);
	struct steps steps;

	if (!e)
		return -ENOMEM;
	take_spread(&record->alloc, &e->alloc_blocks, &e->alloc_bytes);
	take_spread(&record->live, &e->live_blocks, &e->live_bytes);
	take_spread(&record->aged, &e->aged_blocks, &e->aged_bytes);
	steps = steps_of_kind(e, site->alloc_blocks, site->alloc_bytes);
	estimate_bound(&e->alloc_blocks, site->alloc_blocks, ESTIMATE_NO_STEP);
	estimate_bound(&e->alloc_bytes, site->alloc_bytes, ESTIMATE_NO_STEP);
	estimate_bound(&e->live_blocks, site->live_blocks, steps.blocks);
	estimate_bound(&e->live_bytes, site->live_bytes, steps.bytes);
	estimate_bound(&e->aged_blocks, site->aged_blocks, steps.blocks);
	estimate_bound(&e->aged_bytes, site->aged_bytes, steps.bytes);
	site->estimates = e;
	return 0;
}

int estimates_of_process(struct memtrace_snapshot *snapshot, struct memtrace_process *p,
			 const struct account_record *record)
{
	struct memtrace_estimates *e = new_estimates(snapshot);
	struct steps steps;

	if (!e)
		return -ENOMEM;
	take_spread(&record->alloc, &e->alloc_blocks, &e->alloc_bytes);
	take_spread(&record->live, &e->live_blocks, &e->live_bytes);
	steps = steps_of_many(snapshot, e, p->allocs, p->alloc_bytes);
	estimate_bound(&e->alloc_blocks, p->allocs, steps.blocks);
	estimate_bound(&e->alloc_bytes, p->alloc_bytes, steps.bytes);
	estimate_bound(&e->live_blocks, p->live_blocks, steps.blocks);
	estimate_bound(&e->live_bytes, p->live_bytes, steps.bytes);
	bound_freed(e, p->frees, p->freed_bytes, &steps);
	p->estimates = e;
	return 0;
}

static void add_process(struct memtrace_estimates *sum, const struct memtrace_process *p)
{
	const struct memtrace_estimates *e = p->estimates;

	if (e) {
		estimate_add(&sum->alloc_blocks, &e->alloc_blocks);
		estimate_add(&sum->alloc_bytes, &e->alloc_bytes);
		estimate_add(&sum->live_blocks, &e->live_blocks);
		estimate_add(&sum->live_bytes, &e->live_bytes);
	} else {
		estimate_add_exact(&sum->alloc_blocks, p->allocs);
		estimate_add_exact(&sum->alloc_bytes, p->alloc_bytes);
		estimate_add_exact(&sum->live_blocks, p->live_blocks);
		estimate_add_exact(&sum->live_bytes, p->live_bytes);
	}
}

static bool any_estimated(const struct memtrace_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->process_cnt; i++)
		if (snapshot->processes[i].estimates)
			return true;
	return false;
}

int estimates_of_totals(struct memtrace_snapshot *snapshot)
{
	struct memtrace_totals *t = &snapshot->totals;
	uint64_t blocks = 0, bytes = 0;
	struct memtrace_estimates *e;
	struct steps steps;

	if (!any_estimated(snapshot))
		return 0;
	e = new_estimates(snapshot);
	if (!e)
		return -ENOMEM;
	snapshot->estimated = true;
	for (size_t i = 0; i < snapshot->process_cnt; i++) {
		const struct memtrace_process *p = &snapshot->processes[i];

		add_process(e, p);
		if (!p->estimates)
			continue;
		snapshot->sampled_blocks += p->estimates->alloc_blocks.seen;
		blocks += p->allocs;
		bytes += p->alloc_bytes;
	}
	/* what was counted exactly says nothing of what was sampled */
	steps = steps_of_many(snapshot, e, blocks, bytes);
	estimate_bound(&e->alloc_blocks, t->allocs, steps.blocks);
	estimate_bound(&e->alloc_bytes, t->alloc_bytes, steps.bytes);
	estimate_bound(&e->live_blocks, t->live_blocks, steps.blocks);
	estimate_bound(&e->live_bytes, t->live_bytes, steps.bytes);
	bound_freed(e, t->frees, t->freed_bytes, &steps);
	t->estimates = e;
	return 0;
}
