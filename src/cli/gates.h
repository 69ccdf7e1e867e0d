/* SPDX-License-Identifier: MIT */
/* gates.h - --fail-on: what a final report must not show. */
#ifndef MEMTRACE_CLI_GATES_H
#define MEMTRACE_CLI_GATES_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "cli/options.h"
#include "memtrace/memtrace.h"

/*
 * *tripped says whether one did; then why gets one line of text for each, without the
 * program's name. Returns 0 or -ENOMEM. --top and --min-size cut what is shown, not what
 * is judged.
 */
int gates_check(const struct cli_options *options, const struct memtrace_snapshot *snapshot,
		bool *tripped, struct strbuf *why);

#endif
