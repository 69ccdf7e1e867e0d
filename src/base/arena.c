/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES ((size_t)4096)
#define LARGEST_BLOCK_BYTES ((size_t)1 << 20)

struct arena_block {
	struct arena_block *older;
	size_t used;
	size_t size;
	alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *arena)
{
	memset(arena, 0, sizeof(*arena));
}

void arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->newest;

	while (block) {
		struct arena_block *older = block->older;

		free(block);
		block = older;
	}
	arena->newest = NULL;
	arena->handed_out_bytes = 0;
}

static struct arena_block *block_new(size_t size)
{
	struct arena_block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = calloc(1, sizeof(*block) + size);
	if (block)
		block->size = size;
	return block;
}

/* A block with room for size. A big thing gets a block of its own, placed behind the newest so
 * that the room left there is not given up. */
static struct arena_block *block_with_room(struct arena *arena, size_t size)
{
	struct arena_block *newest = arena->newest;
	struct arena_block *block;
	size_t next_size;

	if (newest && newest->size - newest->used >= size)
		return newest;

	next_size = newest ? newest->size * 2 : FIRST_BLOCK_BYTES;
	if (next_size > LARGEST_BLOCK_BYTES)
		next_size = LARGEST_BLOCK_BYTES;
	if (newest && size > next_size / 4) {
		block = block_new(size);
		if (!block)
			return NULL;
		block->older = newest->older;
		newest->older = block;
		return block;
	}
	block = block_new(size > next_size ? size : next_size);
	if (!block)
		return NULL;
	block->older = newest;
	arena->newest = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *block;
	void *p;

	if (size_bytes > SIZE_MAX - align)
		return NULL;
	size_bytes = (size_bytes + align - 1) / align * align;
	if (!size_bytes)
		size_bytes = align;
	if (arena->max_bytes && (arena->handed_out_bytes > arena->max_bytes ||
				 size_bytes > arena->max_bytes - arena->handed_out_bytes))
		return NULL;

	block = block_with_room(arena, size_bytes);
	if (!block)
		return NULL;
	p = block->data + block->used;
	block->used += size_bytes;
	arena->handed_out_bytes += size_bytes;
	return p;
}

void *arena_array(struct arena *arena, size_t cnt, size_t size_bytes)
{
	size_t sum;

	if (__builtin_mul_overflow(cnt, size_bytes, &sum))
		return NULL;
	return arena_alloc(arena, sum);
}

void *arena_grow(struct arena *arena, const void *old, size_t old_cnt, size_t new_cnt,
		 size_t size_bytes)
{
	void *grown = arena_array(arena, new_cnt, size_bytes);

	if (grown && old_cnt)
		memcpy(grown, old, (old_cnt < new_cnt ? old_cnt : new_cnt) * size_bytes);
	return grown;
}

char *arena_strndup(struct arena *arena, const char *string, size_t max_len)
{
	size_t len;
	char *copy;

	if (!string)
		return NULL;
	len = strnlen(string, max_len);
	copy = arena_alloc(arena, len + 1);
	if (copy)
		memcpy(copy, string, len);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *string)
{
	return string ? arena_strndup(arena, string, strlen(string)) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return NULL;
	text = arena_alloc(arena, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}
