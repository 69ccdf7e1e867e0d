/* SPDX-License-Identifier: MIT */
/*
 * arena.h - a bump allocator: many small things with one life.
 *
 * Everything handed out is zeroed, aligned for any type, and lives until arena_fini(); nothing is
 * freed alone. A struct arena may be moved while nothing points at the struct itself. With
 * max_bytes set, what is handed out never passes that sum: beyond it every call fails as if
 * memory had run out.
 */
#ifndef MEMTRACE_BASE_ARENA_H
#define MEMTRACE_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *newest; /* linked to older ones */
	size_t handed_out_bytes;
	size_t max_bytes; /* 0: no bound */
};

void arena_init(struct arena *arena);

/* Frees all that was handed out; the arena is empty and usable again. */
void arena_fini(struct arena *arena);

/* NULL when memory ran out. A size of 0 yields a pointer that must not be read. */
void *arena_alloc(struct arena *arena, size_t size_bytes);

/* cnt elements of size_bytes each; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t cnt, size_t size_bytes);

/* A copy of old (old_cnt elements) with room for new_cnt; old stays valid, and stays in memory. */
void *arena_grow(struct arena *arena, const void *old, size_t old_cnt, size_t new_cnt,
		 size_t size_bytes);

/* Copies of a string; NULL for NULL, or when memory ran out. */
char *arena_strdup(struct arena *arena, const char *string);
char *arena_strndup(struct arena *arena, const char *string, size_t max_len);

char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
