/* SPDX-License-Identifier: MIT */
/*
 * variant.h - how a workload is run: alone, under memtrace in its lanes, under other tools.
 *
 * A variant stands before the command (memtrace ... -- CMD), or attaches to the program once it is
 * ready, or neither. Afterwards it says whether the run counts: a tool that did not see the work,
 * or counted it wrong, was not measured at all.
 */
#ifndef BENCH_VARIANT_H
#define BENCH_VARIANT_H

#include <stddef.h>
#include <stdint.h>

#include "parts/child.h"
#include "parts/grid.h"
#include "parts/workload.h"

/* What variants keep from one run to the next. */
struct rig;

struct rig *rig_new(const struct place *place); /* NULL without memory */
void rig_free(struct rig *rig);			/* takes NULL */

struct variant {
	const char *name, *title;
	enum grid_kind kind;
	enum amount amount;
	unsigned int every; /* runs in each round, in every third, ... */

	const char *needs;		  /* a program, or NULL */
	const char *options[4];		  /* memtrace's, valgrind's */
	double sample_bytes, sample_rate; /* 0: not sampled like that */

	/* Each may be NULL. attach(): -ENOTSUP: it never will; other: not this time; with why. */
	void (*compose)(const struct variant *v, struct rig *rig, struct command *command);
	int (*attach)(struct rig *rig, const struct child *child, char *why);
	void (*detach)(struct rig *rig);
	/* What the tool counted, in allocs; 0 when it did not say. */
	int (*count)(struct rig *rig, uint64_t *allocs, char *why);
};

extern const struct variant variants[];
extern const size_t variant_cnt;

/* Why it is not there at all, in why; or 0. */
int variant_missing(const struct variant *v, const struct place *place, char *why);

/* Does a run that ended like that count? 0; -ENOTSUP: it never will; other: no; with why. */
int variant_check(const struct variant *v, const struct workload *w, struct rig *rig, int status,
		  const struct measure *measure, uint64_t *allocs, char *why);

/* Where stderr of runs goes. */
const char *rig_stderr(const struct rig *rig);

#endif
