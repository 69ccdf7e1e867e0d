/* SPDX-License-Identifier: MIT */
/*
 * preload_listener.h - listens to the preload library as a debugger does: no BPF, no root.
 *
 * The program loads a copy of the library with an int3 at each site (preload_file.h). ptrace stops
 * it there, in every thread and child, with its registers, and an account is kept of each address
 * space by the rules of docs/architecture.md, block by block.
 */
#ifndef PRELOAD_LISTENER_H
#define PRELOAD_LISTENER_H

#include <stdint.h>
#include <sys/types.h>

#include "preload_file.h"

#define LISTENER_ACCOUNTS_MAX 64

struct listener_event {
	pid_t pid;
	const struct preload_site *site;
	uint64_t arg[5];
	uint64_t frame[2]; /* what the frame pointer points at: the caller's, and the return address
			    */
	char caller[128];  /* the file the return address is in */
};

/* Of one address space. Blocks are counted, not what they stand for. */
struct listener_account {
	pid_t pid;
	uint64_t claims, allocs, frees, reallocs, failed, alloc_bytes, freed_bytes;
	uint64_t inherited_frees, unknown_frees, live_blocks, live_bytes;
	uint64_t weight, count; /* sums over what came */
	uint64_t loaders; /* allocations the dynamic linker made for itself: in no other figure */
	uint64_t wrong;	  /* things that cannot be: a block twice, an end without a beginning */
	struct listener_block *blocks; /* NULL once it ended */
};

struct listener_run {
	struct listener_account accounts[LISTENER_ACCOUNTS_MAX]; /* in the order they began */
	size_t cnt;
	int status; /* of the program, as wait says */
};

struct listener_options {
	const struct preload_file *file;
	const struct mt_preload_config *config; /* NULL: as built */
	unsigned int listen;			/* 0: LISTEN_MEMTRACE */
	const char *more;			/* preloaded after it */
	const char *before;			/* preloaded before it */
	void (*on_event)(const struct listener_event *event, void *context);
	void *context;
};

/* Runs the program to its end. argv[0] is a path. MT_TRUTH is truth_path(). */
void listener_run(const struct listener_options *options, char *const argv[],
		  struct listener_run *run);
const char *truth_path(void);

/* Figure name of line n of the truth that programs wrote; fails the test if there is none. */
long long truth_figure(size_t line, const char *name);
size_t truth_lines(void);
/* The account that matches that line's pid. */
const struct listener_account *truth_account(const struct listener_run *run, size_t line);

#endif
