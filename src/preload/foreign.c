// SPDX-License-Identifier: MIT
#include "preload/foreign.h"

#include <link.h>
#include <stddef.h>

static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with) {
		text++;
		with++;
	}
	return !*with;
}

static const char *base_name(const char *path)
{
	const char *name = path;

	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	/* clang-format off */
	static const char names[][24] = {
		"vgpreload_", "libasan.so", "libtsan.so", "libhwasan.so", "libclang_rt.asan",
		"libclang_rt.tsan", "libclang_rt.hwasan", "libc_malloc_debug.so",
	};
	/* clang-format on */
	const char *name = info->dlpi_name ? base_name(info->dlpi_name) : "";

	(void)size;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (begins(name, names[i]))
			*(bool *)data = true;
	return *(bool *)data;
}

bool foreign_is_loaded(void)
{
	bool is = false;

	dl_iterate_phdr(visit, &is);
	return is;
}
