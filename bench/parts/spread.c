// SPDX-License-Identifier: MIT
#include "parts/spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, size_t cnt, double share)
{
	double place = share * (double)(cnt - 1);
	size_t low = (size_t)place;

	if (low + 1 >= cnt)
		return sorted[cnt - 1];
	return sorted[low] + (place - (double)low) * (sorted[low + 1] - sorted[low]);
}

struct spread spread_of(const double *values, size_t cnt)
{
	struct spread spread = { .q1 = NAN, .median = NAN, .q3 = NAN };
	double *sorted = malloc((cnt + 1) * sizeof(*sorted));

	for (size_t i = 0; sorted && i < cnt; i++)
		if (!isnan(values[i]))
			sorted[spread.cnt++] = values[i];
	if (spread.cnt) {
		qsort(sorted, spread.cnt, sizeof(*sorted), by_value);
		spread.q1 = quantile(sorted, spread.cnt, 0.25);
		spread.median = quantile(sorted, spread.cnt, 0.5);
		spread.q3 = quantile(sorted, spread.cnt, 0.75);
	}
	free(sorted);
	return spread;
}
