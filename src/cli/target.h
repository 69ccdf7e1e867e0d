/* SPDX-License-Identifier: MIT */
/* target.h - from options to a session that is ready to start: how to trace, and what. */
#ifndef MEMTRACE_CLI_TARGET_H
#define MEMTRACE_CLI_TARGET_H

#include <sys/types.h>

#include "base/message.h"
#include "cli/options.h"
#include "memtrace/memtrace.h"

/* The result borrows options, for its log. */
/* room: where the path of the cache directory may be put; to be kept until the session is open. */
struct memtrace_options target_session_options(const struct cli_options *options, char *room,
					       size_t size);

/* Attaches or launches what was asked for. *command gets the launched command's pid. Returns 0, or
 * -errno and why. */
int target_choose(struct memtrace *session, const struct cli_options *options, pid_t *command,
		  struct message *why);

/* Why the session's last call returned err; returns err. */
int target_error(const struct memtrace *session, int err, struct message *why);

#endif
