// SPDX-License-Identifier: MIT
#include "analyze/verdict.h"

#include <math.h>

#include "model/snapshot.h"

#define BINS_PER_S 64.0 /* the unit of memtrace_ages */
#define KEPT_SHARE_MIN 0.5
#define INTERVALS_MIN 16 /* with fewer, one in five random walks grows steadily */
#define LIFE_SHARE 5	 /* a fifth of a life is its start, and its end */
#define FEW_BLOCKS 3	 /* need not be one of many to come */
#define DAY_S 86400.0
#define MIB 1048576.0

/* The time a row is judged over. */
struct life {
	double from_s, to_s; /* since ready */
	bool from_start;
};

static struct life life_of(const struct memtrace_snapshot *snapshot, const struct leak *leak)
{
	const struct memtrace_process *process = snapshot_find_process(snapshot, leak->process);
	struct life life = { .to_s = snapshot->duration_s };

	if (!process)
		return life;
	if (process->started_s > 0)
		life.from_s = process->started_s;
	if (leak->ended && process->ended_s >= 0)
		life.to_s = process->ended_s;
	life.from_start = !process->since_attach;
	return life;
}

static enum leak_made made_when(const struct leak *leak, const struct life *life)
{
	double life_s = life->to_s - life->from_s;

	if (!(life_s > 0) || !(leak->oldest_age_s >= 0) || !(leak->youngest_age_s >= 0))
		return LEAK_MADE_UNKNOWN;
	if (leak->youngest_age_s >= life_s - life_s / LIFE_SHARE)
		return LEAK_MADE_AT_START;
	return leak->oldest_age_s <= life_s / LIFE_SHARE ? LEAK_MADE_AT_END : LEAK_MADE_THROUGHOUT;
}

/* Bytes of the row by age; false when that is not known of all of them. */
static bool ages_of(const struct memtrace_snapshot *snapshot, const struct leak *leak,
		    double *bytes)
{
	for (size_t i = 0; i < leak->site_cnt; i++) {
		const struct memtrace_site *site = snapshot_find_site(snapshot, leak->sites[i]);

		if (!site || !site->ages)
			return false;
		for (unsigned int bin = 0; bin < MEMTRACE_AGE_BINS; bin++)
			bytes[bin] += (double)site->ages->bytes[bin];
	}
	return true;
}

/* What is left of what the trend added a while ago. */
static void find_kept(const struct memtrace_snapshot *snapshot, struct leak *leak)
{
	const struct growth *growth = &leak->growth;
	double bytes[MEMTRACE_AGE_BINS] = { 0 }, kept = 0, from_s = 0, to_s = 0;

	leak->kept_share = NAN;
	if (!growth->has_trend || !(growth->trend.slope > 0) || !ages_of(snapshot, leak, bytes))
		return;
	for (unsigned int bin = 1; bin + 1 < MEMTRACE_AGE_BINS; bin++) {
		double low_s = ldexp(1 / BINS_PER_S, (int)bin - 1);

		if (low_s < growth->trend_s / 8 || low_s * 2 > growth->trend_s * 3 / 4)
			continue;
		if (!(from_s > 0))
			from_s = low_s;
		to_s = low_s * 2;
		kept += bytes[bin];
	}
	if (!(from_s > 0))
		return;
	leak->kept_share = kept / (growth->trend.slope * (to_s - from_s));
	leak->kept_from_s = from_s;
	leak->kept_to_s = to_s;
}

static enum leak_verdict verdict_of(const struct leak *leak, uint64_t min_leak_bytes)
{
	const struct growth *growth = &leak->growth;

	switch (growth->shape) {
	case GROWTH_UNKNOWN:
		return leak->made != LEAK_MADE_AT_START && leak->live_blocks > FEW_BLOCKS &&
				       leak->live_bytes >= min_leak_bytes
			       ? LEAK_SUSPECT
			       : LEAK_STEADY;
	case GROWTH_FLAT:
	case GROWTH_SAW_TOOTH:
	case GROWTH_SHRINKING:
	case GROWTH_INIT:
		break;
	case GROWTH_STEP:
		if (growth->grown_bytes >= min_leak_bytes && growth->grown_cnt > 1)
			return LEAK_SUSPECT;
		break;
	case GROWTH_PLATEAU:
		if (growth->grown_bytes >= min_leak_bytes && growth->trend.low > 0)
			return LEAK_SUSPECT;
		break;
	case GROWTH_STEADY:
		if (growth->grown_bytes < min_leak_bytes)
			break;
		return leak->kept_share < KEPT_SHARE_MIN || growth->interval_cnt < INTERVALS_MIN
			       ? LEAK_SUSPECT
			       : LEAK_LEAKING;
	}
	return LEAK_STEADY;
}

