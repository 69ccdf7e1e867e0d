// SPDX-License-Identifier: MIT
#include "cli/watch.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "analyze/growth.h"
#include "analyze/leaks.h"
#include "base/arena.h"

#define LOOK_MIN_S 0.1
#define LOOK_AGAIN_S 1.0 /* where it could not look */
#define COST_TIMES 100	 /* a look takes a hundredth of the time until the next, at most */

static double cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void watch_begin(struct watch *watch, struct report *report, double now_s)
{
	const struct cli_options *options = report->options;
	double every_s = options->leak_interval_s;

	*watch = (struct watch){ .series = series_new(0), .look_at_s = now_s };
	report->series = watch->series;
	if (!options->quiet && !(options->interval_s > 0 && options->interval_s <= every_s))
		watch->judge_every_s = every_s;
	watch->judge_at_s = watch->judge_every_s > 0 ? now_s + every_s : INFINITY;
}

void watch_fini(struct watch *watch)
{
	series_destroy(watch->series);
	free(watch->said);
	*watch = (struct watch){ 0 };
}

static void give_up(struct watch *watch, struct report *report)
{
	report->series = NULL;
	series_destroy(watch->series);
	watch->series = NULL;
}

double watch_due_s(const struct watch *watch)
{
	if (!watch->series)
		return INFINITY;
	return fmin(watch->look_at_s, watch->judge_at_s);
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool was_said(const struct watch *watch, uint64_t site)
{
	for (size_t i = 0; i < watch->said_cnt; i++)
		if (watch->said[i] == site)
			return true;
	return false;
}

static void remember(struct watch *watch, uint64_t site)
{
	uint64_t *grown = realloc(watch->said, (watch->said_cnt + 1) * sizeof(*grown));

	if (!grown) /* better said twice than not at all */
		return;
	watch->said = grown;
	grown[watch->said_cnt++] = site;
}

/* Does any call path grow that was not told of? Counters are enough for that; what they cannot say,
 * the stack and the ages of blocks, costs more. */
static bool any_grows(const struct watch *watch, const struct report *report,
		      const struct memtrace_snapshot *counters)
{
	struct series_point points[SERIES_POINTS];

	for (size_t i = 0; i < counters->site_cnt; i++) {
		const struct memtrace_site *site = &counters->sites[i];
		struct growth growth;
		size_t cnt;

		if (was_said(watch, site->id))
			continue;
		cnt = series_of_sites(watch->series, site->process, &site->id, 1, points);
		growth = growth_of(points, cnt, false);
		if (growth.shape == GROWTH_STEADY &&
		    growth.grown_bytes >= report->options->min_leak_bytes)
			return true;
	}
	return false;
}

static void say_leaks(struct watch *watch, const struct report *report,
		      const struct memtrace_snapshot *snapshot)
{
	struct leaks_params params = { .min_bytes = report->options->min_size_bytes,
				       .min_leak_bytes = report->options->min_leak_bytes,
				       .series = watch->series };
	struct leaks_result leaks;
	struct arena arena;

	arena_init(&arena);
	if (!leaks_find(snapshot, &params, &arena, &leaks)) {
		for (size_t i = 0; i < leaks.verdict_rows[LEAK_LEAKING]; i++) {
			if (was_said(watch, leaks.rows[i].site))
				continue;
			remember(watch, leaks.rows[i].site);
			report_leak(report, snapshot, &leaks, &leaks.rows[i]);
		}
	}
	arena_fini(&arena);
}

static int judge(struct watch *watch, struct memtrace *session, const struct report *report)
{
	struct memtrace_snapshot *snapshot;
	int err = memtrace_snapshot_take(session, &snapshot);

	if (err)
		return err;
	series_append(watch->series, snapshot);
	say_leaks(watch, report, snapshot);
	memtrace_snapshot_free(snapshot);
	return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

int watch_step(struct watch *watch, struct memtrace *session, const struct report *report,
	       double now_s)
{
	bool judging = now_s >= watch->judge_at_s, grows = false;
	struct memtrace_snapshot *counters;
	double began_s;

	if (!watch->series || now_s < watch_due_s(watch))
		return 0;
	began_s = cpu_s();
	watch->look_at_s = now_s + LOOK_AGAIN_S;
	if (memtrace_counters_take(session, &counters))
		return 0; /* a point less; reports will tell what is wrong */
	/* what there was no memory for is missing in the series, and may be there the next time */
	series_append(watch->series, counters);
	watch->look_at_s = now_s + fmax(fmax(LOOK_MIN_S, series_step_s(watch->series)),
					COST_TIMES * (cpu_s() - began_s));
	if (judging) {
		grows = any_grows(watch, report, counters);
		watch->judge_at_s = now_s + watch->judge_every_s;
	}
	memtrace_snapshot_free(counters);
	return grows ? judge(watch, session, report) : 0;
}

void watch_take(struct watch *watch, struct report *report,
		const struct memtrace_snapshot *snapshot)
{
	if (watch->series && series_append(watch->series, snapshot))
		give_up(watch, report);
}
