/* SPDX-License-Identifier: MIT */
/*
 * growth.h - what a curve of live bytes does: grow, level off, go up and down, or nothing.
 *
 * Rises alone say little: what rises and falls again is work going on. So growth is looked for in
 * the floor of a curve, which at any time is the least it will still have from then on. To be sure
 * that the last rise is no such coming and going either, the floor is not counted higher than the
 * highest point less the largest fall (both in the last two thirds of the curve: what went on at
 * the start is not held against the rest). Then, in this order:
 *
 *	unknown	    fewer than 6 points, or no time between them
 *	flat	    nothing ever changed; or changes that are small beside what is held
 *	saw-tooth   the floor rose by less than the largest fall, and that took a quarter of the
 *		    highest point with it, or more
 *	shrinking   the floor rose by less than the largest fall, and the trend goes down
 *	init	    what grew after the first fifth of a process's life is less than the largest
 *		    fall, or is at most three rises and less than half of all. (Of what did not
 *		    begin with its process: plateau)
 *	step	    grown in at most three intervals, or with no trend to be seen
 *	plateau	    what came last (a half of the curve, two thirds of that, and so on) certainly
 *		    grows by less than half of the whole trend. The trend says whether it grows
 *	steady	    the trend goes up: its 95 % interval is above 0
 *
 * The trend is that of the curve from its first growth on, without its first fifth if more than
 * twice its share was grown there. Where its later half certainly has another trend than all of it,
 * that of the later half, and so on; of a plateau that of what came last: how it grows now.
 */
#ifndef MEMTRACE_ANALYZE_GROWTH_H
#define MEMTRACE_ANALYZE_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyze/trend.h"
#include "model/series.h"

enum growth_shape {
	GROWTH_UNKNOWN,
	GROWTH_FLAT,
	GROWTH_SAW_TOOTH,
	GROWTH_SHRINKING,
	GROWTH_INIT,
	GROWTH_STEP,
	GROWTH_PLATEAU,
	GROWTH_STEADY,
};

struct growth {
	enum growth_shape shape;
	size_t point_cnt;
	double over_s;		      /* from the first point to the last */
	size_t interval_cnt, grown_cnt; /* between points; those in which the floor rose */
	uint64_t grown_bytes;	      /* by which the floor rose */
	uint64_t largest_fall_bytes;
	/* seconds since ready; negative when there is no such time */
	double first_seen_s;  /* first point above 0 */
	double first_grown_s; /* ends of the first and last intervals in which the floor rose */
	double last_grown_s;
	bool has_trend; /* then it is this, over the last trend_s; else all NAN */
	struct trend trend;
	double trend_s;
};

/* from_start: the curve begins where its process did. At most SERIES_POINTS points. */
struct growth growth_of(const struct series_point *points, size_t cnt, bool from_start);

/* "unknown", "flat", "saw-tooth", ... */
const char *growth_name(enum growth_shape shape);

#endif
