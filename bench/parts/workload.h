/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what is measured: programs that say when they are ready, do an amount of work when
 * told to, and of which it is known how long that took.
 *
 *	program               compare
 *	starts, is traced
 *	"ready"      ------>  hangs on what attaches
 *	             <------  go
 *	works        ------>  nanoseconds
 *	ends         <------  end of stdin
 *
 * So no tool's start or end is in the time of the work. Slow tools get less of the same work; what
 * is kept is the time of one unit of it.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdint.h>

#include "parts/child.h"
#include "parts/grid.h"

/* How much of it a run does. */
enum amount {
	AMOUNT_FULL,	  /* as good as untraced */
	AMOUNT_SAMPLED,	  /* every tenth call is traced */
	AMOUNT_TRACED,	  /* every call, 0.5 to 2 us */
	AMOUNT_SIMULATED, /* every instruction */
	AMOUNT_CRAWLING,  /* every call, 20 us */
	AMOUNTS
};

/* Where things are. */
struct place {
	const char *build;    /* directory of programs */
	const char *scratch;  /* directory for this run's files */
	const char *memtrace; /* the program */
	const char *memleak;  /* bcc's, or NULL */
};

struct measure {
	double ns;	       /* of one unit */
	uint64_t allocs;       /* that the work made, by its own count; 0: unknown */
	uint64_t allocs_least; /* that it made at least */
};

struct workload {
	const char *name, *title, *unit;
	long amounts[AMOUNTS];
	const char *needs[3];  /* programs, found by PATH */
	const char *ready;     /* what it says then */
	const char *parameter; /* its own */
	/* Adds its words and environment to command. */
	void (*compose)(const struct workload *w, const struct place *place, long amount,
			struct command *command);
	/* Tells it to work, waits for the end of that. 0 or -errno. */
	int (*work)(const struct workload *w, const struct place *place, long amount,
		    struct child *child, struct measure *measure);
	/* Tells it to end, where the end of stdin does not. May be NULL. */
	void (*stop)(const struct place *place);
	unsigned int block_bytes; /* typical size; for what sampling may be wrong by */
};

extern const struct workload workloads[];
extern const size_t workload_cnt;

/* Which program is missing, or NULL. */
const char *workload_missing(const struct workload *w);

/* Is there a program of that name in PATH? A name with a slash is a path. */
bool program_is_there(const char *name);

#endif
