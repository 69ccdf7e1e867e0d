// SPDX-License-Identifier: MIT
#include "capture/vdso.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/process.h"

struct image {
	uint64_t start, end;
};

static void see_map(void *ctx, const struct process_map *map)
{
	struct image *image = ctx;

	if (!strcmp(map->path, "[vdso]"))
		*image = (struct image){ map->start, map->end };
}

int vdso_open(void)
{
	struct image image = {};
	int err = process_each_map(getpid(), see_map, &image), fd;
	size_t len = image.end - image.start;

	if (err || !len)
		return err ? err : -ENOENT;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, (const void *)(uintptr_t)image.start, len) != (ssize_t)len) {
		close(fd);
		return -EIO;
	}
	return fd;
}
