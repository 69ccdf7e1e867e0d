// SPDX-License-Identifier: MIT
#include "analyze/trend.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define PAIRS (TREND_POINTS * (TREND_POINTS - 1) / 2)
#define BLOCKS 8

/* Of the normal distribution, and of Student's with BLOCKS - 2 degrees of freedom. */
static const struct {
	double normal, student;
} quantiles[] = {
	[TREND_95] = { 1.960, 2.447 },
	[TREND_99] = { 2.576, 3.707 },
};

static void swap(double *a, double *b)
{
	double kept = *a;

	*a = *b;
	*b = kept;
}

/* Puts the nth smallest of values[from..to) where it would be if they were sorted; what is before
 * it is not larger, what is behind it not smaller (Hoare's selection). */
static double select_nth(double *values, size_t from, size_t to, size_t nth)
{
	while (to - from > 1) {
		/* the lower middle: what is taken for the upper one may leave nothing behind it */
		double pivot = values[from + (to - from - 1) / 2];
		size_t i = from, j = to - 1;

		for (;;) {
			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i >= j)
				break;
			swap(&values[i++], &values[j--]);
		}
		/* [from..j] <= pivot <= [j+1..to) */
		if (nth <= j)
			to = j + 1;
		else
			from = j + 1;
	}
	return values[nth];
}

static double median_of(double *values, size_t cnt)
{
	double upper = select_nth(values, 0, cnt, cnt / 2), lower = upper;

	if (cnt % 2)
		return upper;
	lower = values[0];
	for (size_t i = 1; i < cnt / 2; i++)
		lower = fmax(lower, values[i]);
	return (lower + upper) / 2;
}

/* One of group_cnt stretches of neighbours: the mean time, the median of the rest. */
static struct trend_point group_of(const struct trend_point *points, size_t cnt, size_t group,
				   size_t group_cnt)
{
	size_t from = cnt * group / group_cnt, to = cnt * (group + 1) / group_cnt;
	double bytes[to - from], sum_s = 0;

	for (size_t i = from; i < to; i++) {
		bytes[i - from] = points[i].bytes;
		sum_s += points[i].t_s;
	}
	return (struct trend_point){ sum_s / (double)(to - from), median_of(bytes, to - from) };
}

/* Sen's slope and interval. At most TREND_POINTS points. */
static void theil_sen(const struct trend_point *points, size_t cnt, double quantile,
		      struct trend *trend)
{
	double slopes[PAIRS], n = (double)cnt, off;
	size_t pair_cnt = 0, middle, low, high;

	for (size_t i = 0; i < cnt; i++)
		for (size_t j = i + 1; j < cnt; j++)
			slopes[pair_cnt++] = (points[j].bytes - points[i].bytes) /
					     (points[j].t_s - points[i].t_s);
	/* so far from the middle, in ranks, half as much of it on each side */
	off = quantile * sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2;
	low = (size_t)fmax(floor((double)pair_cnt / 2 - off), 0);
	high = (size_t)fmin(ceil((double)pair_cnt / 2 + off), (double)pair_cnt - 1);
	middle = pair_cnt / 2;
	trend->slope = select_nth(slopes, 0, pair_cnt, middle);
	trend->low = low < middle ? select_nth(slopes, 0, middle, low) : trend->slope;
	trend->high = high > middle ? select_nth(slopes, middle + 1, pair_cnt, high) : trend->slope;
	if (pair_cnt % 2 == 0) {
		double below = slopes[0];

		for (size_t i = 1; i < middle; i++)
			below = fmax(below, slopes[i]);
		trend->slope = (trend->slope + below) / 2;
	}
}

/* Widens the interval to what the rises from block to block say. */
static void widen(const struct trend_point *points, size_t cnt, double quantile,
		  struct trend *trend)
{
	struct trend_point before = group_of(points, cnt, 0, BLOCKS);
	double sum = 0, squares = 0, mean, error;

	for (size_t i = 1; i < BLOCKS; i++) {
		struct trend_point block = group_of(points, cnt, i, BLOCKS);
		double rise = (block.bytes - before.bytes) / (block.t_s - before.t_s);

		sum += rise;
		squares += rise * rise;
		before = block;
	}
	mean = sum / (BLOCKS - 1);
	error = fmax(squares - sum * mean, 0) / (BLOCKS - 2) / (BLOCKS - 1);
	error = quantile * sqrt(error);
	trend->low = fmin(trend->low, trend->slope - error);
	trend->high = fmax(trend->high, trend->slope + error);
}

static void put_middle(const struct trend_point *points, size_t cnt, struct trend *trend)
{
	double off[TREND_POINTS];

	trend->mid_t_s = points[0].t_s + (points[cnt - 1].t_s - points[0].t_s) / 2;
	for (size_t i = 0; i < cnt; i++)
		off[i] = points[i].bytes - trend->slope * (points[i].t_s - trend->mid_t_s);
	trend->mid_bytes = median_of(off, cnt);
}

/* Do points tell of their neighbours? The correlation of what neighbours are beside the line, when
 * it is more than one standard deviation (1 / sqrt(n)) of that of points that do not; or when there
 * is any and they are too few to be sure. */
static bool hangs_together(const struct trend_point *points, size_t cnt, const struct trend *trend)
{
	double before = 0, products = 0, squares = 0;

	for (size_t i = 0; i < cnt; i++) {
		double off = points[i].bytes - trend->mid_bytes -
			     trend->slope * (points[i].t_s - trend->mid_t_s);

		products += off * before;
		squares += off * off;
		before = off;
	}
	return products > (cnt < TREND_POINTS ? 0 : squares / sqrt((double)cnt));
}

struct trend trend_of(const struct trend_point *points, size_t cnt,
		      enum trend_confidence confidence)
{
	struct trend_point groups[TREND_POINTS];
	size_t group_cnt = cnt < TREND_POINTS ? cnt : TREND_POINTS;
	struct trend trend;

	assert(cnt >= TREND_POINTS_MIN);
	for (size_t i = 0; i < group_cnt; i++)
		groups[i] = group_of(points, cnt, i, group_cnt);
	theil_sen(groups, group_cnt, quantiles[confidence].normal, &trend);
	put_middle(groups, group_cnt, &trend);
	if (cnt >= BLOCKS * 2 && hangs_together(groups, group_cnt, &trend))
		widen(points, cnt, quantiles[confidence].student, &trend);
	return trend;
}
