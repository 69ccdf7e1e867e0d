/* SPDX-License-Identifier: MIT */
#include "analyze/pressure.h"

static const struct {
	const char *name;
	unsigned int percent;
} levels[] = {
	[PRESSURE_NO_LIMIT] = { "no limit", 0 }, [PRESSURE_LOW] = { "low", 0 },
	[PRESSURE_HIGH] = { "high", 80 },	 [PRESSURE_CRITICAL] = { "critical", 90 },
	[PRESSURE_FULL] = { "full", 100 },
};

const char *pressure_name(enum pressure_level level)
{
	return levels[level].name;
}

unsigned int pressure_percent(enum pressure_level level)
{
	return levels[level].percent;
}

static uint64_t permille_of(uint64_t bytes, uint64_t limit_bytes)
{
	unsigned __int128 share = (unsigned __int128)bytes * 1000 / limit_bytes;

	return share > UINT64_MAX ? UINT64_MAX : (uint64_t)share;
}

static enum pressure_level level_of(uint64_t permille)
{
	enum pressure_level level = PRESSURE_FULL;

	while (level > PRESSURE_LOW && permille < levels[level].percent * 10)
		level--;
	return level;
}

static uint64_t beyond(uint64_t bytes, uint64_t limit_bytes)
{
	return bytes > limit_bytes ? bytes - limit_bytes : 0;
}

struct pressure pressure_of(const struct memtrace_limit *limit)
{
	struct pressure p = { .now = PRESSURE_NO_LIMIT, .peak = PRESSURE_NO_LIMIT };

	if (!limit->bytes)
		return p;
	/* a snapshot of a running target is not taken in one instant */
	p.peak_bytes = limit->peak_bytes > limit->now_bytes ? limit->peak_bytes : limit->now_bytes;
	p.used_permille = permille_of(limit->now_bytes, limit->bytes);
	p.peak_permille = permille_of(p.peak_bytes, limit->bytes);
	p.now = level_of(p.used_permille);
	p.peak = limit->exceeded ? PRESSURE_FULL : level_of(p.peak_permille);
	p.headroom_bytes = beyond(limit->bytes, limit->now_bytes);
	p.over_bytes = beyond(limit->now_bytes, limit->bytes);
	p.peak_headroom_bytes = beyond(limit->bytes, p.peak_bytes);
	p.peak_over_bytes = beyond(p.peak_bytes, limit->bytes);
	return p;
}
