// SPDX-License-Identifier: MIT
/* lanes.c - which programs get the preload library; which allocators of a process it sees, and which stand
 * beside it. */
#include "capture/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/deps.h"
#include "capture/elf_file.h"
#include "capture/foreign.h"
#include "capture/launch.h"
#include "capture/paths.h"
#include "capture/preload.h"
#include "capture/process.h"
#include "capture/withhold.h"
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
	own = !file || file->site_cnt || file->interposes;
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

static bool is_translator(pid_t pid)
{
	char *exe = process_exe(pid);
	bool is = exe && foreign_translates(exe);

	free(exe);
	return is;
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
		return is_translator(pid) ? LANES_LEAVE : LANES_PROBE;
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

/* ---- programs about to run ----------------------------------------------------------------------- */

/* What a program's file says; it is asked for at each exec. */
struct lanes_program {
	struct stat st;
	const char *foreign; /* why it must not have the library; NULL: it may */
	bool is_dynamic;
};

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool has_linker(int fd)
{
	enum elf_file_error why;
	struct elf_file file;
	bool has;

	if (elf_file_open(&file, fd, &why))
		return false;
	has = file.interp.p_type == PT_INTERP;
	elf_file_close(&file);
	return has;
}

static struct lanes_program *find_program(struct memtrace *s, const struct stat *st)
{
	for (size_t i = s->program_cnt; i-- > 0;)
		if (is_same_file(&s->programs_seen[i].st, st))
			return &s->programs_seen[i];
	return NULL;
}

static struct lanes_program *look_at_program(struct memtrace *s, pid_t pid, int fd,
					     const struct stat *st, const char *path)
{
	struct lanes_program *grown = realloc(s->programs_seen,
					      (s->program_cnt + 1) * sizeof(*grown));
	char root[32];

	if (!grown)
		return NULL;
	s->programs_seen = grown;
	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	grown[s->program_cnt] = (struct lanes_program){
		.st = *st,
		.foreign = foreign_program(root, path, NULL),
		.is_dynamic = has_linker(fd),
	};
	return &grown[s->program_cnt++];
}

/* Would its dynamic linker find the library, and be allowed to open it? */
static bool is_within_reach(struct memtrace *s, pid_t pid)
{
	char root[32];
	uint32_t uid;
	int ns_pid;

	if (!launch_shares_paths(s->launch, pid)) {
		snprintf(root, sizeof(root), "/proc/%d/root", pid);
		if (!preload_is_below(s->preload, root))
			return false;
	}
	return preload_is_readable_by_all(s->preload) || !process_owner(pid, &uid, &ns_pid) ||
	       preload_is_readable_by(s->preload, uid);
}

enum lanes_exec lanes_of_exec(struct memtrace *s, pid_t pid, int fd, const char *path)
{
	const struct lanes_program *program;
	bool is_new;
	struct stat st;
	int err;

	if (!s->preload || fstat(fd, &st))
		return LANES_EXEC_SAME;
	program = find_program(s, &st);
	is_new = !program;
	if (is_new)
		program = look_at_program(s, pid, fd, &st, path);
	if (!program || (!program->foreign && !program->is_dynamic))
		return LANES_EXEC_SAME;
	if (!program->foreign && is_within_reach(s, pid))
		return is_new ? LANES_EXEC_NEW : LANES_EXEC_KNOWN;
	err = withhold_at_exec(s->withhold, pid);
	session_log(s, MEMTRACE_LOG_DEBUG, "%s does not get the preload library: %s%s%s", path,
		    program->foreign ? "it " : "it is out of its reach",
		    program->foreign ? program->foreign : "", err ? " (stopped for that)" : "");
	return err ? LANES_EXEC_TO_STOP : LANES_EXEC_WITHHELD;
}

bool lanes_withhold(struct memtrace *s, pid_t pid)
{
	char root[32], *exe;
	bool bears;

	if (!s->preload)
		return false;
	exe = process_exe(pid);
	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	bears = exe && !foreign_program(root, exe, NULL) && is_within_reach(s, pid);
	free(exe);
	return !bears && withhold_now(pid, preload_path(s->preload)) > 0;
}
