// SPDX-License-Identifier: MIT
/* code.c - compares a process's code with the files it came from: a breakpoint is a difference. */
#include "expect.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536

struct mapping {
	unsigned long from, to, offset;
};

static bool same_chunk(int memory, int file, unsigned long address, unsigned long offset,
		       size_t len)
{
	static char mapped[CHUNK], stored[CHUNK];
	ssize_t got = pread(file, stored, len, (off_t)offset);

	/* the last page of a mapping may reach behind the end of its file */
	if (got <= 0)
		return true;
	if (pread(memory, mapped, (size_t)got, (off_t)address) != got)
		fatal("cannot read the process's memory");
	return !memcmp(mapped, stored, (size_t)got);
}

static void expect_mapping_untouched(pid_t pid, int memory, const struct mapping *map)
{
	const char *path = text_of("/proc/%d/map_files/%lx-%lx", (int)pid, map->from, map->to);
	int file = open(path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return;
	for (unsigned long at = 0; at < map->to - map->from; at += CHUNK) {
		unsigned long left = map->to - map->from - at;

		if (!same_chunk(memory, file, map->from + at, map->offset + at,
				left < CHUNK ? left : CHUNK)) {
			cr_expect(false, "code at %lx of pid %d is not what its file has",
				  map->from + at, (int)pid);
			break;
		}
	}
	close(file);
}

void expect_code_untouched(pid_t pid)
{
	int memory = open(text_of("/proc/%d/mem", (int)pid), O_RDONLY | O_CLOEXEC);
	FILE *maps = fopen(text_of("/proc/%d/maps", (int)pid), "re");
	size_t compared = 0;
	char line[4096];

	if (memory < 0 || !maps)
		fatal("pid %d is gone", (int)pid);
	while (fgets(line, sizeof(line), maps)) {
		struct mapping map;
		char access[5], path[2];

		if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %1s", &map.from, &map.to, access,
			   &map.offset, path) != 5)
			continue;
		if (access[2] != 'x' || path[0] != '/')
			continue;
		expect_mapping_untouched(pid, memory, &map);
		compared++;
	}
	fclose(maps);
	close(memory);
	cr_expect_gt(compared, 0, "pid %d has no code", (int)pid);
}
