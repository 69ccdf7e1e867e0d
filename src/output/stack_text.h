/* SPDX-License-Identifier: MIT */
/*
 * stack_text.h - a call path for people, leaf first, one line a frame:
 *
 *	    cache_fill   bench (bench.c:42)
 *	    main         bench (bench.c:80, inlined)
 *	    libc.so.6+0x27249
 *	    ... stack cut short: broken_chain, the next frame pointer made no sense
 *
 * A frame that repeats is one line with its count; of a very deep stack the middle is left out.
 */
#ifndef MEMTRACE_OUTPUT_STACK_TEXT_H
#define MEMTRACE_OUTPUT_STACK_TEXT_H

#include "memtrace/memtrace.h"
#include "output/page.h"

/* At most max_lines frames. site NULL: says that the stack is not known. */
void stack_text(struct page *page, const struct memtrace_snapshot *snapshot,
		const struct memtrace_site *site, unsigned int indent, unsigned int max_lines);

#endif
