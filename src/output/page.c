/* SPDX-License-Identifier: MIT */
#include "output/page.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"

#define LABEL_COLUMNS 13
#define NARROWEST 20 /* below this, wrapping makes nothing better */

static const char *const tone_codes[] = {
	[TONE_PLAIN] = "",	  [TONE_STRONG] = "\033[1m",   [TONE_DIM] = "\033[2m",
	[TONE_WARN] = "\033[33m", [TONE_ALARM] = "\033[1;31m",
};

void page_init(struct page *page, struct strbuf *out, unsigned int width, bool color)
{
	*page = (struct page){
		.out = out,
		.width = width && width < NARROWEST ? NARROWEST : width,
		.color = color,
	};
	strbuf_init(&page->line);
}

void page_fini(struct page *page)
{
	if (!page->out->err)
		page->out->err = strbuf_error(&page->line);
	strbuf_fini(&page->line);
}

void page_gap(struct page *page)
{
	const struct strbuf *out = page->out;

	if (!out->len || (out->len > 1 && !strcmp(out->text + out->len - 2, "\n\n")))
		return;
	strbuf_putc(page->out, '\n');
}

static void painted(struct page *page, enum tone tone, const char *text, size_t len)
{
	bool color = page->color && tone != TONE_PLAIN && len;

	if (color)
		strbuf_puts(page->out, tone_codes[tone]);
	strbuf_add(page->out, text, len);
	if (color)
		strbuf_puts(page->out, "\033[0m");
}

/* Columns of text[0..len). */
static size_t columns(const char *text, size_t len)
{
	size_t cnt = 0;

	while (len) {
		uint32_t code;
		size_t step = utf8_decode(text, len, &code);

		text += step;
		len -= step;
		cnt++;
	}
	return cnt;
}

/* Whether the blank at text[at] is within a figure: "12.3 MiB", "3 min 20 s", "pid 4242". The word
 * before it begins at text[word]. */
static bool within_figure(const char *text, size_t word, size_t at)
{
	if (at > word && isdigit((unsigned char)text[at - 1]))
		return true;
	return at - word <= 3 && isdigit((unsigned char)text[at + 1]);
}

/* How much of text goes on a line of room columns: up to a blank, the end, or - when a single word
 * is longer - the end of that word. */
static size_t line_length(const char *text, size_t room)
{
	size_t best = 0, fallback = 0, at = 0, cnt = 0, from = 0, word = 0;

	for (;; at++) {
		if (text[at] && text[at] != ' ')
			continue;
		cnt += columns(text + from, at - from);
		word = from && text[from] == ' ' ? from + 1 : from;
		from = at;
		if (cnt > room && (best || fallback))
			return best ? best : fallback;
		if (!text[at])
			return at;
		if (within_figure(text, word, at))
			fallback = at;
		else
			best = at;
		if (cnt > room)
			return at;
	}
}

static void trim_line(struct strbuf *line)
{
	while (line->len && line->text[line->len - 1] == ' ')
		strbuf_truncate(line, line->len - 1);
}

/* Wraps the rest of the line; the first line's indent is out already. */
static void flow(struct page *page, enum tone tone, unsigned int first_column, unsigned int hang)
{
	const char *text;
	unsigned int column = first_column;

	trim_line(&page->line);
	text = strbuf_text(&page->line);
	for (;;) {
		size_t len = strlen(text);

		if (page->width) {
			size_t room = page->width > column ? page->width - column : 1;

			len = line_length(text, room);
		}
		painted(page, tone, text, len);
		strbuf_putc(page->out, '\n');
		text += len;
		while (*text == ' ')
			text++;
		if (!*text)
			break;
		strbuf_fill(page->out, ' ', hang);
		column = hang;
	}
	strbuf_truncate(&page->line, 0);
}

void page_paragraph(struct page *page, enum tone tone, unsigned int indent, unsigned int hang)
{
	strbuf_fill(page->out, ' ', indent);
	flow(page, tone, indent, hang);
}

void page_item(struct page *page, enum tone tone, const char *label)
{
	size_t len = strlen(label);

	painted(page, tone == TONE_PLAIN ? TONE_STRONG : tone, label, len);
	strbuf_fill(page->out, ' ', len < LABEL_COLUMNS ? LABEL_COLUMNS - len : 1);
	flow(page, tone, LABEL_COLUMNS, LABEL_COLUMNS);
}

void page_line(struct page *page, enum tone tone)
{
	trim_line(&page->line);
	painted(page, tone, strbuf_text(&page->line), page->line.len);
	strbuf_putc(page->out, '\n');
	strbuf_truncate(&page->line, 0);
}

void page_cell(struct page *page, const char *text, size_t width, bool right)
{
	size_t cnt = utf8_length(text);
	size_t pad = cnt < width ? width - cnt : 0;

	if (right)
		strbuf_fill(&page->line, ' ', pad);
	strbuf_puts(&page->line, text);
	if (!right)
		strbuf_fill(&page->line, ' ', pad);
}

const char *page_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* Bytes of the first cnt characters. */
static size_t prefix_bytes(const char *text, size_t cnt)
{
	size_t len = strlen(text), at = 0;

	while (cnt-- && at < len) {
		uint32_t code;

		at += utf8_decode(text + at, len - at, &code);
	}
	return at;
}

void page_squeeze(struct strbuf *sb, const char *text, size_t width)
{
	const char *gap = "...";
	size_t cnt = utf8_length(text), head, tail;

	if (cnt <= width || width < 8) {
		strbuf_puts(sb, text);
		return;
	}
	head = (width - strlen(gap)) / 2;
	tail = width - strlen(gap) - head;
	strbuf_add(sb, text, prefix_bytes(text, head));
	strbuf_puts(sb, gap);
	strbuf_puts(sb, text + prefix_bytes(text, cnt - tail));
}
