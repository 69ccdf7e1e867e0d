/* SPDX-License-Identifier: MIT */
/*
 * strbuf.h - text that grows at its end.
 *
 * text[len] is always 0 once anything was added; strbuf_text() is a C string even before. Adding
 * cannot fail at the call: the first failure is kept in err, later additions do nothing, and what
 * is there stays a prefix of what was meant. Whoever uses the text asks strbuf_error() once.
 */
#ifndef MEMTRACE_BASE_STRBUF_H
#define MEMTRACE_BASE_STRBUF_H

#include <stdarg.h>
#include <stddef.h>

struct strbuf {
	char *text;
	size_t len;
	size_t cap;
	size_t max_len; /* 0: no bound; passing it is -ENOMEM */
	int err;
};

#define STRBUF_INIT \
	{           \
		0   \
	}

void strbuf_init(struct strbuf *sb);
void strbuf_fini(struct strbuf *sb);

/* Forgets text and error, keeps the memory. */
void strbuf_clear(struct strbuf *sb);

/* Shortens to len; longer than the text does nothing. */
void strbuf_truncate(struct strbuf *sb, size_t len);

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *sb, const char *string);
void strbuf_putc(struct strbuf *sb, char c);
void strbuf_fill(struct strbuf *sb, char c, size_t cnt);
void strbuf_vprintf(struct strbuf *sb, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
void strbuf_printf(struct strbuf *sb, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds a string from a traced process: control characters and bytes that are no UTF-8 come out as
 * \xNN, so that no process can send commands to the reader's terminal. */
void strbuf_put_printable(struct strbuf *sb, const char *string);

/* 0, or the first failure as -errno. */
int strbuf_error(const struct strbuf *sb);

/* The text so far; owned by sb, valid until the next addition. */
const char *strbuf_text(const struct strbuf *sb);

/* Writes all of it to fd, waiting where fd does not block. 0 or -errno (of sb first). */
int strbuf_write(const struct strbuf *sb, int fd);

#endif
