/* SPDX-License-Identifier: MIT */
#include "output/stack_text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "base/utf8.h"
#include "model/snapshot.h"

#define SYMBOL_COLUMNS 40 /* longer ones do not push the others' locations to the right */
#define SYMBOL_COLUMNS_MIN 16

static bool same_string(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_frame(const struct memtrace_frame *a, const struct memtrace_frame *b)
{
	return a->offset == b->offset && a->line == b->line && a->inlined == b->inlined &&
	       same_string(a->symbol, b->symbol) && same_string(a->module, b->module);
}

/* How many frames from i on are the same one again. */
static uint32_t run_length(const struct memtrace_site *site, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < site->frame_cnt && same_frame(&site->frames[i], &site->frames[end]))
		end++;
	return end - i;
}

static void put_location(struct strbuf *sb, const struct memtrace_frame *frame)
{
	if (frame->module)
		strbuf_put_printable(sb, page_basename(frame->module));
	if (!frame->file || !frame->symbol)
		strbuf_printf(sb, "%s0x%" PRIx64, frame->module ? "+" : "", frame->offset);
	if (!frame->file) {
		strbuf_puts(sb, frame->inlined ? " (inlined)" : "");
		return;
	}
	strbuf_puts(sb, sb->len ? " (" : "(");
	strbuf_put_printable(sb, page_basename(frame->file));
	if (frame->line)
		strbuf_printf(sb, ":%" PRIu32, frame->line);
	strbuf_puts(sb, frame->inlined ? ", inlined)" : ")");
}

static size_t symbol_columns(const struct memtrace_site *site)
{
	size_t widest = 0;

	for (uint32_t i = 0; i < site->frame_cnt; i++) {
		size_t cnt = site->frames[i].symbol ? utf8_length(site->frames[i].symbol) : 0;

		if (cnt > widest && cnt <= SYMBOL_COLUMNS)
			widest = cnt;
	}
	return widest;
}

/* The end of an operator's name, which begins at text: < and > in it are no brackets. */
static const char *skip_operator(const char *text)
{
	text += strlen("operator");
	return text + strspn(text, "<>=-");
}

/* Adds a symbol with its template arguments folded: "std::vector<...>::push_back". */
static void put_folded(struct strbuf *sb, const char *symbol)
{
	unsigned int depth = 0;

	while (*symbol) {
		const char *next = symbol + 1;

		if (!strncmp(symbol, "operator", strlen("operator")))
			next = skip_operator(symbol);
		else if (!strncmp(symbol, "->", 2))
			next = symbol + 2;
		else if (*symbol == '<' && depth++ == 0)
			strbuf_puts(sb, "<...");
		else if (*symbol == '>' && depth)
			depth--;
		if (!depth)
			strbuf_add(sb, symbol, (size_t)(next - symbol));
		symbol = next;
	}
}

/* Adds a symbol in room columns: whole, or its template arguments folded, or its middle cut. */
static void put_symbol(struct strbuf *sb, const char *symbol, size_t room)
{
	struct strbuf whole = STRBUF_INIT, folded = STRBUF_INIT;

	strbuf_put_printable(&whole, symbol);
	if (utf8_length(strbuf_text(&whole)) <= room) {
		strbuf_puts(sb, strbuf_text(&whole));
	} else {
		put_folded(&folded, strbuf_text(&whole));
		page_squeeze(sb, strbuf_text(&folded), room);
	}
	if (strbuf_error(&whole) || strbuf_error(&folded))
		sb->err = -ENOMEM;
	strbuf_fini(&whole);
	strbuf_fini(&folded);
}

static void frame_line(struct page *page, const struct memtrace_frame *frame, uint32_t times,
		       unsigned int indent, size_t symbol_width)
{
	struct strbuf symbol = STRBUF_INIT, location = STRBUF_INIT;
	size_t used, room = SIZE_MAX;

	put_location(&location, frame);
	if (times > 1)
		strbuf_printf(&location, ", %s times", units_count(times).text);
	strbuf_fill(&page->line, ' ', indent);
	if (frame->symbol && *frame->symbol) {
		used = indent + 2 + utf8_length(strbuf_text(&location));
		if (page->width)
			room = page->width > used ? page->width - used : 0;
		if (room < SYMBOL_COLUMNS_MIN)
			room = SYMBOL_COLUMNS_MIN;
		put_symbol(&symbol, frame->symbol, room);
		page_cell(page, strbuf_text(&symbol), symbol_width < room ? symbol_width : room,
			  false);
		strbuf_puts(&page->line, "  ");
	}
	strbuf_puts(&page->line, strbuf_text(&location));
	if (strbuf_error(&symbol) || strbuf_error(&location))
		page->line.err = -ENOMEM;
	page_line(page, TONE_PLAIN);
	strbuf_fini(&symbol);
	strbuf_fini(&location);
}

static uint32_t count_lines(const struct memtrace_site *site)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < site->frame_cnt; i += run_length(site, i))
		cnt++;
	return cnt;
}

static void stack_end_line(struct page *page, const struct memtrace_snapshot *snapshot,
			   const struct memtrace_site *site, unsigned int indent)
{
	const struct memtrace_counter *end = snapshot_stack_end(snapshot, site);

	if (snapshot_stack_complete(snapshot, site)) {
		if (site->frame_cnt)
			return;
		strbuf_puts(&page->line, "(no stack)");
	} else {
		strbuf_puts(&page->line, site->frame_cnt ? "... stack cut short: " : "(no stack: ");
		strbuf_put_printable(&page->line, end->name ? end->name : "unknown");
		if (end->text) {
			strbuf_puts(&page->line, ", ");
			strbuf_put_printable(&page->line, end->text);
		}
		strbuf_puts(&page->line, site->frame_cnt ? "" : ")");
	}
	page_paragraph(page, TONE_DIM, indent, indent + 4);
}

void stack_text(struct page *page, const struct memtrace_snapshot *snapshot,
		const struct memtrace_site *site, unsigned int indent, unsigned int max_lines)
{
	uint32_t lines, head, line = 0, skipped = 0;
	size_t width;

	if (!site) {
		strbuf_puts(&page->line, "(call path not known)");
		page_paragraph(page, TONE_DIM, indent, indent);
		return;
	}
	lines = count_lines(site);
	width = symbol_columns(site);
	/* the leaf tells most; the root end says which thread or command it was */
	head = lines > max_lines ? max_lines - max_lines / 4 : lines;
	for (uint32_t i = 0, times; i < site->frame_cnt; i += times, line++) {
		times = run_length(site, i);
		if (line >= head && lines - line > max_lines - head) {
			skipped += times;
			continue;
		}
		if (skipped) {
			strbuf_printf(&page->line, "... %s left out ...",
				      units_counted(skipped, "frame").text);
			page_paragraph(page, TONE_DIM, indent, indent);
			skipped = 0;
		}
		frame_line(page, &site->frames[i], times, indent, width);
	}
	if (skipped) { /* max_lines too small for a root end */
		strbuf_printf(&page->line, "... %s left out", units_counted(skipped, "frame").text);
		page_paragraph(page, TONE_DIM, indent, indent);
	}
	stack_end_line(page, snapshot, site, indent);
}
