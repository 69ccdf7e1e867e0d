// SPDX-License-Identifier: MIT
#include "analyze/growth.h"

#include <assert.h>
#include <math.h>

#define FEW_RISES 3	 /* nobody can tell these from single events */
#define START_SHARE 5	 /* the first fifth of a life is its start */
#define TOOTH_SHARE 4	 /* a fall of a quarter of all is no ripple */
#define HALF_MIN 12	 /* points that have two halves of TREND_POINTS_MIN */
#define TAIL_CHANCE 0.01 /* of so long a pause in what goes on as before */

/* A curve at work. */
struct curve {
	struct trend_point points[SERIES_POINTS];
	double floor[SERIES_POINTS];
	size_t cnt;
	/* points at which the floor had risen since the one before; 0: never */
	size_t first_rise, last_rise;
	size_t rise_cnt;
	double grown, largest_fall, highest;
	size_t start_end;   /* the first point that is not of the start */
	double later_grown; /* from there on */
	size_t later_rise_cnt;
	bool changes;
};

static void curve_init(struct curve *curve, const struct series_point *points, size_t cnt)
{
	*curve = (struct curve){ .cnt = cnt };
	for (size_t i = 0; i < cnt; i++) {
		curve->points[i] =
			(struct trend_point){ points[i].t_s, (double)points[i].live_bytes };
		curve->highest = fmax(curve->highest, curve->points[i].bytes);
		curve->changes |= i && points[i].live_bytes != points[i - 1].live_bytes;
	}
}

/* The largest fall, and the highest it can be said to stay at: see growth.h. */
static double ceiling_of(struct curve *curve)
{
	double highest = 0;

	for (size_t i = curve->cnt / 3; i < curve->cnt; i++) {
		highest = fmax(highest, curve->points[i].bytes);
		curve->largest_fall = fmax(curve->largest_fall, highest - curve->points[i].bytes);
	}
	return highest - curve->largest_fall;
}

static void find_floor(struct curve *curve)
{
	double least = ceiling_of(curve);

	for (size_t i = curve->cnt; i-- > 0;) {
		least = fmin(least, curve->points[i].bytes);
		curve->floor[i] = least;
	}
	for (size_t i = 1; i < curve->cnt; i++) {
		if (!(curve->floor[i] > curve->floor[i - 1]))
			continue;
		if (!curve->first_rise)
			curve->first_rise = i;
		curve->last_rise = i;
		curve->rise_cnt++;
	}
	curve->grown = curve->floor[curve->cnt - 1] - curve->floor[0];
}

static struct trend trend_from(const struct curve *curve, size_t from,
			       enum trend_confidence confidence)
{
	return trend_of(curve->points + from, curve->cnt - from, confidence);
}

/* What of the growth was at the start. An interval that reaches beyond the start belongs to it:
 * nobody knows when in it the floor rose. */
static void find_start(struct curve *curve)
{
	double from_s = curve->points[0].t_s;
	double end_s = from_s + (curve->points[curve->cnt - 1].t_s - from_s) / START_SHARE;
	size_t i = 1;

	while (curve->points[i - 1].t_s <= end_s && i + 1 < curve->cnt)
		i++;
	curve->start_end = i - 1;
	curve->later_grown = curve->floor[curve->cnt - 1] - curve->floor[i - 1];
	for (; i < curve->cnt; i++)
		curve->later_rise_cnt += curve->floor[i] > curve->floor[i - 1];
}

/* Where growth began that may still go on. When the start had more than twice its share, that was
 * another kind of growth. */
static size_t growth_from(const struct curve *curve)
{
	/* the interval of the first rise is part of it: it began at the point before */
	size_t from = curve->first_rise ? curve->first_rise - 1 : 0;

	if ((curve->grown - curve->later_grown) * START_SHARE > curve->grown * 2 &&
	    from < curve->start_end)
		from = curve->start_end;
	if (curve->cnt - from < TREND_POINTS_MIN)
		from = curve->cnt - TREND_POINTS_MIN;
	return from;
}

/* The trend is that of the curve from there on; it becomes that of its later half where that
 * certainly has another one, and so on. Returns where that begins. */
static size_t present_from(const struct curve *curve, size_t from, struct trend *trend)
{
	while (curve->cnt - from >= HALF_MIN) {
		size_t half = from + (curve->cnt - from) / 2;
		struct trend later = trend_from(curve, half, TREND_99);

		if (later.low <= trend->high && later.high >= trend->low)
			break;
		from = half;
		*trend = trend_from(curve, from, TREND_95);
	}
	return from;
}

/* Is a pause as long as from here to the end remarkable? It is if, with as many intervals that rise
 * as there were before, its chance is small. */
static bool remarkable(const struct curve *curve, size_t from, size_t tail)
{
	size_t rises = 0;

	for (size_t i = from + 1; i <= tail; i++)
		rises += curve->points[i].bytes > curve->points[i - 1].bytes;
	return pow(1 - (double)rises / (double)(tail - from), (double)(curve->cnt - 1 - tail)) <
	       TAIL_CHANCE;
}

/* From the mean of one half to that of the other: no match for a trend, but a first look. */
static double rough_slope(const struct curve *curve, size_t from)
{
	size_t half = (curve->cnt - from) / 2;
	struct trend_point a = { 0 }, b = { 0 };

	for (size_t i = 0; i < half; i++) {
		const struct trend_point *early = &curve->points[from + i];
		const struct trend_point *late = &curve->points[curve->cnt - 1 - i];

		a = (struct trend_point){ a.t_s + early->t_s, a.bytes + early->bytes };
		b = (struct trend_point){ b.t_s + late->t_s, b.bytes + late->bytes };
	}
	return (b.bytes - a.bytes) / (b.t_s - a.t_s);
}

