// SPDX-License-Identifier: MIT
#include "model/overhead.h"

#include <math.h>

#define OVERHEAD_SAMPLE_BYTES_MIN 4096

static uint64_t known(int64_t value)
{
	return value == MEMTRACE_UNKNOWN ? 0 : (uint64_t)value;
}

uint64_t overhead_calls(const struct memtrace_totals *t)
{
	uint64_t calls = t->allocs + t->frees + known(t->failed_allocs) +
			 known(t->inherited_frees) + known(t->unknown_frees);
	uint64_t twice = known(t->reallocs);

	return calls > twice ? calls - twice : 0;
}

static bool is_time(double seconds)
{
	return isfinite(seconds) && seconds >= 0;
}

double overhead_ns_per_call(const struct memtrace_overhead *o)
{
	return is_time(o->cost_s) && o->calls ? o->cost_s * 1e9 / (double)o->calls : NAN;
}

/* More than all of it, and not by what an estimate may be off: the clocks missed a part of the
 * targets. */
#define TOO_MUCH 2.0

double overhead_share(const struct memtrace_overhead *o)
{
	if (!is_time(o->cost_s) || !is_time(o->cpu_s) || o->cost_s > TOO_MUCH * o->cpu_s)
		return NAN;
	return o->cost_s > 0 ? fmin(o->cost_s / o->cpu_s, 1) : 0;
}

double overhead_slowdown(const struct memtrace_overhead *o)
{
	double whole = fmax(o->cpu_s, o->time_s - (is_time(o->wait_s) ? o->wait_s : 0));

	if (isnan(overhead_share(o)))
		return NAN;
	if (o->cost_s <= 0)
		return 1;
	return o->cost_s < whole ? fmin(whole / (whole - o->cost_s), OVERHEAD_SLOWDOWN_MAX)
				 : OVERHEAD_SLOWDOWN_MAX;
}

double overhead_percent(const struct memtrace_overhead *o)
{
	return (overhead_slowdown(o) - 1) * 100;
}

uint64_t overhead_sample_bytes(double bytes, double times)
{
	double wanted = bytes * fmax(2 * times, 4);
	uint64_t points = OVERHEAD_SAMPLE_BYTES_MIN;

	while (points < wanted && points < OVERHEAD_SAMPLE_BYTES_MAX)
		points *= 2;
	return points;
}
