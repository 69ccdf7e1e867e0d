/* SPDX-License-Identifier: MIT */
/* overhead_text.h - what tracing costs, as words: the same in reports and in remarks. */
#ifndef MEMTRACE_OUTPUT_OVERHEAD_TEXT_H
#define MEMTRACE_OUTPUT_OVERHEAD_TEXT_H

#include <stdbool.h>

#include "analyze/overhead.h"
#include "base/strbuf.h"

/* "more than 10 times slower", "about 2.1 times slower", "about 12 % slower", "less than 1 %
 * slower" */
void overhead_put_slowdown(struct strbuf *line, double slowdown);

/* "tracing ended after 1.3 s: it made the targets about 2.2 times slower, more than --max-overhead
 * 50 allows"; nothing when it did not. */
bool overhead_put_end(struct strbuf *line, const struct overhead *overhead);

/* "the sample was widened after 520 ms: until then tracing made the targets about 2.2 times slower,
 * ..." */
bool overhead_put_widening(struct strbuf *line, const struct overhead *overhead);

/* "about 2.1 times slower: 310,000 calls/s at 1.7 us each, 52 % of the CPU time". False, and
 * nothing, when it is not known. */
bool overhead_put(struct strbuf *line, const struct overhead *overhead);

#endif
