/* SPDX-License-Identifier: MIT */
/*
 * report.h - where the reports go: text to a terminal or a log, JSON to a file or a pipe.
 *
 * Both destinations are found and tried when the report is made, before anything is traced, so that
 * an hour of tracing does not end in "no such directory". A regular JSON file is replaced whole by
 * each report (written beside it, then renamed): a reader never meets half a document. Anything
 * else - a pipe, a FIFO, a terminal, /dev/fd/N - gets one document a line.
 */
#ifndef MEMTRACE_CLI_REPORT_H
#define MEMTRACE_CLI_REPORT_H

#include <stdbool.h>

#include "analyze/leaks.h"
#include "base/message.h"
#include "cli/options.h"
#include "memtrace/memtrace.h"
#include "model/series.h"

struct report {
	const struct cli_options *options; /* borrowed */
	const struct series *series; /* borrowed: how it came to what is reported; NULL: not known */
	int text_fd;	 /* -1: no text */
	int json_fd;	 /* what to write JSON to directly; -1: none */
	bool json_owned; /* json_fd is ours to close */
	char *json_path; /* file to replace; NULL: none */
	unsigned int written;
};

/* Returns 0, or -errno with the sentence in why; leaves nothing behind then. Opening a FIFO waits
 * for its reader; a caught signal ends that with -EINTR. */
int report_init(struct report *report, const struct cli_options *options, struct message *why);
void report_fini(struct report *report);

/* Writes one report to each destination. Text is left out when quiet. 0, or -errno and why. */
int report_write(struct report *report, const struct memtrace_snapshot *snapshot,
		 struct message *why);

/* Says on stderr, at once and even when quiet, that a limit was crossed: by whom, where, and what was
 * done about it. The crossing is one of the snapshot's. */
void report_crossing(const struct report *report, const struct memtrace_snapshot *snapshot,
		     const struct memtrace_crossing *crossing);

/* Says on stderr that a call path is leaking, and where; a row of the leaks. */
void report_leak(const struct report *report, const struct memtrace_snapshot *snapshot,
		 const struct leaks_result *leaks, const struct leak *leak);

/* Says on stderr, as one line, what was lost where no text report says it (quiet). */
void report_losses(const struct report *report, const struct memtrace_snapshot *snapshot);

#endif
