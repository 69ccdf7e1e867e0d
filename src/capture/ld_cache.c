// SPDX-License-Identifier: MIT
#include "capture/ld_cache.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Flags of an entry: an ELF library for this machine's 64-bit ABI. Values are glibc's. */
#if defined(__x86_64__)
#define ENTRY_FLAGS 0x0303
#elif defined(__aarch64__)
#define ENTRY_FLAGS 0x0a03
#endif

#define OLD_MAGIC "ld.so-1.7.0"
#define NEW_MAGIC "glibc-ld.so.cache1.1"
#define OLD_ENTRY_SIZE 12
#define HWCAPS "/glibc-hwcaps/"

struct cache_header {
	char magic[20];
	uint32_t nlibs;
	uint32_t len_strings;
	uint8_t rest[20];
};

struct cache_entry {
	int32_t flags;
	uint32_t key, value;
	uint32_t osversion;
	uint64_t hwcap;
};

_Static_assert(sizeof(struct cache_header) == 48, "as on disk");
_Static_assert(sizeof(struct cache_entry) == 24, "as on disk");

const char *const *ld_hwcaps(void)
{
#if defined(__x86_64__)
	static const char *const levels[] = { "glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3",
					      "glibc-hwcaps/x86-64-v2", NULL };

	__builtin_cpu_init();
	/* the marking features of each level; what has these has the rest */
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl"))
		return levels;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	    __builtin_cpu_supports("fma"))
		return levels + 1;
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
		return levels + 2;
	return levels + 3;
#else
	static const char *const none[] = { NULL };

	return none;
#endif
}

/* 0 for a path without hwcaps, 1 and up for those of this processor from plain to best, else -1. */
static int path_level(const char *path)
{
	const char *const *levels = ld_hwcaps();
	int cnt = 0;

	if (!strstr(path, HWCAPS))
		return 0;
	while (levels[cnt])
		cnt++;
	for (int i = 0; i < cnt; i++)
		if (strstr(path, levels[i]))
			return cnt - i;
	return -1;
}

/* The new format's bytes; NULL when there are none. */
static const char *find_new(const char *cache, size_t *len)
{
	size_t skip = 0;
	uint32_t old_cnt;

	if (*len >= 16 && !memcmp(cache, OLD_MAGIC, strlen(OLD_MAGIC))) {
		memcpy(&old_cnt, cache + 12, sizeof(old_cnt));
		skip = (16 + (size_t)old_cnt * OLD_ENTRY_SIZE + 7) & ~(size_t)7;
	}
	if (skip > *len || *len - skip < sizeof(struct cache_header) ||
	    memcmp(cache + skip, NEW_MAGIC, strlen(NEW_MAGIC)))
		return NULL;
	*len -= skip;
	return cache + skip;
}

static const char *string_at(const char *cache, size_t len, uint32_t offset)
{
	if (offset >= len || !memchr(cache + offset, 0, len - offset))
		return NULL;
	return cache + offset;
}

bool ld_cache_find(const char *cache, size_t len, const char *name,
		   bool (*found)(void *ctx, const char *path), void *ctx)
{
	struct cache_header header;
	size_t cnt;

	cache = find_new(cache, &len);
	if (!cache)
		return false;
	memcpy(&header, cache, sizeof(header));
	cnt = (len - sizeof(header)) / sizeof(struct cache_entry);
	cnt = header.nlibs < cnt ? header.nlibs : cnt;
	for (int level = 4; level >= 0; level--) {
		for (size_t i = 0; i < cnt; i++) {
			struct cache_entry entry;
			const char *key, *value;

			memcpy(&entry, cache + sizeof(header) + i * sizeof(entry), sizeof(entry));
			if (entry.flags != ENTRY_FLAGS)
				continue;
			key = string_at(cache, len, entry.key);
			if (!key || strcmp(key, name))
				continue;
			value = string_at(cache, len, entry.value);
			if (value && path_level(value) == level && found(ctx, value))
				return true;
		}
	}
	return false;
}
