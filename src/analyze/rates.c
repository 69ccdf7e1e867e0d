/* SPDX-License-Identifier: MIT */
#include "analyze/rates.h"

#include <math.h>

static double rate(uint64_t cnt, double seconds)
{
	return seconds > 0 ? (double)cnt / seconds : NAN;
}

static double known(double value)
{
	return isfinite(value) && value >= 0 ? value : NAN;
}

struct rates rates_of(const struct memtrace_snapshot *snapshot)
{
	const struct memtrace_totals *totals = &snapshot->totals;

	if (!snapshot->final && snapshot->interval_s > 0)
		return (struct rates){
			.allocs_per_s = known(snapshot->alloc_rate),
			.frees_per_s = known(snapshot->free_rate),
			.bytes_per_s = known(snapshot->alloc_bytes_rate),
			.over_s = known(snapshot->interval_s),
		};
	return (struct rates){
		.allocs_per_s = rate(totals->allocs, snapshot->duration_s),
		.frees_per_s = rate(totals->frees, snapshot->duration_s),
		.bytes_per_s = rate(totals->alloc_bytes, snapshot->duration_s),
		.over_s = snapshot->duration_s > 0 ? known(snapshot->duration_s) : NAN,
		.whole_run = true,
	};
}
