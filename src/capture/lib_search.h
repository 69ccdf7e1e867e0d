/* SPDX-License-Identifier: MIT */
/*
 * lib_search.h - where a dynamic linker looks for a library, in which order.
 *
 *	glibc	DT_RPATH of who asks and of who loaded it, LD_LIBRARY_PATH, DT_RUNPATH of who
 *		asks, ld.so.cache, default directories; in each directory glibc-hwcaps first
 *	musl	itself for libc and its parts, LD_LIBRARY_PATH, DT_RPATH or DT_RUNPATH of who
 *		asks and of who loaded it, the directories of its configuration
 *
 * Looks at no file, and knows nothing but the processor (hwcaps depend on it): it names candidates,
 * and whoever searches looks whether they are there.
 */
#ifndef CAPTURE_LIB_SEARCH_H
#define CAPTURE_LIB_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "capture/elf_dynamic.h"

/* A file that asks for libraries. */
struct lib_loader {
	struct elf_dynamic dynamic;
	const char *origin; /* its directory, links resolved: $ORIGIN; NULL when unknown */
	const struct lib_loader *loader; /* who asked for it; NULL: nobody */
};

struct lib_search {
	bool is_musl;
	const struct lib_loader *executable;
	const char *ld_library_path; /* NULL: not set */
	const char *interp;	     /* path of the dynamic linker */
	const char *musl_path;	     /* musl: directories, by colons or lines */
	const char *cache;	     /* glibc: bytes of ld.so.cache; NULL: none */
	size_t cache_len;
};

/*
 * Calls found for each path where name, which has no slash, may be. Stops when found returns true,
 * and then returns true. loader is who asks.
 */
bool lib_search(const struct lib_search *search, const char *name, const struct lib_loader *loader,
		bool (*found)(void *ctx, const char *path), void *ctx);

/* Replaces $ORIGIN and its like; false when the result does not fit or the origin is unknown. */
bool lib_expand(const char *text, size_t len, const struct lib_loader *owner, char *out,
		size_t max);

#endif
