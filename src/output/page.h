/* SPDX-License-Identifier: MIT */
/*
 * page.h - lays out text for people: paragraphs that wrap, tables that line up, colour.
 *
 * A paragraph is composed in page->line and ended by one of the page_ functions, which wraps it,
 * colours it, and starts a new one. Lines never end in a blank. A figure and its unit are not torn
 * apart unless they must be.
 */
#ifndef MEMTRACE_OUTPUT_PAGE_H
#define MEMTRACE_OUTPUT_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

enum tone { TONE_PLAIN, TONE_STRONG, TONE_DIM, TONE_WARN, TONE_ALARM };

struct page {
	struct strbuf *out;
	struct strbuf line;
	unsigned int width; /* columns; 0: no wrapping */
	bool color;
};

void page_init(struct page *page, struct strbuf *out, unsigned int width, bool color);

/* Hands a failure of the line on to out. */
void page_fini(struct page *page);

/* An empty line, unless the last one is empty already or there is none. */
void page_gap(struct page *page);

/* Ends the paragraph: indented, its further lines indented by hang. */
void page_paragraph(struct page *page, enum tone tone, unsigned int indent, unsigned int hang);

/* Ends the paragraph as the body of a named item:
 *
 *	peak         250.1 MiB in 10,000 blocks,
 *	             at 11.9 s
 */
void page_item(struct page *page, enum tone tone, const char *label);

/* Ends the paragraph as one line, whatever its length. */
void page_line(struct page *page, enum tone tone);

/* A table cell: text padded to width columns. */
void page_cell(struct page *page, const char *text, size_t width, bool right);

/* "path/to/file.c" is "file.c" */
const char *page_basename(const char *path);

/* Adds text (printable characters already) to sb in at most width columns, the middle left out:
 * "std::vector<...>::push_back". */
void page_squeeze(struct strbuf *sb, const char *text, size_t width);

#endif
