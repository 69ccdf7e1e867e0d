// SPDX-License-Identifier: MIT
#include "output/overhead_text.h"

#include <math.h>

#include "base/units.h"
#include "model/overhead.h"

#define TIMES 1.5 /* from here on "times", below per cent */

static void put_percent(struct strbuf *line, double share)
{
	if (share < 0.01)
		strbuf_puts(line, share > 0 ? "less than 1 %" : "0 %");
	else
		strbuf_printf(line, "%.0f %%", share * 100);
}

void overhead_put_slowdown(struct strbuf *line, double slowdown)
{
	if (slowdown >= OVERHEAD_SLOWDOWN_MAX) {
		strbuf_printf(line, "more than %.0f times slower", OVERHEAD_SLOWDOWN_MAX);
		return;
	}
	if (slowdown >= TIMES) {
		strbuf_printf(line, "about %.1f times slower", slowdown);
		return;
	}
	if (slowdown >= 1.01)
		strbuf_puts(line, "about ");
	put_percent(line, slowdown - 1);
	strbuf_puts(line, " slower");
}

static void put_call_time(struct strbuf *line, double ns)
{
	if (ns < 10)
		strbuf_printf(line, "%.1f ns", ns);
	else if (ns < 999.5)
		strbuf_printf(line, "%.0f ns", ns);
	else
		strbuf_printf(line, "%.1f us", ns / 1000);
}

bool overhead_put_end(struct strbuf *line, const struct overhead *o)
{
	if (!o->ended)
		return false;
	strbuf_printf(line, "tracing ended after %s: it made the targets ",
		      units_duration(o->ended_at_s).text);
	overhead_put_slowdown(line, 1 + o->ended_percent / 100);
	strbuf_printf(line, ", more than --max-overhead %.0f allows", o->max_percent);
	return true;
}

bool overhead_put_widening(struct strbuf *line, const struct overhead *o)
{
	if (!o->widened)
		return false;
	strbuf_printf(line, "sampled like this since %s: before, tracing made the targets ",
		      units_duration(o->widened_at_s).text);
	overhead_put_slowdown(line, 1 + o->widened_percent / 100);
	strbuf_printf(line, ", more than --max-overhead %.0f allows", o->max_percent);
	return true;
}

bool overhead_put(struct strbuf *line, const struct overhead *o)
{
	if (isnan(o->slowdown))
		return false;
	overhead_put_slowdown(line, o->slowdown);
	if (isnan(o->ns_per_call) || isnan(o->calls_per_s))
		return true;
	strbuf_printf(line, ": %s calls/s at ", units_rate(o->calls_per_s).text);
	put_call_time(line, o->ns_per_call);
	strbuf_puts(line, " each, ");
	put_percent(line, o->share);
	strbuf_puts(line, " of the CPU time");
	return true;
}
