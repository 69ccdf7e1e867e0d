/* SPDX-License-Identifier: MIT */
/* tree.h - whom a limit's consequence meets. */
#ifndef MEMTRACE_CLI_TREE_H
#define MEMTRACE_CLI_TREE_H

#include "base/strbuf.h"
#include "memtrace/memtrace.h"

/*
 * Adds the pids that --on-limit stop has stopped, as words behind kill -CONT: the process that
 * crossed the limit and, where the limit is a tree's, the rest of its tree that has not ended. Adds
 * nothing when the crosser is not known. Returns how many.
 */
unsigned int tree_put_stopped(const struct memtrace_snapshot *snapshot,
			      const struct memtrace_crossing *crossing, struct strbuf *out);

/* Of all crossings whose crosser has not ended. Returns how many. */
unsigned int tree_put_all_stopped(const struct memtrace_snapshot *snapshot, struct strbuf *out);

#endif
