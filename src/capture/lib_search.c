// SPDX-License-Identifier: MIT
#include "capture/lib_search.h"

#include <stdio.h>
#include <string.h>

#include "capture/ld_cache.h"

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#define PLATFORM "x86_64"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#define PLATFORM "aarch64"
#endif

/* One library that is looked for. */
struct query {
	const struct lib_search *search;
	const char *name;
	const struct lib_loader *loader;
	bool (*found)(void *ctx, const char *path);
	void *ctx;
};

static bool try_in(const struct query *q, const char *dir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, q->name) >= sizeof(path))
		return false;
	return q->found(q->ctx, path);
}

/* A directory and its glibc-hwcaps below. */
static bool try_dir(const struct query *q, const char *dir)
{
	const char *const *hwcaps = q->search->is_musl ? NULL : ld_hwcaps();
	char path[4096];

	for (; hwcaps && *hwcaps; hwcaps++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, *hwcaps) < sizeof(path) &&
		    try_in(q, path))
			return true;
	return try_in(q, dir);
}

static const char *token_value(const char *at, const struct lib_loader *owner, size_t *len)
{
	static const struct {
		const char *name, *value;
	} tokens[] = {
		{ "$ORIGIN", NULL },	      { "${ORIGIN}", NULL },
		{ "$LIB", "lib/" MULTIARCH }, { "${LIB}", "lib/" MULTIARCH },
		{ "$PLATFORM", PLATFORM },    { "${PLATFORM}", PLATFORM },
	};

	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		*len = strlen(tokens[i].name);
		if (!strncmp(at, tokens[i].name, *len))
			return tokens[i].value ? tokens[i].value : owner ? owner->origin : NULL;
	}
	return NULL;
}

bool lib_expand(const char *text, size_t len, const struct lib_loader *owner, char *out, size_t max)
{
	size_t used = 0, token_len;

	for (size_t i = 0; i < len;) {
		const char *value =
			text[i] == '$' ? token_value(text + i, owner, &token_len) : NULL;

		if (value && i + token_len <= len) {
			size_t value_len = strlen(value);

			if (used + value_len >= max)
				return false;
			memcpy(out + used, value, value_len);
			used += value_len;
			i += token_len;
			continue;
		}
		if (text[i] == '$' || used + 1 >= max)
			return false;
		out[used++] = text[i++];
	}
	out[used] = 0;
	return used > 0;
}

/* Each directory of a list; relative ones are the process's business and are not followed. */
static bool try_list(const struct query *q, const char *list, const char *separators,
		     const struct lib_loader *owner)
{
	char dir[4096];

	while (list && *list) {
		size_t len = strcspn(list, separators);

		if (len && lib_expand(list, len, owner, dir, sizeof(dir)) && dir[0] == '/' &&
		    try_dir(q, dir))
			return true;
		list += len;
		list += *list != 0;
	}
	return false;
}

/* DT_RPATH of the loader and of who loaded it, up to the executable. */
static bool try_rpaths(const struct query *q)
{
	const struct lib_loader *top = q->search->executable;

	if (q->loader && q->loader->dynamic.runpath)
		return false;
	for (const struct lib_loader *o = q->loader; o; o = o->loader) {
		if (try_list(q, o->dynamic.rpath, ":", o))
			return true;
		if (o == top)
			return false;
	}
	return top && !top->dynamic.runpath && try_list(q, top->dynamic.rpath, ":", top);
}

static bool search_glibc(const struct query *q)
{
	static const char *const dirs[] = {
		"/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib64", "/usr/lib64", "/lib", "/usr/lib"
	};
	const struct lib_search *s = q->search;

	if (try_rpaths(q) || try_list(q, s->ld_library_path, ":;", s->executable) ||
	    try_list(q, q->loader ? q->loader->dynamic.runpath : NULL, ":", q->loader))
		return true;
	if (s->cache && ld_cache_find(s->cache, s->cache_len, q->name, q->found, q->ctx))
		return true;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (try_dir(q, dirs[i]))
			return true;
	return false;
}

/* Names that musl serves from the one file it is. */
static bool is_musl_itself(const char *name)
{
	static const char *const parts[] = { "c.",  "pthread.", "rt.",	 "m.",
					     "dl.", "util.",	"xnet.", "c.musl-" };

	if (strncmp(name, "lib", 3))
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strncmp(name + 3, parts[i], strlen(parts[i])))
			return true;
	return false;
}

static bool search_musl(const struct query *q)
{
	if (is_musl_itself(q->name) && q->found(q->ctx, q->search->interp))
		return true;
	if (try_list(q, q->search->ld_library_path, ":\n", NULL))
		return true;
	for (const struct lib_loader *o = q->loader; o; o = o->loader) {
		const struct elf_dynamic *dynamic = &o->dynamic;

		if (try_list(q, dynamic->rpath ? dynamic->rpath : dynamic->runpath, ":\n", o))
			return true;
	}
	return try_list(q, q->search->musl_path, ":\n", NULL);
}

bool lib_search(const struct lib_search *search, const char *name, const struct lib_loader *loader,
		bool (*found)(void *ctx, const char *path), void *ctx)
{
	struct query query = { search, name, loader, found, ctx };

	return search->is_musl ? search_musl(&query) : search_glibc(&query);
}
