/* SPDX-License-Identifier: MIT */
#include "base/strbuf.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define FIRST_CAP 256

void strbuf_init(struct strbuf *sb)
{
	memset(sb, 0, sizeof(*sb));
}

void strbuf_fini(struct strbuf *sb)
{
	free(sb->text);
	strbuf_init(sb);
}

void strbuf_clear(struct strbuf *sb)
{
	sb->err = 0;
	strbuf_truncate(sb, 0);
}

void strbuf_truncate(struct strbuf *sb, size_t len)
{
	if (len >= sb->len)
		return;
	sb->len = len;
	sb->text[len] = 0;
}

/* Makes room for extra more bytes and the final 0. */
static bool strbuf_reserve(struct strbuf *sb, size_t extra)
{
	size_t need, cap = sb->cap ? sb->cap : FIRST_CAP;
	char *text;

	if (sb->err)
		return false;
	if (__builtin_add_overflow(sb->len, extra, &need) || need == SIZE_MAX ||
	    (sb->max_len && need > sb->max_len))
		goto no_memory;
	need++;
	if (need <= sb->cap)
		return true;
	while (cap < need && !__builtin_mul_overflow(cap, 2, &cap))
		;
	text = realloc(sb->text, cap < need ? need : cap);
	if (!text)
		goto no_memory;
	sb->text = text;
	sb->cap = cap < need ? need : cap;
	return true;

no_memory:
	sb->err = -ENOMEM;
	return false;
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
	if (!len || !strbuf_reserve(sb, len))
		return;
	memcpy(sb->text + sb->len, bytes, len);
	sb->len += len;
	sb->text[sb->len] = 0;
}

void strbuf_puts(struct strbuf *sb, const char *string)
{
	strbuf_add(sb, string, strlen(string));
}

void strbuf_putc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_fill(struct strbuf *sb, char c, size_t cnt)
{
	if (!cnt || !strbuf_reserve(sb, cnt))
		return;
	memset(sb->text + sb->len, c, cnt);
	sb->len += cnt;
	sb->text[sb->len] = 0;
}

void strbuf_vprintf(struct strbuf *sb, const char *format, va_list args)
{
	va_list again;
	int len;

	if (!strbuf_reserve(sb, 0))
		return;
	va_copy(again, args);
	len = vsnprintf(sb->text + sb->len, sb->cap - sb->len, format, args);
	if (len < 0) {
		sb->text[sb->len] = 0;
		sb->err = -EINVAL;
	} else if (!strbuf_reserve(sb, (size_t)len)) {
		sb->text[sb->len] = 0;
	} else {
		vsnprintf(sb->text + sb->len, sb->cap - sb->len, format, again);
		sb->len += (size_t)len;
	}
	va_end(again);
}

void strbuf_printf(struct strbuf *sb, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vprintf(sb, format, args);
	va_end(args);
}

void strbuf_put_printable(struct strbuf *sb, const char *string)
{
	size_t len = strlen(string);

	while (len) {
		uint32_t code;
		size_t step = utf8_decode(string, len, &code);
		/* C1 controls are terminal commands too, though valid UTF-8 */
		bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);

		if (code == UTF8_INVALID || control) {
			for (size_t i = 0; i < step; i++)
				strbuf_printf(sb, "\\x%02x", (unsigned char)string[i]);
		} else {
			strbuf_add(sb, string, step);
		}
		string += step;
		len -= step;
	}
}

int strbuf_error(const struct strbuf *sb)
{
	return sb->err;
}

const char *strbuf_text(const struct strbuf *sb)
{
	return sb->text ? sb->text : "";
}

int strbuf_write(const struct strbuf *sb, int fd)
{
	size_t done = 0;

	if (sb->err)
		return sb->err;
	while (done < sb->len) {
		ssize_t n = write(fd, sb->text + done, sb->len - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			if (poll(&ready, 1, -1) < 0 && errno != EINTR)
				return -errno;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
