/* SPDX-License-Identifier: MIT */
/*
 * options.h - what the user asked for on the command line.
 *
 * One const table in options.c holds every option: the parser, the checks of values and --help all
 * read it, so none of them can disagree. After a successful parse every field has its final value:
 * defaults filled in, exactly one kind of target, combinations checked. Strings point into argv.
 */
#ifndef MEMTRACE_CLI_OPTIONS_H
#define MEMTRACE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/message.h"

enum cli_action { CLI_TRACE, CLI_HELP, CLI_VERSION };

enum cli_target {
	CLI_TARGET_NONE,
	CLI_TARGET_PID,
	CLI_TARGET_ALL,
	CLI_TARGET_COMM,
	CLI_TARGET_CGROUP,
	CLI_TARGET_COMMAND,
};

/* Values of the choice options, in the order of their names in the table. */
enum cli_on_limit { CLI_LIMIT_REPORT, CLI_LIMIT_STOP, CLI_LIMIT_KILL };
enum cli_lane { CLI_LANE_AUTO, CLI_LANE_UPROBE, CLI_LANE_PRELOAD };
enum cli_sampling { CLI_SAMPLE_ALL, CLI_SAMPLE_BYTES, CLI_SAMPLE_RATE };
enum cli_stacks { CLI_STACKS_AUTO, CLI_STACKS_DWARF, CLI_STACKS_FP, CLI_STACKS_NONE };
enum cli_follow { CLI_FOLLOW_NEWS, CLI_FOLLOW_EXACT, CLI_FOLLOW_NONE };

struct cli_options {
	enum cli_action action;
	enum cli_target target;
	pid_t *pids; /* owned; without repeats */
	size_t pid_cnt;
	const char *comm;
	const char *cgroup;
	char *const *command; /* NULL-terminated */

	double interval_s; /* 0: no report before the final one */
	double duration_s; /* 0: until the targets end or Ctrl-C */
	double min_age_s;
	bool min_age_given;
	uint64_t min_size_bytes;
	uint64_t min_leak_bytes;
	double leak_interval_s; /* 0: leaks are told by reports only */
	uint64_t top;

	uint64_t limit_mb; /* 0: no limit */
	int on_limit;	   /* enum cli_on_limit */
	bool fail_on_limit;
	bool fail_on_leak;
	uint64_t fail_leak_bytes; /* trips at this much leaked */

	const char *cache_dir; /* NULL: the user's */
	bool debuginfod;
	const char *json; /* NULL: none; "-": stdout */
	int ready_fd;	  /* -1: none */
	int lane;	  /* enum cli_lane */
	enum cli_sampling sampling;
	uint64_t sample_bytes; /* 0: no block is taken */
	double sampling_rate;  /* the same */
	uint64_t sample_seed;  /* 0: another one each time */
	int stacks;	  /* enum cli_stacks */
	uint64_t stack_depth;
	int follow;		/* enum cli_follow */
	uint64_t max_overhead;	/* per cent; 0: any */
	uint64_t max_memory_mb; /* 0: the library's default */
	const char *user;	/* NULL: the user behind sudo */
	unsigned int verbose;
	bool quiet;
};

/*
 * Reads argv. Returns 0, -ENOMEM, or -EINVAL with the sentence "WHAT: WHY (REMEDY)" in why. After
 * --help or --version (as action) nothing else has been checked. options_fini() is due in each case.
 */
int options_parse(struct cli_options *options, int argc, char *const *argv, struct message *why);
void options_fini(struct cli_options *options);

/* Prints --help. */
void options_help(FILE *out);

#endif
