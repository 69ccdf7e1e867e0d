/* SPDX-License-Identifier: MIT */
/*
 * run.h - one tracing session from options to exit status.
 *
 * Prints to the destinations of report.h, and remarks and errors to stderr, each error as one line.
 */
#ifndef MEMTRACE_CLI_RUN_H
#define MEMTRACE_CLI_RUN_H

#include "cli/options.h"

enum exit_code { EXIT_TRACED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_GATE = 3 };

/* Returns the exit status: enum exit_code, or the launched command's own (128+N for signal N). */
int run(const struct cli_options *options);

#endif
