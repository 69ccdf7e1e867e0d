/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - how near the limit is.
 *
 * Shares of the limit are rounded down, so that 100 % is never shown before it is reached.
 */
#ifndef MEMTRACE_ANALYZE_PRESSURE_H
#define MEMTRACE_ANALYZE_PRESSURE_H

#include <stdint.h>

#include "memtrace/memtrace.h"

enum pressure_level {
	PRESSURE_NO_LIMIT,
	PRESSURE_LOW,	   /* under 80 % */
	PRESSURE_HIGH,	   /* 80 % and more */
	PRESSURE_CRITICAL, /* 90 % and more */
	PRESSURE_FULL,	   /* 100 % and more, or crossed */
};

struct pressure {
	enum pressure_level now;  /* of the fullest scope's live bytes */
	enum pressure_level peak; /* the highest ever; FULL once the limit was crossed */
	uint64_t used_permille;	  /* live bytes now, of the limit */
	uint64_t peak_permille;
	uint64_t headroom_bytes; /* what may still be allocated; 0 when nothing */
	uint64_t over_bytes;	 /* live bytes beyond the limit now */
	uint64_t peak_bytes;
	uint64_t peak_headroom_bytes; /* as above, when live bytes were at their peak */
	uint64_t peak_over_bytes;
};

struct pressure pressure_of(const struct memtrace_limit *limit);

/* "no limit", "low", "high", "critical", "full" */
const char *pressure_name(enum pressure_level level);

/* The share a level begins at: 0, 0, 80, 90, 100. */
unsigned int pressure_percent(enum pressure_level level);

#endif
