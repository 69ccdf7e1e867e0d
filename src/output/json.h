/* SPDX-License-Identifier: MIT */
/*
 * json.h - the report for programs: "schema": "memtrace.report/1".
 *
 * One document on one line, ended by a newline. Names are a contract: they are added to, never
 * renamed or removed. Counts and bytes are integers; times, ages and rates (_s) are decimal; what
 * is not known is null, never 0.
 */
#ifndef MEMTRACE_OUTPUT_JSON_H
#define MEMTRACE_OUTPUT_JSON_H

#include "analyze/analysis.h"
#include "base/strbuf.h"
#include "memtrace/memtrace.h"

#define JSON_SCHEMA "memtrace.report/1"

/* Adds the document to out. 0, or out's failure. */
int json_report(const struct memtrace_snapshot *snapshot, const struct analysis *analysis,
		struct strbuf *out);

#endif
