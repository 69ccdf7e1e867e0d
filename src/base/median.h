/* SPDX-License-Identifier: MIT */
/* median.h - the middle one of measured values: what disturbs a few of them does not move it. */
#ifndef MEMTRACE_BASE_MEDIAN_H
#define MEMTRACE_BASE_MEDIAN_H

#include <stddef.h>

/* Sorts the values. The mean of the two in the middle where their number is even; NAN without
 * any. */
double median(double *values, size_t cnt);

#endif
