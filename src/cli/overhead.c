// SPDX-License-Identifier: MIT
#include "cli/overhead.h"

#include <math.h>

#include "analyze/overhead.h"
#include "base/strbuf.h"
#include "base/units.h"
#include "cli/say.h"
#include "model/overhead.h"
#include "output/overhead_text.h"

#define NOTICEABLE 1.05 /* times as long */

static bool noticeable(const struct memtrace_overhead *recent, const struct overhead *o)
{
	return o->slowdown > NOTICEABLE && recent->cost_s > OVERHEAD_MATTERS * recent->time_s;
}

/* "pid 4242 makes 310,000 allocation calls a second; tracing makes it about 2.1 times slower" */
static void say_projection(const struct cli_options *options, const struct overhead *o,
			   bool matters)
{
	struct strbuf line = STRBUF_INIT;
	bool one = options->pid_cnt == 1;

	if (one)
		strbuf_printf(&line, "pid %d makes", (int)options->pids[0]);
	else
		strbuf_puts(&line, "the targets make");
	strbuf_printf(&line, " %s allocation calls a second; tracing makes %s ",
		      units_rate(o->calls_per_s).text, one ? "it" : "them");
	overhead_put_slowdown(&line, o->slowdown);
	if (matters && !options->max_overhead)
		strbuf_puts(&line, " (--max-overhead PCT would end that by itself)");
	say("%s", strbuf_text(&line));
	strbuf_fini(&line);
}

static void say_widening(const struct overhead *o)
{
	struct strbuf line = STRBUF_INIT;

	strbuf_puts(&line, "tracing made the targets ");
	overhead_put_slowdown(&line, 1 + o->widened_percent / 100);
	strbuf_printf(&line,
		      ", more than --max-overhead %.0f allows: figures are estimates from a "
		      "sample from now on (%s), and the report says how wide",
		      o->max_percent, units_duration(o->widened_at_s).text);
	say("%s", strbuf_text(&line));
	strbuf_fini(&line);
}

void overhead_news_say(struct overhead_news *news, const struct cli_options *options,
		       const struct memtrace *session)
{
	bool attached = options->target == CLI_TARGET_PID, matters;
	struct memtrace_overhead recent;
	struct overhead o;

	if (options->quiet || !memtrace_overhead(session, &recent))
		return;
	o = overhead_of(&recent);
	matters = noticeable(&recent, &o);
	if (!news->projected && attached && (options->verbose || matters)) {
		news->projected = true;
		if (!isnan(o.slowdown))
			say_projection(options, &o, matters);
	}
	if (o.widened && o.widened_at_s != news->widened_at_s) {
		news->widened_at_s = o.widened_at_s;
		say_widening(&o);
	}
}
