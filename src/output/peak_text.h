/* SPDX-License-Identifier: MIT */
/*
 * peak_text.h - what was live at the peak, for people:
 *
 *	peak: 68.4 KiB (70,000 bytes) at 1.2 s, at most 44.3 % of it still live; largest first
 *	  1. 39.1 KiB (40,000 bytes), 57.1 % of the peak; 1000 B live now
 *	     grow_first  peak (peak.c:33)
 */
#ifndef MEMTRACE_OUTPUT_PEAK_TEXT_H
#define MEMTRACE_OUTPUT_PEAK_TEXT_H

#include <stddef.h>

#include "analyze/analysis.h"
#include "memtrace/memtrace.h"
#include "output/page.h"

/* The section, with a gap before it; nothing where each peak is what is live anyhow. At most top
 * rows (0: all) and frames for each; call paths of the first leaks_shown leaks are not repeated. */
void peak_put(struct page *page, const struct memtrace_snapshot *snapshot,
	      const struct analysis *analysis, size_t top, unsigned int frames, size_t leaks_shown);

#endif
