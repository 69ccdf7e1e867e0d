/* SPDX-License-Identifier: MIT */
/*
 * gather.h - copies accounts out of the tables: figures, sites, stacks, and ages of live blocks.
 *
 * One pass over the sites and one over the live table serve any number of accounts. Sites of one
 * account with equal stacks (two CPUs met a new stack at once; it was unwound by user space at first) are
 * merged, unless other code was at these addresses.
 *
 * Records count whole blocks, also in sessions that weigh them: sites are rounded one by one, and their
 * account is the sum, so that sums agree as they do when everything is counted.
 */
#ifndef CAPTURE_GATHER_H
#define CAPTURE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "memtrace/abi.h"
#include "memtrace/memtrace.h"

struct tables;

/* How far the figures made from a sample may be off; 0 where blocks stand for themselves. */
struct spread {
	double blocks, bytes;		  /* variances ... */
	double blocks_skew, bytes_skew;	  /* ... times steps; see model/estimate.h */
	uint64_t seen_blocks, seen_bytes; /* of the sample itself; of what is gone, at least */
};

struct site_record {
	uint32_t number; /* in the tables */
	uint32_t frame_cnt;
	uint32_t stack_end;
	uint64_t places;   /* hash of what was mapped at the frames; 0: not known */
	uint64_t first_ns; /* when the stack was first seen */
	uint64_t alloc_blocks, alloc_bytes, live_blocks, live_bytes, peak_bytes, bytes_at_peak;
	/* of live blocks; oldest_ns is 0 when there are none */
	uint64_t oldest_ns, youngest_ns; /* times of birth */
	uint64_t aged_blocks, aged_bytes, aged_youngest_ns;
	struct spread alloc, live, aged;
	struct memtrace_ages *ages; /* into account_record.ages; NULL: no live blocks */
	const uint64_t *pcs; /* into account_record.pcs */
};

struct account_record {
	struct mt_acct acct;
	uint64_t allocs, frees, alloc_bytes;
	bool estimated; /* from a sample; then alloc and live say how well */
	struct spread alloc, live;
	uint32_t slot;
	uint64_t taken_ns; /* ages count to acct.end_ns, or to this while it runs */
	struct site_record *sites;
	uint32_t site_cnt;
	uint64_t *pcs;
	uint64_t pc_cnt;
	struct memtrace_ages *ages; /* of sites with live blocks */
	uint32_t age_cnt;
};

struct gather_options {
	uint64_t now_ns;
	uint64_t min_age_ns;  /* of aged blocks */
	bool min_age_at_exit; /* else every block of an ended account is aged */
	bool counters_only; /* without a look at blocks: live_blocks and all about ages stay 0 */
};

/* Fills one record per marked slot, in slot order; the caller owns *records (account_record_fini
 * each, then free). Returns the count or -ENOMEM. */
int gather_accounts(const struct tables *tables, const bool *slots,
		    const struct gather_options *options, struct account_record **records);

/* Blocks, from what the tables count in. */
uint64_t gather_whole_blocks(const struct tables *tables, uint64_t units);

void account_record_fini(struct account_record *record);

#endif
