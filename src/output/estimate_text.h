/* SPDX-License-Identifier: MIT */
/*
 * estimate_text.h - figures for people that may be estimates.
 *
 * An estimate says "about", and where its interval is known says that: "about 12.3 MiB (95 %: 11.9
 * MiB to 12.7 MiB)". Without an estimate (NULL) figures read as they do when they are exact.
 */
#ifndef MEMTRACE_OUTPUT_ESTIMATE_TEXT_H
#define MEMTRACE_OUTPUT_ESTIMATE_TEXT_H

#include "base/strbuf.h"
#include "memtrace/memtrace.h"

/* Adds " (95 %: 11.9 MiB to 12.7 MiB)"; nothing for NULL, or where both ends are one. */
void estimate_put_bytes(struct strbuf *line, const struct memtrace_estimate *estimate);
void estimate_put_count(struct strbuf *line, const struct memtrace_estimate *estimate);

/* Adds "5.0 MiB (5,242,880 bytes) in 100 blocks", or the same as estimates. */
void estimate_put_heap(struct strbuf *line, uint64_t bytes,
		       const struct memtrace_estimate *bytes_95, uint64_t blocks,
		       const struct memtrace_estimate *blocks_95);

/* Adds how the sample is taken, as words: "a block every 512.0 KiB on average". */
void estimate_put_sampling(struct strbuf *line, const struct memtrace_snapshot *snapshot);

#endif
