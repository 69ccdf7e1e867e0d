// SPDX-License-Identifier: MIT
/* otel_lane.c - which processes are traced by their allocator's own sites, and not by probes on it.
 */
#include "capture/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "capture/otel.h"
#include "capture/process.h"

struct search {
	struct memtrace *s;
	pid_t pid;
	bool found;
};

static void see_map(void *ctx, const struct process_map *map)
{
	struct search *search = ctx;
	const struct allocator_file *file;
	int fd;

	if (search->found || !map->executable || !map->path[0] || map->path[0] == '[')
		return;
	fd = process_open_map(search->pid, map);
	if (fd < 0)
		return;
	file = allocators_file(search->s->allocators, fd, map->path);
	search->found = file && file->otel;
	close(fd);
}

/* A program's own allocator goes before those of libraries: what sites these have say nothing then.
 */
bool otel_lane_is_overruled(const struct allocator_file *program)
{
	return program && program->site_cnt && !program->otel;
}

bool otel_lane_has_sites(struct memtrace *s, pid_t pid)
{
	struct search search = { s, pid, false };
	const struct allocator_file *program;
	char path[32];
	int fd;

	if (process_each_map(pid, see_map, &search) || !search.found)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	program = allocators_file(s->allocators, fd, path);
	close(fd);
	return !otel_lane_is_overruled(program);
}

bool otel_lane_takes(struct memtrace *s, pid_t pid)
{
	return s->otel && otel_lane_has_sites(s, pid);
}

bool otel_lane_uses(const struct memtrace *s, const struct allocator_file *file)
{
	return file && s->otel && file->otel;
}

/* Probes by inode are everybody's. */
bool otel_lane_leaves(struct memtrace *s, int fd, const char *path, bool otel)
{
	return s->by_pid && otel && !otel_lane_uses(s, allocators_file(s->allocators, fd, path));
}

void otel_lane_claim(struct mt_acct *a)
{
	uint32_t open = MT_LANE_OPEN;

	__atomic_compare_exchange_n(&a->lane, &open, MT_LANE_OTEL, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_ACQUIRE);
}
