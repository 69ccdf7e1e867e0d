/* SPDX-License-Identifier: MIT */
/* series_fixture.h - series made by hand: one process, sites whose live bytes are functions of time. */
#ifndef TESTS_SERIES_FIXTURE_H
#define TESTS_SERIES_FIXTURE_H

#include <math.h>

#include "model/series.h"
#include "snapshot_fixture.h"

/* A snapshot of a running process 1 at t_s, with live_bytes in all. */
static inline struct memtrace_snapshot *fixture_at(double t_s, uint64_t live_bytes)
{
	struct memtrace_snapshot *s = fixture_new("x");
	struct memtrace_process *p = fixture_process(s, 1, 100, "x");

	s->duration_s = t_s;
	s->final = false;
	s->limit.tree_cnt = 1;
	p->ended_by = MEMTRACE_RUNNING;
	p->ended_s = -1;
	p->live_bytes = p->alloc_bytes = live_bytes;
	return s;
}

/* Its site id, of the same kind. */
static inline struct memtrace_site *fixture_holds(struct memtrace_snapshot *s, uint64_t id,
						  uint64_t live_bytes)
{
	struct memtrace_frame own = { .address = id, .module = "/bin/x", .offset = id };

	return fixture_site(s, id, 1, live_bytes ? 1 : 0, live_bytes, 0, s->duration_s, &own, 1);
}

static inline void fixture_append(struct series *series, struct memtrace_snapshot *s)
{
	int err = series_append(series, s);

	assert(!err);
	memtrace_snapshot_free(s);
}

/* Noise that is the same in each run (xorshift), not the C library's. */
static inline double fixture_uniform(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return ((double)(*seed >> 11) + 0.5) / 9007199254740992.0;
}

static inline double fixture_normal(uint64_t *seed)
{
	return sqrt(-2 * log(fixture_uniform(seed))) * cos(2 * M_PI * fixture_uniform(seed));
}

#endif
