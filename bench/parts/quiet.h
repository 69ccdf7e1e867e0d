/* SPDX-License-Identifier: MIT */
/* quiet.h - is the machine left to the benchmark? Figures are worth as much as it is. */
#ifndef BENCH_QUIET_H
#define BENCH_QUIET_H

#include <stdbool.h>

/* Has nobody breakpoints in the C library that this program runs with? Probes bound to a file are
 * in every process, so in this one, and slow down whatever is measured. True when it cannot be
 * found out. */
bool quiet_libc(void);

/* Waits for that; false when it did not come within so many seconds. */
bool quiet_await(double most_s);

/* Seconds that processors worked until now, and what of them this program and its children did. */
struct busy {
	double all_s, ours_s, at_s;
};

struct busy busy_now(void);

/* How many processors were busy with something else between the two. NAN when unknown. */
double busy_others(const struct busy *from, const struct busy *to);

#endif
