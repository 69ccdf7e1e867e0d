// SPDX-License-Identifier: MIT
#include "capture/xz_size.h"

#include <stdbool.h>
#include <string.h>

#define STREAM_HEADER_LEN 12

struct input {
	const uint8_t *data;
	size_t len, at;
};

static bool skip(struct input *in, size_t cnt)
{
	if (cnt > in->len - in->at)
		return false;
	in->at += cnt;
	return true;
}

/* Big-endian, of two bytes. */
static uint32_t number_at(const struct input *in, size_t at)
{
	return in->data[at] << 8 | in->data[at + 1];
}

/*
 * Chunks of LZMA2 up to the end mark:
 *	00                                   end
 *	01|02  size-1 (2)                    that many bytes as they are
 *	1rru uuuu  u-1 (2)  packed-1 (2)     packed; a byte of properties before it when rr >= 2
 */
static bool add_chunks(struct input *in, uint64_t *size)
{
	while (in->at < in->len) {
		uint8_t control = in->data[in->at];
		uint32_t plain, packed;

		if (!control)
			return skip(in, 1);
		if (control < 0x80) {
			if (control > 2 || in->len - in->at < 3)
				return false;
			plain = number_at(in, in->at + 1) + 1;
			if (!skip(in, 3 + plain))
				return false;
		} else {
			if (in->len - in->at < 5)
				return false;
			plain = ((uint32_t)(control & 0x1f) << 16 | number_at(in, in->at + 1)) + 1;
			packed = number_at(in, in->at + 3) + 1;
			if (!skip(in, 5 + (control >= 0xc0) + packed))
				return false;
		}
		*size += plain;
	}
	return false;
}

static size_t check_len(uint8_t kind)
{
	static const uint8_t lens[] = { 0, 4, 8, 16, 32, 64 };

	return kind ? lens[(kind + 2) / 3] : 0;
}

uint64_t xz_size(const uint8_t *data, size_t len)
{
	static const uint8_t magic[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	struct input in = { data, len, STREAM_HEADER_LEN };
	uint64_t size = 0;
	size_t start, check;

	if (len < STREAM_HEADER_LEN || memcmp(data, magic, sizeof(magic)) != 0)
		return UINT64_MAX;
	check = check_len(data[7] & 0xf);
	while (in.at < len && data[in.at]) { /* a block; the index begins with a 0 */
		start = in.at;
		if (!skip(&in, (data[in.at] + 1) * 4) || !add_chunks(&in, &size))
			return UINT64_MAX;
		if (!skip(&in, (4 - (in.at - start) % 4) % 4 + check))
			return UINT64_MAX;
	}
	return in.at < len ? size : UINT64_MAX;
}
