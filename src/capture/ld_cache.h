/* SPDX-License-Identifier: MIT */
/*
 * ld_cache.h - looking up a library in the bytes of /etc/ld.so.cache.
 *
 *	"glibc-ld.so.cache" "1.1" | nlibs | len_strings | flags, padding, extension offset (28 bytes)
 *	entry[nlibs]: flags, key, value, osversion (u32 each), hwcap (u64)
 *	strings; key and value are offsets from the "g" of glibc
 *
 * A file of the oldest format ("ld.so-1.7.0") may hold this one behind its own tables.
 */
#ifndef CAPTURE_LD_CACHE_H
#define CAPTURE_LD_CACHE_H

#include <stddef.h>

/*
 * Calls found for each path of library name that fits this machine, best first: variants for
 * this processor (glibc-hwcaps) before the plain ones. Stops when found returns true, and then
 * returns true. Paths point into cache. Pure; cache may hold anything.
 */
_Bool ld_cache_find(const char *cache, size_t len, const char *name,
		    _Bool (*found)(void *ctx, const char *path), void *ctx);

/* Directories of glibc-hwcaps for this processor, best first; ends with NULL. */
const char *const *ld_hwcaps(void);

#endif
