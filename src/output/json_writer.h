/* SPDX-License-Identifier: MIT */
/*
 * json_writer.h - writes one JSON document into a strbuf, commas and nesting kept right.
 *
 * Whatever is put in, what comes out is valid JSON in UTF-8: strings may hold any bytes (what is no
 * UTF-8 becomes U+FFFD), a double that is no number becomes null, and no figure depends on the
 * locale. Wrong nesting is a mistake of the program and asserted.
 */
#ifndef MEMTRACE_OUTPUT_JSON_WRITER_H
#define MEMTRACE_OUTPUT_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct json_writer {
	struct strbuf *out;
	unsigned int depth;
	bool need_comma;
	bool after_key;
};

void json_init(struct json_writer *w, struct strbuf *out);

void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);

/* The name of the next value; only within an object. Takes any bytes, like json_string(). */
void json_key(struct json_writer *w, const char *key);

void json_null(struct json_writer *w);
void json_bool(struct json_writer *w, bool value);
void json_uint(struct json_writer *w, uint64_t value);
void json_int(struct json_writer *w, int64_t value);
/* With nine decimals at most and one at least, never an exponent: 0.5, 12.0. */
void json_double(struct json_writer *w, double value);
/* NULL is null. */
void json_string(struct json_writer *w, const char *value);

#endif
