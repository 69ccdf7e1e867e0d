/* SPDX-License-Identifier: MIT */
/*
 * witness.h - a report's stacks against those that the programs saw of themselves
 * (targets/stack_witness.c).
 *
 * Every stack of every process must be in both, with the same blocks and bytes, frame for frame up to
 * the root: module and address of the call. Nothing is left out: env, which sets the witness up, is
 * the one program that need not have one.
 */
#ifndef TESTS_SYSTEM_WITNESS_H
#define TESTS_SYSTEM_WITNESS_H

#include "harness.h"

struct witnessed {
	const char *name;	   /* of the program, for what is printed */
	const char *dir;	   /* of the witness's files */
	struct tracer tracer;
	long long blocks;
	size_t stacks, equal, cut; /* distinct ones; cut: right up to a row that cannot be said */
	double complete;	   /* percent of the allocations whose stack has its root */
};

/* Starts memtrace on a command that the witness watches, in a lane. env is the command's. */
void witnessed_start(struct witnessed *w, const char *lane, const char *name,
		     const char *const *argv, const char *const *env, int out_fd);

/* Waits for the end and compares. Stacks may end early in functions whose names begin with one of
 * cut_at (NULL: none), where memtrace must say unsupported_rule; what is there must be right. */
void witnessed_finish(struct witnessed *w, const char *const *cut_at);

/* Both, in each lane. At least so many stacks, and 99.5 % of the allocations have their stack's root. */
void expect_witnessed(const char *name, const char *const *argv, const char *const *env,
		      size_t stacks_min);

#endif
