/* SPDX-License-Identifier: MIT */
/*
 * estimates.h - gives rows of a snapshot that come from a sample their intervals.
 *
 * A site is one kind of blocks, so what was seen of it says what was not. In a process, and in all
 * of them, there may be other kinds that no block was taken of. In a sample by bytes these
 * have 3.84 times the sample's distance at most, 95 % of the time, and that is within the interval
 * of bytes. Blocks have no such bound (there may be any number of blocks of one byte).
 */
#ifndef CAPTURE_ESTIMATES_H
#define CAPTURE_ESTIMATES_H

#include "capture/gather.h"
#include "memtrace/memtrace.h"

/* The row's figures are final; records are those they were made from. 0 or -ENOMEM. */
int estimates_of_site(struct memtrace_snapshot *snapshot, struct memtrace_site *site,
		      const struct site_record *record);
int estimates_of_process(struct memtrace_snapshot *snapshot, struct memtrace_process *process,
			 const struct account_record *record);

/* Of the totals, from all processes. Says snapshot.estimated and sampled_blocks too. */
int estimates_of_totals(struct memtrace_snapshot *snapshot);

#endif
