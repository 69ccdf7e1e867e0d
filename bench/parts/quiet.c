// SPDX-License-Identifier: MIT
#include "parts/quiet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "capture/elf_file.h"
#include "capture/process.h"
#include "parts/child.h"

static void compare_text(void *ctx, const struct process_map *map)
{
	size_t len = map->end - map->start;
	bool *same = ctx;
	char *file;
	int fd;

	if (!map->executable || !strstr(map->path, "/libc.so"))
		return;
	fd = process_open_map(getpid(), map);
	file = fd >= 0 ? malloc(len) : NULL;
	if (file) { /* the last page may go on behind the file's end */
		size_t got = elf_file_read_at(fd, map->pgoff, file, len);

		*same = *same && !memcmp(file, (const void *)map->start, got);
	}
	free(file);
	if (fd >= 0)
		close(fd);
}

bool quiet_libc(void)
{
	bool same = true;

	process_each_map(getpid(), compare_text, &same);
	return same;
}

bool quiet_await(double most_s)
{
	double until_s = now_s() + most_s;

	while (!quiet_libc()) {
		if (now_s() > until_s)
			return false;
		usleep(100000);
	}
	return true;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double used_s(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct busy busy_now(void)
{
	unsigned long user, nice, kernel, idle, wait, irq, softirq, steal;
	FILE *f = fopen("/proc/stat", "re");
	struct busy busy = { .all_s = NAN, .at_s = now_s() };

	if (f && fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &kernel, &idle,
			&wait, &irq, &softirq, &steal) == 8)
		busy.all_s = (double)(user + nice + kernel + irq + softirq + steal) /
			     (double)sysconf(_SC_CLK_TCK);
	if (f)
		fclose(f);
	busy.ours_s = used_s(RUSAGE_SELF) + used_s(RUSAGE_CHILDREN);
	return busy;
}

double busy_others(const struct busy *from, const struct busy *to)
{
	double others_s = (to->all_s - from->all_s) - (to->ours_s - from->ours_s);

	return (others_s < 0 ? 0 : others_s) / (to->at_s - from->at_s);
}
