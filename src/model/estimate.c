/* SPDX-License-Identifier: MIT */
#include "model/estimate.h"

#include <math.h>

#define Z 1.959964 /* of 95 %, on both sides */

double estimate_step(const struct memtrace_estimate *estimate, uint64_t value)
{
	return value ? estimate->variance / (double)value : 0;
}

/* By calls each block has the same chance; by bytes a small one has next to none. */
double estimate_blocks_step(const struct memtrace_snapshot *s)
{
	return s->sampling == MEMTRACE_SAMPLING_RATE && s->sampling_rate > 0
		       ? 1 / s->sampling_rate - 1
		       : 0;
}

/* size * (count - 1) = size / (exp(size / sample_bytes) - 1), which is less than sample_bytes. */
double estimate_bytes_step(const struct memtrace_snapshot *s)
{
	return s->sampling == MEMTRACE_SAMPLING_BYTES ? (double)s->sample_bytes : 0;
}

/*
 * Truths t with (value - t)^2 <= Z^2 * step * t: the roots of a parabola. With step = variance /
 * value they are value + shift -+ sqrt(Z^2 * variance + shift^2), shift = Z^2 * step / 2.
 */
void estimate_bound(struct memtrace_estimate *e, uint64_t value, double step)
{
	double own = estimate_step(e, value), spread = Z * Z * e->variance;
	double large = e->variance > 0 ? e->skew / e->variance : 0;
	double down = Z * Z * own / 2, up = Z * Z * fmax(own, fmax(large, step)) / 2;
	double low = (double)value + down - sqrt(spread + down * down);
	double high = (double)value + up + sqrt(spread + up * up);

	e->low = low > 0 ? (uint64_t)floor(low) : 0;
	if (e->low < e->seen)
		e->low = e->seen;
	if (e->low > value)
		e->low = value;
	e->high = high < 0x1p63 ? (uint64_t)ceil(high) : MEMTRACE_UNBOUNDED;
	/* beyond 2^53 a double is not as fine */
	if (e->high < value)
		e->high = value;
}

void estimate_add(struct memtrace_estimate *sum, const struct memtrace_estimate *more)
{
	sum->variance += more->variance;
	sum->skew += more->skew;
	sum->seen += more->seen;
}

void estimate_add_exact(struct memtrace_estimate *sum, uint64_t exact)
{
	sum->seen += exact;
}
