/* SPDX-License-Identifier: MIT */
/*
 * spread.h - what repeated runs measured: the middle, and how far apart they were.
 *
 * A value that is not a number is a run that was not made, or did not count; it is left out.
 */
#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include <stddef.h>

struct spread {
	double q1, median, q3; /* NAN without a value */
	size_t cnt;
};

/* Between two values quartiles are interpolated. values stays as it is. */
struct spread spread_of(const double *values, size_t cnt);

#endif
