/* SPDX-License-Identifier: MIT */
/*
 * leaks.h - memory that nobody gave back, by call path.
 *
 * A leak is the aged blocks of a call path: of a running process those at least min_age_s old (see
 * memtrace_options), of an ended one all that were never freed. Call paths of one process that
 * read the same (see grouping.h) are one row. Different processes never share a row.
 *
 * Rows come in the order of their verdicts (see verdict.h; leaking first); of one verdict the
 * largest first; of equally large ones the one with the oldest block first; then by site id, so
 * that the order is the same every time.
 */
#ifndef MEMTRACE_ANALYZE_LEAKS_H
#define MEMTRACE_ANALYZE_LEAKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyze/growth.h"
#include "base/arena.h"
#include "memtrace/memtrace.h"
#include "model/series.h"

struct leaks_params {
	uint64_t min_bytes; /* rows with less are left out, and counted as small */
	size_t top;	    /* rows to keep; 0: all */
	uint64_t min_leak_bytes; /* what grew by less is not leaking */
	const struct series *series; /* how it came to this; NULL: not known */
};

enum leak_verdict { LEAK_LEAKING, LEAK_SUSPECT, LEAK_STEADY };
enum leak_impact { LEAK_IMPACT_NONE, LEAK_LOW, LEAK_MEDIUM, LEAK_HIGH, LEAK_CRITICAL };

/* When in the life of its process (or in the trace, if that began later) what is left was made. */
enum leak_made { LEAK_MADE_UNKNOWN, LEAK_MADE_AT_START, LEAK_MADE_THROUGHOUT, LEAK_MADE_AT_END };

struct leak {
	uint64_t site;	  /* id of the call path; of merged ones the one that holds most */
	uint64_t process; /* id */
	uint64_t live_blocks, live_bytes;    /* the aged ones */
	double oldest_age_s, youngest_age_s; /* negative when unknown */
	bool ended;			     /* the process is over: never freed */
	uint64_t *sites;		     /* every call path in the row, largest first */
	size_t site_cnt;
	bool estimated; /* then these are the intervals of live_blocks and live_bytes */
	struct memtrace_estimate blocks_95, bytes_95;

	/* see verdict.h */
	enum leak_verdict verdict;
	enum leak_impact impact; /* NONE of what is steady */
	enum leak_made made;
	struct growth growth;
	double first_seen_s, last_grown_s; /* since ready; by the ages where there is no curve */
	/* Of the bytes that its trend added from kept_to_s to kept_from_s ago, so many are there
	 * still; NAN when that is not known. */
	double kept_share, kept_from_s, kept_to_s;
};

struct leaks_result {
	struct leaks_params params;
	struct leak *rows;
	size_t row_cnt;

	/* before the cut to params.top, without the small ones */
	size_t total_rows;
	uint64_t total_blocks, total_bytes;
	bool estimated; /* any row is */
	struct memtrace_estimate total_blocks_95, total_bytes_95;

	/* left out by params.min_bytes */
	size_t small_rows;
	uint64_t small_blocks, small_bytes;

	size_t verdict_rows[LEAK_STEADY + 1]; /* of total_rows */
	double leaking_bytes_per_s; /* those that are leaking, together */
};

/* Rows live in the arena. params NULL: everything. 0 or -ENOMEM. */
int leaks_find(const struct memtrace_snapshot *snapshot, const struct leaks_params *params,
	       struct arena *arena, struct leaks_result *result);

#endif
