/* SPDX-License-Identifier: MIT */
/* perf_map_check.h - what must hold of any perf map, for the tests and the fuzzer. */
#ifndef TESTS_UNIT_PERF_MAP_CHECK_H
#define TESTS_UNIT_PERF_MAP_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/perf_map.h"

/* What the lines of text say of one address, read the plain way: the last good line that holds it.
 * Names are cut as the parser does. NULL: none. *len is the name's. */
static inline const char *perf_map_expected(const char *text, size_t text_len, uint64_t address,
					    size_t *len)
{
	const char *found = NULL, *line = text, *end = text + text_len, *newline;

	for (; line < end && (newline = memchr(line, '\n', end - line)); line = newline + 1) {
		char head[64] = "", *at;
		unsigned long long start, size;
		size_t cnt = newline - line < 63 ? (size_t)(newline - line) : 63, name_len;
		const char *name;

		memcpy(head, line, cnt);
		if (strspn(head, "0123456789abcdefABCDEFxX") < 1)
			continue;
		errno = 0;
		start = strtoull(head, &at, 16);
		if (errno || at == head || *at != ' ' ||
		    strspn(at + 1, "0123456789abcdefABCDEFxX") < 1)
			continue;
		size = strtoull(at + 1, &at, 16);
		if (errno || *at != ' ' || !size || start + size < start)
			continue;
		name = line + (at - head) + 1;
		name_len = newline - name;
		if (name_len && name[name_len - 1] == '\r')
			name_len--;
		name_len =
			strnlen(name, name_len < PERF_MAP_NAME_MAX ? name_len : PERF_MAP_NAME_MAX);
		if (!name_len || address < start || address - start >= size)
			continue;
		found = name;
		*len = name_len;
	}
	return found;
}

/* NULL, or what is wrong with a map. */
static inline const char *perf_map_check(const struct perf_map *map)
{
	uint64_t start, end, last = 0;
	const char *name;

	for (size_t i = 0; perf_map_range(map, i, &start, &end, &name); i++) {
		if (start >= end)
			return "an empty range";
		if (i && start < last)
			return "ranges overlap, or are not sorted";
		if (!*name || strlen(name) > PERF_MAP_NAME_MAX)
			return "a name that is none";
		if (perf_map_find(map, start) != name || perf_map_find(map, end - 1) != name)
			return "a range that is not found";
		last = end;
	}
	return NULL;
}

#endif
