/* SPDX-License-Identifier: MIT */
/*
 * leak_text.h - verdicts on leaks and the forecast, in words:
 *
 *	LEAKING, impact high: grew in 28 of 30 intervals, 1.2 KiB/s (95 %: 1.1 KiB/s to 1.3 KiB/s);
 *	nothing was freed of what it added 2 s to 8 s ago; first seen at 0 s, last grown at 12 s
 */
#ifndef MEMTRACE_OUTPUT_LEAK_TEXT_H
#define MEMTRACE_OUTPUT_LEAK_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "analyze/analysis.h"
#include "base/strbuf.h"
#include "output/page.h"

#define LEAK_REASONS 4

/* Adds one of the reasons for the verdict, numbered from 0 to LEAK_REASONS - 1. False: that one
 * does not apply, and nothing was added. */
bool leak_put_reason(struct strbuf *out, const struct leaks_result *leaks, const struct leak *leak,
		     size_t number);

/* The verdict of a row, as a paragraph. */
void leak_put_verdict(struct page *page, const struct leaks_result *leaks, const struct leak *leak,
		      unsigned int indent);

/* ", 1 leaking, 2 suspect", on the line. */
void leak_put_counts(struct page *page, const struct leaks_result *leaks);

/* Items of the head; nothing when there is nothing to warn of. */
void leak_put_headline(struct page *page, const struct memtrace_snapshot *snapshot,
		       const struct leaks_result *leaks);
void forecast_put(struct page *page, const struct memtrace_snapshot *snapshot,
		  const struct forecast *forecast);

#endif
