/* SPDX-License-Identifier: MIT */
/* table.h - a grid as text for people, and as JSON. Writers only: nothing is measured here. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stddef.h>

#include "base/strbuf.h"
#include "parts/grid.h"

/* One workload; every variant has its line, with a time or the reason why there is none. */
void table_workload(const struct grid *grid, size_t workload, struct strbuf *out);

/* What was promised, and what came of it. */
void table_verdicts(const struct grid *grid, struct strbuf *out);

/* All of it, with the value of each run. {"schema": "memtrace.bench/1", ...} */
void table_json(const struct grid *grid, struct strbuf *out);

#endif
