// SPDX-License-Identifier: MIT
#include "analyze/overhead.h"

#include <math.h>

#include "model/overhead.h"

static double known(double seconds)
{
	return isfinite(seconds) && seconds >= 0 ? seconds : NAN;
}

struct overhead overhead_of(const struct memtrace_overhead *m)
{
	return (struct overhead){
		.calls = m->calls,
		.calls_per_s = m->time_s > 0 ? (double)m->calls / m->time_s : NAN,
		.ns_per_call = overhead_ns_per_call(m),
		.cost_s = known(m->cost_s),
		.cpu_s = known(m->cpu_s),
		.share = overhead_share(m),
		.slowdown = overhead_slowdown(m),
		.ended = m->ended,
		.max_percent = m->max_percent ? m->max_percent : NAN,
		.ended_at_s = m->ended ? m->ended_at_s : NAN,
		.ended_percent = m->ended ? m->ended_percent : NAN,
		.widened = m->widened,
		.widened_at_s = m->widened ? m->widened_at_s : NAN,
		.widened_percent = m->widened ? m->widened_percent : NAN,
	};
}
