/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#define U64_AS_DOUBLE 18446744073709551615.0

__attribute__((format(printf, 1, 2))) static struct units_text text_of(const char *format, ...)
{
	struct units_text t;
	va_list args;

	va_start(args, format);
	vsnprintf(t.text, sizeof(t.text), format, args);
	va_end(args);
	return t;
}

static bool is_figure(double value)
{
	return isfinite(value) && value >= 0;
}

/* Rounds to nearest; the caller has checked is_figure(). */
static uint64_t rounded(double value)
{
	double nearest = floor(value + 0.5);

	return nearest >= U64_AS_DOUBLE ? UINT64_MAX : (uint64_t)nearest;
}

struct units_text units_bytes(uint64_t bytes)
{
	static const char *const names[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	const unsigned int last = sizeof(names) / sizeof(names[0]) - 1;

	if (bytes < 1024)
		return text_of("%" PRIu64 " B", bytes);
	for (unsigned int i = 0;; i++) {
		unsigned int shift = 10 * (i + 1);
		uint64_t whole = bytes >> shift;
		uint64_t rest = bytes & ((1ULL << shift) - 1);
		/* rest < 2^60, so ten times it still fits */
		uint64_t tenths = whole * 10 + ((rest * 10 + (1ULL << (shift - 1))) >> shift);

		if (tenths < 10240 || i == last)
			return text_of("%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
				       names[i]);
	}
}

struct units_text units_bytes_exact(uint64_t bytes)
{
	if (bytes < 1024)
		return units_bytes(bytes);
	return text_of("%s (%s bytes)", units_bytes(bytes).text, units_count(bytes).text);
}

struct units_text units_count(uint64_t cnt)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, cnt);
	struct units_text t;
	char *to = t.text;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = 0;
	return t;
}

struct units_text units_counted(uint64_t cnt, const char *noun)
{
	return text_of("%s %.24s%s", units_count(cnt).text, noun, cnt == 1 ? "" : "s");
}

/* "12.3 ms", or "12 ms" when the value is whole. */
static struct units_text with_tenth(double value, const char *unit)
{
	uint64_t tenths = rounded(value * 10);

	if (value == floor(value))
		return text_of("%" PRIu64 " %s", tenths / 10, unit);
	return text_of("%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, unit);
}

struct units_text units_duration(double seconds)
{
	uint64_t whole;

	if (!is_figure(seconds))
		return text_of("unknown");
	if (seconds == 0)
		return text_of("0 s");
	/* the bounds are where rounding would carry into the next unit */
	if (seconds < 0.0009995)
		return text_of("%" PRIu64 " us", rounded(seconds * 1e6));
	if (seconds < 0.99995)
		return with_tenth(seconds * 1e3, "ms");
	if (seconds < 59.95)
		return with_tenth(seconds, "s");

	whole = rounded(seconds);
	if (whole < 3600)
		return text_of("%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
	if (whole < 86400)
		return text_of("%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole / 60 % 60);
	return text_of("%s d %" PRIu64 " h", units_count(whole / 86400).text, whole / 3600 % 24);
}

struct units_text units_rate(double per_second)
{
	uint64_t tenths;

	if (!is_figure(per_second))
		return text_of("unknown");
	if (per_second >= 9.95)
		return units_count(rounded(per_second));
	tenths = rounded(per_second * 10);
	if (!tenths && per_second > 0)
		return text_of("under 0.1");
	if (tenths % 10 == 0)
		return text_of("%" PRIu64, tenths / 10);
	return text_of("%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
}

struct units_text units_byte_rate(double bytes_per_second)
{
	if (!is_figure(bytes_per_second))
		return text_of("unknown");
	return text_of("%s/s", units_bytes(rounded(bytes_per_second)).text);
}

struct units_text units_permille(uint64_t permille)
{
	return text_of("%s.%" PRIu64 " %%", units_count(permille / 10).text, permille % 10);
}
