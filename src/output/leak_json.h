/* SPDX-License-Identifier: MIT */
/* leak_json.h - ages, verdicts and the forecast, as members of the JSON object that is open. */
#ifndef MEMTRACE_OUTPUT_LEAK_JSON_H
#define MEMTRACE_OUTPUT_LEAK_JSON_H

#include "analyze/analysis.h"
#include "memtrace/memtrace.h"
#include "output/json_writer.h"

/* "ages" of a site's live blocks: bins that have blocks, the youngest first; ages NULL: null. */
void ages_json(struct json_writer *w, const struct memtrace_ages *ages);

void leak_json_verdict(struct json_writer *w, const struct leaks_result *leaks,
		       const struct leak *leak);

/* "forecast" */
void forecast_json(struct json_writer *w, const struct forecast *forecast);

#endif
