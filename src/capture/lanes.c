// SPDX-License-Identifier: MIT
/* lanes.c - which allocators of a process the preload library sees, and which stand beside it. */
#include "capture/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/paths.h"
#include "capture/preload.h"
#include "memtrace.skel.h"

/* The preload library is in the process, and the program has no allocator of its own. */
static bool is_preloaded(struct memtrace *s, pid_t pid)
{
	const struct allocator_file *file;
	char path[32];
	bool own;
	int fd;

	if (!preload_is_mapped(s->preload, pid))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	file = fd >= 0 ? allocators_file(s->allocators, fd, path) : NULL;
	own = !file || file->site_cnt;
	if (fd >= 0)
		close(fd);
	return !own;
}

static struct mt_acct *account_of(struct memtrace *s, uint32_t tgid)
{
	struct mt_membership member;

	if (bpf_map_lookup_elem(bpf_map__fd(s->programs.skel->maps.members), &tgid, &member) ||
	    !member.acct || member.acct >= s->tables.acct_cnt)
		return NULL;
	return &s->tables.accts[member.acct];
}

static bool is_left(const struct memtrace *s, const struct stat *st)
{
	for (size_t i = 0; i < s->left_cnt; i++)
		if (s->left[i].ino == st->st_ino && s->left[i].dev == st->st_dev)
			return true;
	return false;
}

static void leave(struct memtrace *s, const struct stat *st)
{
	struct file_key *grown = realloc(s->left, (s->left_cnt + 1) * sizeof(*grown));

	if (!grown)
		return;
	s->left = grown;
	grown[s->left_cnt++] = (struct file_key){ st->st_dev, st->st_ino };
}

/*
 * What a process maps before the library's first word is what the linker bound names to: the library
 * calls it, or nobody does. An allocator that comes later is called past the library (by dlsym, or by
 * its own names).
 */
enum lanes_file lanes_of_file(struct memtrace *s, int fd, const char *path, pid_t pid, bool late)
{
	const struct allocator_file *file;
	struct mt_acct *a;
	struct stat st;

	if (s->otel && otel_lane_leaves(s, fd, path, otel_lane_takes(s, pid)))
		return LANES_LEAVE;
	if (!s->preload || fstat(fd, &st))
		return LANES_PROBE;
	if (preload_is(s->preload, &st))
		return LANES_LEAVE;
	if (!is_preloaded(s, pid))
		return LANES_PROBE;
	file = allocators_file(s->allocators, fd, path);
	if (!file || !file->site_cnt || is_left(s, &st))
		return LANES_LEAVE;
	a = account_of(s, pid);
	if (!a || a->lane != MT_LANE_PRELOAD || (late && !s->gate)) {
		if (!late)
			leave(s, &st);
		return LANES_LEAVE;
	}
	/* calls of its own that it makes inside those of the other are not to be kept, and what is kept may be
	 * read in the middle of a probe's work there (batch.h) */
	if (s->paths)
		paths_stop(bpf_map__fd(s->programs.skel->maps.keeping), (uint32_t)(a - s->tables.accts),
			   pid);
	__atomic_or_fetch(&a->threaded, MT_THREADED_ASSUMED, __ATOMIC_ACQ_REL);
	__atomic_or_fetch(&a->flags, MT_ACCT_BESIDE, __ATOMIC_ACQ_REL);
	return LANES_BESIDE;
}
