/* SPDX-License-Identifier: MIT */
#include "output/json_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void json_init(struct json_writer *w, struct strbuf *out)
{
	*w = (struct json_writer){ .out = out };
}

/* What stands between the value before and this one. */
static void value_begin(struct json_writer *w)
{
	if (w->need_comma && !w->after_key)
		strbuf_putc(w->out, ',');
	w->after_key = false;
	w->need_comma = true;
}

static void nest_begin(struct json_writer *w, char bracket)
{
	value_begin(w);
	strbuf_putc(w->out, bracket);
	w->depth++;
	w->need_comma = false;
}

static void nest_end(struct json_writer *w, char bracket)
{
	assert(w->depth > 0 && !w->after_key);
	strbuf_putc(w->out, bracket);
	w->depth--;
	w->need_comma = true;
}

void json_object_begin(struct json_writer *w)
{
	nest_begin(w, '{');
}

void json_object_end(struct json_writer *w)
{
	nest_end(w, '}');
}

void json_array_begin(struct json_writer *w)
{
	nest_begin(w, '[');
}

void json_array_end(struct json_writer *w)
{
	nest_end(w, ']');
}

static void escaped(struct strbuf *out, uint32_t code, const char *bytes, size_t len)
{
	switch (code) {
	case '"':
		strbuf_puts(out, "\\\"");
		return;
	case '\\':
		strbuf_puts(out, "\\\\");
		return;
	case '\n':
		strbuf_puts(out, "\\n");
		return;
	case '\t':
		strbuf_puts(out, "\\t");
		return;
	case UTF8_INVALID:
		strbuf_puts(out, "\\ufffd");
		return;
	}
	/* JSON allows what lies from 0x7f on, but terminals that show the document obey some of it
	 */
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		strbuf_printf(out, "\\u%04x", (unsigned int)code);
	else
		strbuf_add(out, bytes, len);
}

static void quoted(struct strbuf *out, const char *value)
{
	size_t left = strlen(value);

	strbuf_putc(out, '"');
	while (left) {
		uint32_t code;
		size_t step = utf8_decode(value, left, &code);

		escaped(out, code, value, step);
		value += step;
		left -= step;
	}
	strbuf_putc(out, '"');
}

void json_key(struct json_writer *w, const char *key)
{
	assert(w->depth > 0 && !w->after_key);
	if (w->need_comma)
		strbuf_putc(w->out, ',');
	quoted(w->out, key);
	strbuf_putc(w->out, ':');
	w->after_key = true;
}

void json_null(struct json_writer *w)
{
	value_begin(w);
	strbuf_puts(w->out, "null");
}

void json_bool(struct json_writer *w, bool value)
{
	value_begin(w);
	strbuf_puts(w->out, value ? "true" : "false");
}

void json_uint(struct json_writer *w, uint64_t value)
{
	value_begin(w);
	strbuf_printf(w->out, "%" PRIu64, value);
}

void json_int(struct json_writer *w, int64_t value)
{
	value_begin(w);
	strbuf_printf(w->out, "%" PRId64, value);
}

/* Not by printf's %f: its decimal point is the locale's. */
static void fixed_point(struct strbuf *out, double value)
{
	uint64_t whole, billionths;
	char digits[12];
	int len;

	if (value < 0) {
		strbuf_putc(out, '-');
		value = -value;
	}
	if (value >= 1e15) { /* a double this big has no decimals worth the name */
		strbuf_printf(out, "%.0f.0", value);
		return;
	}
	whole = (uint64_t)value;
	billionths = (uint64_t)floor((value - (double)whole) * 1e9 + 0.5);
	if (billionths == 1000000000) {
		whole++;
		billionths = 0;
	}
	len = snprintf(digits, sizeof(digits), "%09" PRIu64, billionths);
	while (len > 1 && digits[len - 1] == '0')
		len--;
	strbuf_printf(out, "%" PRIu64 ".%.*s", whole, len, digits);
}

void json_double(struct json_writer *w, double value)
{
	if (!isfinite(value)) {
		json_null(w);
		return;
	}
	value_begin(w);
	fixed_point(w->out, value);
}

void json_string(struct json_writer *w, const char *value)
{
	if (!value) {
		json_null(w);
		return;
	}
	value_begin(w);
	quoted(w->out, value);
}
