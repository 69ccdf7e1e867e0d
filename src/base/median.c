// SPDX-License-Identifier: MIT
#include "base/median.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(double *values, size_t cnt)
{
	if (!cnt)
		return NAN;
	qsort(values, cnt, sizeof(*values), by_value);
	return (values[(cnt - 1) / 2] + values[cnt / 2]) / 2;
}
