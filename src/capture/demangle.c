// SPDX-License-Identifier: MIT
#include "capture/demangle.h"

#include <libiberty/demangle.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Names come from traced programs, and a mangled name can stand for one exponentially longer. */
#define MANGLED_MAX 4096

static char *demangle_plain(const char *name)
{
	char *plain = NULL;

	if (name[0] != '_' || strnlen(name, MANGLED_MAX) == MANGLED_MAX)
		return NULL;
	/* Rust first: its older scheme is C++'s, with a hash at the end */
	if (name[1] == 'R' || name[1] == 'Z')
		plain = rust_demangle(name, DMGL_PARAMS);
	if (!plain && name[1] == 'Z')
		plain = cplus_demangle_v3(name, DMGL_PARAMS | DMGL_ANSI);
	if (!plain && name[1] == 'D')
		plain = dlang_demangle(name, 0);
	return plain;
}

/* foo@@VERSION, as tables of symbols other than the dynamic one have it. */
static char *without_version(const char *name)
{
	const char *at = strstr(name, "@@");

	return at && at > name ? strndup(name, at - name) : NULL;
}

char *demangle(const char *name)
{
	char *plain = without_version(name), *demangled = demangle_plain(plain ? plain : name);

	if (!demangled)
		return plain;
	free(plain);
	return demangled;
}
