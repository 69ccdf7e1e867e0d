/* SPDX-License-Identifier: MIT */
/*
 * forecast.h - when the limit will be reached, if all goes on as it does.
 *
 * A forecast is the trend of live bytes drawn on. There is none where that would be guessing: the
 * curve does not grow steadily (growth.h: that needs a trend whose 95 % interval is above 0, no
 * levelling off, no saw-tooth); or it levels off, and it is not leaking call paths that make at
 * least half of what growth is left; its process has ended; it is over the limit already; or the
 * limit lies further ahead than 100 times the time the trend is of.
 *
 * The interval turns the line about the middle of the points, where it is known best. It says how
 * well the past is known, not whether the future is like it.
 */
#ifndef MEMTRACE_ANALYZE_FORECAST_H
#define MEMTRACE_ANALYZE_FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyze/leaks.h"
#include "base/arena.h"
#include "memtrace/memtrace.h"

struct forecast_row {
	uint64_t process; /* id; 0: the tree */
	uint64_t live_bytes; /* when last looked at */
	double bytes_per_s, low_bytes_per_s, high_bytes_per_s;
	double reaches_in_s; /* from the last point on */
	double soonest_s, latest_s;
	double trend_s; /* the time all this is concluded from */
};

struct forecast {
	uint64_t limit_bytes;
	bool has_tree; /* then this, of a limit that holds for the tree */
	struct forecast_row tree;
	struct forecast_row *rows; /* processes that reach it by themselves, the first one first */
	size_t row_cnt;
};

/* Rows live in the arena. The series is that of the leaks; without one nothing is known. 0 or
 * -ENOMEM. */
int forecast_find(const struct memtrace_snapshot *snapshot, const struct leaks_result *leaks,
		  struct arena *arena, struct forecast *forecast);

#endif