double leak_rate(const struct leak *leak)
{
	const struct growth *growth = &leak->growth;

	if (growth->shape == GROWTH_STEADY)
		return growth->trend.slope;
	if (growth->shape == GROWTH_PLATEAU && growth->trend.low > 0)
		return growth->trend.slope;
	return NAN;
}

/* The level a value is at, given where medium, high and critical begin. */
static enum leak_impact level(double value, double medium, double high, double critical)
{
	if (value >= critical)
		return LEAK_CRITICAL;
	if (value >= high)
		return LEAK_HIGH;
	return value >= medium ? LEAK_MEDIUM : LEAK_LOW;
}

static enum leak_impact worse(enum leak_impact a, enum leak_impact b)
{
	return a > b ? a : b;
}

static enum leak_impact impact_of(const struct memtrace_limit *limit, const struct leak *leak)
{
	double bytes = (double)leak->live_bytes, rate = leak_rate(leak);
	double limit_bytes = (double)limit->bytes, left;

	if (leak->verdict == LEAK_STEADY)
		return LEAK_IMPACT_NONE;
	if (!limit->bytes)
		return worse(level(bytes, 10 * MIB, 100 * MIB, 1024 * MIB),
			     level(rate * DAY_S, 50 * MIB, 1024 * MIB, 10240 * MIB));
	left = limit->now_bytes < limit->bytes ? limit_bytes - (double)limit->now_bytes : 0;
	/* the share of what is left that it takes in a second: more is worse */
	return worse(level(bytes / limit_bytes, 0.05, 0.2, 0.5),
		     level(rate / left, 1 / (3 * DAY_S), 1 / (DAY_S / 4), 1 / 600.0));
}

static void find_times(struct leak *leak, const struct life *life)
{
	const struct growth *growth = &leak->growth;

	leak->first_seen_s = growth->first_seen_s;
	leak->last_grown_s = growth->last_grown_s;
	if (leak->first_seen_s < 0 && leak->oldest_age_s >= 0)
		leak->first_seen_s = fmax(life->to_s - leak->oldest_age_s, 0);
	if (growth->shape == GROWTH_UNKNOWN && leak->youngest_age_s >= 0)
		leak->last_grown_s = fmax(life->to_s - leak->youngest_age_s, 0);
}

static void judge(const struct memtrace_snapshot *snapshot, const struct leaks_params *params,
		  struct leak *leak)
{
	struct life life = life_of(snapshot, leak);
	struct series_point points[SERIES_POINTS];
	size_t cnt = 0;

	if (params->series)
		cnt = series_of_sites(params->series, leak->process, leak->sites, leak->site_cnt,
				      points);
	leak->growth = growth_of(points, cnt, life.from_start);
	leak->made = made_when(leak, &life);
	find_kept(snapshot, leak);
	find_times(leak, &life);
	leak->verdict = verdict_of(leak, params->min_leak_bytes);
	leak->impact = impact_of(&snapshot->limit, leak);
}

void verdicts_find(const struct memtrace_snapshot *snapshot, struct leaks_result *leaks)
{
	for (size_t i = 0; i < leaks->total_rows; i++) {
		struct leak *leak = &leaks->rows[i];

		judge(snapshot, &leaks->params, leak);
		leaks->verdict_rows[leak->verdict]++;
		if (leak->verdict == LEAK_LEAKING)
			leaks->leaking_bytes_per_s += leak_rate(leak);
	}
}

const char *leak_verdict_name(enum leak_verdict verdict)
{
	static const char *const names[] = {
		[LEAK_LEAKING] = "leaking",
		[LEAK_SUSPECT] = "suspect",
		[LEAK_STEADY] = "steady",
	};

	return names[verdict];
}

const char *leak_impact_name(enum leak_impact impact)
{
	static const char *const names[] = {
		[LEAK_IMPACT_NONE] = NULL, [LEAK_LOW] = "low",		 [LEAK_MEDIUM] = "medium",
		[LEAK_HIGH] = "high",	   [LEAK_CRITICAL] = "critical",
	};

	return names[impact];
}

const char *leak_made_name(enum leak_made made)
{
	static const char *const names[] = {
		[LEAK_MADE_UNKNOWN] = NULL,
		[LEAK_MADE_AT_START] = "start",
		[LEAK_MADE_THROUGHOUT] = "throughout",
		[LEAK_MADE_AT_END] = "end",
	};

	return names[made];
}
