/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <string.h>

/* The range of the second byte is what rules out overlong forms, surrogates and > U+10FFFF. */
struct lead {
	uint8_t first, last; /* lead bytes */
	uint8_t low, high;   /* second byte */
	uint8_t more;	     /* bytes after the lead */
	uint8_t bits;	     /* of the lead that belong to the character */
};

static const struct lead leads[] = {
	{ 0xc2, 0xdf, 0x80, 0xbf, 1, 0x1f }, { 0xe0, 0xe0, 0xa0, 0xbf, 2, 0x0f },
	{ 0xe1, 0xec, 0x80, 0xbf, 2, 0x0f }, { 0xed, 0xed, 0x80, 0x9f, 2, 0x0f },
	{ 0xee, 0xef, 0x80, 0xbf, 2, 0x0f }, { 0xf0, 0xf0, 0x90, 0xbf, 3, 0x07 },
	{ 0xf1, 0xf3, 0x80, 0xbf, 3, 0x07 }, { 0xf4, 0xf4, 0x80, 0x8f, 3, 0x07 },
};

static const struct lead *lead_find(uint8_t byte)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
		if (byte >= leads[i].first && byte <= leads[i].last)
			return &leads[i];
	return NULL;
}

size_t utf8_decode(const char *bytes, size_t len, uint32_t *code)
{
	const uint8_t *s = (const uint8_t *)bytes;
	const struct lead *lead;
	uint32_t value;

	if (s[0] < 0x80) {
		*code = s[0];
		return 1;
	}
	*code = UTF8_INVALID;
	lead = lead_find(s[0]);
	if (!lead)
		return 1;
	value = s[0] & lead->bits;
	for (size_t i = 1; i <= lead->more; i++) {
		uint8_t low = i == 1 ? lead->low : 0x80;
		uint8_t high = i == 1 ? lead->high : 0xbf;

		if (i >= len || s[i] < low || s[i] > high)
			return i;
		value = value << 6 | (s[i] & 0x3f);
	}
	*code = value;
	return 1 + (size_t)lead->more;
}

size_t utf8_length(const char *string)
{
	size_t len = strlen(string), cnt = 0;

	while (len) {
		uint32_t code;
		size_t step = utf8_decode(string, len, &code);

		string += step;
		len -= step;
		cnt++;
	}
	return cnt;
}