/* whole is the slope since growth began; *tail is where what levelled off begins. */
static bool levels_off(const struct curve *curve, double whole, size_t *tail)
{
	size_t from = growth_from(curve), cnt = curve->cnt - from;

	if (cnt < HALF_MIN)
		return false;
	for (size_t tail_cnt = cnt / 2; tail_cnt >= TREND_POINTS_MIN;
	     tail_cnt -= (tail_cnt + 2) / 3) {
		size_t last_from = curve->cnt - tail_cnt;
		/* what was grown in all, over the time: the trend of a cache that is full for most
		 * of the time is 0 already */
		double mean = (curve->floor[curve->cnt - 1] - curve->floor[from]) /
			      (curve->points[curve->cnt - 1].t_s - curve->points[from].t_s);
		double half = fmax(whole, mean) / 2;

		/* most that goes on is dismissed without the cost of an interval */
		if (rough_slope(curve, last_from) >= half || !remarkable(curve, from, last_from) ||
		    trend_from(curve, last_from, TREND_99).high >= half)
			continue;
		*tail = last_from;
		return true;
	}
	return false;
}

/* Nothing to speak of came after the start. */
static bool ends_with_start(const struct curve *curve)
{
	return curve->later_grown < fmax(curve->largest_fall, 1) ||
	       (curve->later_rise_cnt <= FEW_RISES && curve->later_grown * 2 < curve->grown);
}

static enum growth_shape shape_of(const struct curve *curve, bool from_start, double whole,
				  const struct trend *trend, size_t *tail)
{

	if (!curve->changes)
		return GROWTH_FLAT;
	if (curve->grown < fmax(curve->largest_fall, 1)) {
		if (trend->high < 0)
			return GROWTH_SHRINKING;
		return curve->largest_fall * TOOTH_SHARE >= curve->highest ? GROWTH_SAW_TOOTH
									   : GROWTH_FLAT;
	}
	if (ends_with_start(curve))
		return from_start ? GROWTH_INIT : GROWTH_PLATEAU;
	if (curve->rise_cnt <= FEW_RISES)
		return GROWTH_STEP;
	if (levels_off(curve, whole, tail))
		return GROWTH_PLATEAU;
	return trend->low > 0 ? GROWTH_STEADY : GROWTH_STEP;
}

static const struct trend no_trend = { NAN, NAN, NAN, NAN, NAN };

/* 2^64 as a double is one more than fits. */
static uint64_t whole_bytes(double bytes)
{
	if (!(bytes > 0))
		return 0;
	return bytes >= 0x1p64 ? UINT64_MAX : (uint64_t)bytes;
}

static double seen_first_s(const struct curve *curve)
{
	for (size_t i = 0; i < curve->cnt; i++)
		if (curve->points[i].bytes > 0)
			return curve->points[i].t_s;
	return -1;
}

struct growth growth_of(const struct series_point *points, size_t cnt, bool from_start)
{
	struct growth growth = {
		.point_cnt = cnt,
		.interval_cnt = cnt ? cnt - 1 : 0,
		.over_s = cnt ? points[cnt - 1].t_s - points[0].t_s : 0,
		.first_seen_s = -1,
		.first_grown_s = -1,
		.last_grown_s = -1,
		.trend = no_trend,
	};
	struct curve curve;
	size_t from, tail;
	double whole;

	assert(cnt <= SERIES_POINTS);
	curve_init(&curve, points, cnt);
	growth.first_seen_s = seen_first_s(&curve);
	if (cnt < TREND_POINTS_MIN || !(growth.over_s > 0))
		return growth;
	find_floor(&curve);
	find_start(&curve);
	growth.grown_cnt = curve.rise_cnt;
	growth.grown_bytes = whole_bytes(curve.grown);
	growth.largest_fall_bytes = whole_bytes(curve.largest_fall);
	if (curve.rise_cnt) {
		growth.first_grown_s = points[curve.first_rise].t_s;
		growth.last_grown_s = points[curve.last_rise].t_s;
	}
	from = curve.changes ? growth_from(&curve) : 0;
	growth.trend = trend_from(&curve, from, TREND_95);
	whole = growth.trend.slope;
	from = present_from(&curve, from, &growth.trend);
	tail = from;
	growth.shape = shape_of(&curve, from_start, whole, &growth.trend, &tail);
	if (tail > from) {
		growth.trend = trend_from(&curve, tail, TREND_95);
		from = present_from(&curve, tail, &growth.trend);
	}
	growth.has_trend = true;
	growth.trend_s = points[cnt - 1].t_s - points[from].t_s;
	return growth;
}

const char *growth_name(enum growth_shape shape)
{
	static const char *const names[] = {
		[GROWTH_UNKNOWN] = "unknown",	  [GROWTH_FLAT] = "flat",
		[GROWTH_SAW_TOOTH] = "saw-tooth", [GROWTH_SHRINKING] = "shrinking",
		[GROWTH_INIT] = "init",		  [GROWTH_STEP] = "step",
		[GROWTH_PLATEAU] = "plateau",	  [GROWTH_STEADY] = "steady",
	};

	return names[shape];
}
