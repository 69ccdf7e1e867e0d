/* SPDX-License-Identifier: MIT */
/*
 * text.h - the report for people.
 *
 * What they came for comes first: what is live, the peak, the limit, how fast; then leaks by call
 * path, processes, totals, and how far the figures can be trusted. A report with losses says so
 * before its first figure.
 */
#ifndef MEMTRACE_OUTPUT_TEXT_H
#define MEMTRACE_OUTPUT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "analyze/analysis.h"
#include "base/strbuf.h"
#include "memtrace/memtrace.h"

struct text_options {
	unsigned int width; /* columns to wrap at; 0: no wrapping */
	bool color;
	size_t top;	     /* leaks, processes, and crossings of the limit, to show; 0: all */
	unsigned int frames; /* lines of one stack; 0: 20 */
};

/* Adds the report to out. options NULL: no colour, uncut. 0, or out's failure. */
int text_report(const struct memtrace_snapshot *snapshot, const struct analysis *analysis,
		const struct text_options *options, struct strbuf *out);

/* The news that the limit was crossed, as soon as it is known: one paragraph and the stack. The
 * crossing is one of the snapshot's. */
int text_limit_news(const struct memtrace_snapshot *snapshot,
		    const struct memtrace_crossing *crossing, const struct text_options *options,
		    struct strbuf *out);

/* The news that a call path is leaking: one paragraph and the stack. */
int text_leak_news(const struct memtrace_snapshot *snapshot, const struct leaks_result *leaks,
		   const struct leak *leak, const struct text_options *options, struct strbuf *out);

/* What the report opens with when there were losses, for who does not see the report: one
 * paragraph; nothing without losses. */
int text_losses_news(const struct memtrace_snapshot *snapshot, const struct text_options *options,
		     struct strbuf *out);

#endif
