// SPDX-License-Identifier: MIT
/*
 * analyze.c - what judging costs: 10,000 call paths, 600 snapshots.
 *
 *	analyze [SITES [SNAPSHOTS]]
 *
 * Two heaps: one of every kind of curve (a quarter of the call paths never change), and the dearest
 * one, where all call paths grow with noise. Figures are medians.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analyze/analysis.h"
#include "model/series.h"
#include "model/snapshot.h"

#define ROUNDS 11

static void die(const char *what)
{
	fprintf(stderr, "analyze: %s\n", what);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t cnt)
{
	qsort(values, cnt, sizeof(*values), by_value);
	return values[cnt / 2];
}

static double uniform(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (double)(*seed >> 11) / 9007199254740992.0;
}

/* Live bytes of a call path at a time, of so many seconds. */
static double live_bytes(size_t site, double t_s, double over_s, bool dearest, uint64_t *seed)
{
	double noise = 3000 * uniform(seed);

	switch (dearest ? 7 : site % 8) {
	case 0:
	case 1:
		return 4096; /* never changes */
	case 2:
		return 1000 * fmin(t_s, over_s / 2); /* a cache */
	case 3:
		return 1000 * fmod(t_s + (double)site, over_s / 7); /* a saw-tooth */
	case 4:
		return t_s > over_s / 3 ? 80000 : 0; /* a step */
	case 5:
		return 50000 + noise; /* work */
	case 6:
		return 100 * t_s; /* a leak */
	default:
		return 100 * t_s + noise;
	}
}

static struct memtrace_snapshot *snapshot_of(size_t site_cnt)
{
	struct memtrace_snapshot *s = snapshot_new();
	struct memtrace_process *p = s ? snapshot_add_process(s, 1) : NULL;

	if (!p)
		die("out of memory");
	p->ended_by = MEMTRACE_RUNNING;
	p->ended_s = -1;
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20, .tree_cnt = 1 };
	for (size_t i = 0; i < site_cnt; i++) {
		struct memtrace_site *site = snapshot_add_site(s, i + 1, 1, 8);

		if (!site)
			die("out of memory");
		for (uint32_t f = 0; f < 8; f++)
			site->frames[f] = (struct memtrace_frame){
				.module = snapshot_intern(s, "/usr/bin/program"),
				.offset = i * 8 + f,
			};
	}
	return s;
}

static void fill(struct memtrace_snapshot *s, double t_s, double over_s, bool dearest,
		 uint64_t *seed)
{
	s->duration_s = t_s;
	s->processes[0].live_bytes = 0;
	for (size_t i = 0; i < s->site_cnt; i++) {
		struct memtrace_site *site = &s->sites[i];

		site->live_bytes = (uint64_t)live_bytes(i, t_s, over_s, dearest, seed);
		site->alloc_bytes += site->live_bytes;
		site->live_blocks = site->aged_blocks = 1;
		site->aged_bytes = site->live_bytes;
		site->oldest_age_s = site->aged_youngest_s = t_s;
		s->processes[0].live_bytes += site->live_bytes;
	}
}

static void measure(size_t site_cnt, size_t snapshot_cnt, bool dearest)
{
	struct memtrace_snapshot *s = snapshot_of(site_cnt);
	struct series *series = series_new(0);
	struct analysis_params params = { .leaks = { .min_leak_bytes = 1024, .series = series } };
	double *append_ms = calloc(snapshot_cnt, sizeof(*append_ms)), without_ms[ROUNDS];
	double with_ms[ROUNDS];
	struct analysis analysis;
	uint64_t seed = 99;

	if (!series || !append_ms)
		die("out of memory");
	for (size_t t = 0; t < snapshot_cnt; t++) {
		fill(s, (double)t, (double)snapshot_cnt, dearest, &seed);
		append_ms[t] = now_ms();
		if (series_append(series, s))
			die("out of memory");
		append_ms[t] = now_ms() - append_ms[t];
	}
	for (int i = 0; i < 2 * ROUNDS; i++) {
		double began_ms = now_ms();

		params.leaks.series = i % 2 ? series : NULL;
		if (analysis_init(&analysis, s, &params))
			die("out of memory");
		(i % 2 ? with_ms : without_ms)[i / 2] = now_ms() - began_ms;
		analysis_fini(&analysis);
	}
	printf("%-28s %8.1f ms %10.1f ms %10.2f ms %8.1f MiB\n",
	       dearest ? "all grow, with noise" : "curves of every kind", median(with_ms, ROUNDS),
	       median(without_ms, ROUNDS), median(append_ms, snapshot_cnt),
	       (double)series_bytes(series) / 1048576);
	free(append_ms);
	series_destroy(series);
	memtrace_snapshot_free(s);
}

int main(int argc, char **argv)
{
	size_t site_cnt = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
	size_t snapshot_cnt = argc > 2 ? strtoul(argv[2], NULL, 10) : 600;

	if (!site_cnt || !snapshot_cnt)
		die("usage: analyze [SITES [SNAPSHOTS]]");
	printf("%zu call paths, %zu snapshots\n", site_cnt, snapshot_cnt);
	printf("%-28s %11s %13s %13s %12s\n", "", "analyzed", "w/o series", "one appended",
	       "the series");
	measure(site_cnt, snapshot_cnt, false);
	measure(site_cnt, snapshot_cnt, true);
	return 0;
}
