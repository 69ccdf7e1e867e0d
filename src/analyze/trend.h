/* SPDX-License-Identifier: MIT */
/*
 * trend.h - how fast a curve rises, with its 95 % interval, whatever the noise is like.
 *
 * The slope is Theil and Sen's: the median of the slopes between all pairs of points. Up to 29 % of
 * the points may be anything at all without moving it far. The interval is Sen's (1968), from the
 * ranks of those slopes, which is right for noise that each point has anew. Where something that
 * happened at one point stays in all later ones, as random allocations do, that is too narrow by
 * far; so when points differ from the line as their neighbours do, the interval is at least that of
 * the mean rise between the medians of 8 blocks of points (Student's t).
 *
 * More than TREND_POINTS points are put into that many groups of neighbours first, each of which is
 * its median: the slopes are then 276, and most of what many points know is kept.
 */
#ifndef MEMTRACE_ANALYZE_TREND_H
#define MEMTRACE_ANALYZE_TREND_H

#include <stddef.h>

#define TREND_POINTS 24
/* Fewer say nothing: of 5 in random order one in 120 rises all the way. */
#define TREND_POINTS_MIN 6

struct trend_point {
	double t_s, bytes;
};

struct trend {
	double slope, low, high; /* bytes per second */
	double mid_t_s, mid_bytes; /* the line goes through here: median of the points */
};

enum trend_confidence { TREND_95, TREND_99 };

/* Points strictly later one than the other, TREND_POINTS_MIN of them at least. */
struct trend trend_of(const struct trend_point *points, size_t cnt,
		      enum trend_confidence confidence);

#endif
