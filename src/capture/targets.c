// SPDX-License-Identifier: MIT
/* targets.c - finds the files to probe for each kind of target, and opens accounts for it. */
#include "capture/session.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/code.h"
#include "capture/deps.h"
#include "capture/foreign.h"
#include "capture/gate.h"
#include "capture/launch.h"
#include "capture/otel.h"
#include "capture/preload.h"
#include "capture/process.h"
#include "capture/spaces.h"
#include "capture/withhold.h"
#include "memtrace.skel.h"

static int64_t written_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec;
}

/* Probes of what the file was before it was written to would break what it is now. */
static void drop_outdated(struct memtrace *s, const struct stat *st)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->attached_cnt; i++) {
		struct attached *a = &s->attached[i];

		if (a->ino == st->st_ino && a->dev == st->st_dev &&
		    (a->written_ns != written_ns(st) || a->size != st->st_size))
			probe_set_detach(a->set);
		else
			s->attached[kept++] = *a;
	}
	s->attached_cnt = kept;
}

static struct attached *find_attached(struct memtrace *s, const struct stat *st, pid_t pid)
{
	for (size_t i = 0; i < s->attached_cnt; i++)
		if (s->attached[i].ino == st->st_ino && s->attached[i].dev == st->st_dev &&
		    (s->attached[i].pid == pid || !s->attached[i].pid))
			return &s->attached[i];
	return NULL;
}

static void count_not_probed(struct memtrace *s)
{
	__atomic_add_fetch(&s->tables.control->losses[MT_LOSS_NOT_PROBED], 1, __ATOMIC_RELAXED);
}

void targets_know_code(struct memtrace *s, int fd, const char *name)
{
	int err = s->code ? code_add(s->code, fd, name) : 0;

	if (err)
		session_log(s, MEMTRACE_LOG_WARN, "no unwind table for %s: %s (its stacks are cut short)",
			    name, strerror(-err));
}

enum { PROBED_BEFORE = 1, PROBED_NOW };

/* Hangs the programs where the file has them: at the allocator's own sites, if they are used here.
 * They tell what probes on the functions would count once more. */
static int attach_programs(struct memtrace *s, int fd, pid_t pid, const struct allocator_file *file,
			   uint32_t extra, struct probe_set **set)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (otel_lane_uses(s, file))
		return programs_attach_otel(&s->programs, path, pid, file->otel, set);
	return programs_attach_allocator(&s->programs, path, pid, file->sites, file->site_cnt,
					 extra, set);
}

static void log_probed(struct memtrace *s, const struct allocator_file *file, const char *name,
		       pid_t pid)
{
	const char *how = pid ? "" : " (by inode)";

	if (otel_lane_uses(s, file))
		session_log(s, MEMTRACE_LOG_INFO, "%zu otel_memory sites probed in %s%s",
			    file->otel->site_cnt, name, how);
	else
		session_log(s, MEMTRACE_LOG_INFO, "%zu functions probed in %s%s", file->site_cnt,
			    name, how);
}

/* Probes an open file if it holds an allocator: PROBED_* when it does, 0 when not, or a negative
 * errno (counted as a loss, unless the process ended first). */
static int attach_file_as(struct memtrace *s, int fd, const char *name, pid_t pid, uint32_t extra)
{
	const struct allocator_file *file = allocators_file(s->allocators, fd, name);
	struct attached *grown, entry = { .pid = pid };
	struct stat st;
	int err;

	targets_know_code(s, fd, name);
	if (fstat(fd, &st))
		return 0;
	drop_outdated(s, &st);
	if (!file || (!file->site_cnt && !otel_lane_uses(s, file)))
		return 0;
	if (find_attached(s, &st, pid))
		return PROBED_BEFORE;
	if (s->ending) /* news of an exec a moment ago must not put probes back */
		return 0;
	err = attach_programs(s, fd, pid, file, extra, &entry.set);
	if (err == -ESRCH) {
		/* no trouble: its row says that it was not followed */
		session_log(s, MEMTRACE_LOG_INFO, "cannot probe %s for pid %d: it ended", name, pid);
		return err;
	}
	if (err) {
		session_log(s, MEMTRACE_LOG_WARN, "cannot probe %s for pid %d: %s (what it allocates "
			    "there is not counted)", name, pid, strerror(-err));
		count_not_probed(s);
		return err;
	}
	grown = realloc(s->attached, (s->attached_cnt + 1) * sizeof(*grown));
	if (!grown) {
		probe_set_detach(entry.set);
		count_not_probed(s);
		return -ENOMEM;
	}
	s->attached = grown;
	entry.dev = st.st_dev;
	entry.ino = st.st_ino;
	entry.written_ns = written_ns(&st);
	entry.size = st.st_size;
	grown[s->attached_cnt++] = entry;
	log_probed(s, file, name, pid);
	for (size_t i = 0; i < file->site_cnt; i++)
		s->overhead.stepped |= (uint32_t)file->sites[i].stepped << file->sites[i].call;
	return PROBED_NOW;
}

static int attach_file(struct memtrace *s, int fd, const char *name, pid_t pid)
{
	return attach_file_as(s, fd, name, pid, 0);
}

/* ---- processes that run already ------------------------------------------------------------------ */

struct map_walk {
	struct memtrace *s;
	pid_t pid;  /* whose maps */
	pid_t bind; /* 0: probes by inode */
	bool otel;  /* its allocator's own sites speak for it */
	struct mt_code_mapping *seen; /* its mappings as the probes see them */
	size_t seen_cnt;
	bool any;
	int err;
};

static void see_code(void *ctx, const void *mapping)
{
	struct map_walk *walk = ctx;
	struct mt_code_mapping *grown = realloc(walk->seen, (walk->seen_cnt + 1) * sizeof(*grown));

	if (!grown)
		return;
	walk->seen = grown;
	memcpy(&grown[walk->seen_cnt++], mapping, sizeof(*grown));
}

static void name_code(struct map_walk *walk, const struct process_map *map, int fd)
{
	for (size_t i = 0; walk->s->code && i < walk->seen_cnt; i++)
		if (walk->seen[i].start == map->start)
			code_add_as(walk->s->code, fd, map->path, &walk->seen[i].file);
}

static void see_map(void *ctx, const struct process_map *map)
{
	struct map_walk *walk = ctx;
	int fd, got = 0;

	if (!map->executable || !map->path[0] || map->path[0] == '[')
		return;
	fd = process_open_map(walk->pid, map);
	if (fd < 0)
		return;
	if (otel_lane_leaves(walk->s, fd, map->path, walk->otel))
		targets_know_code(walk->s, fd, map->path);
	else
		got = attach_file(walk->s, fd, map->path, walk->bind);
	name_code(walk, map, fd);
	close(fd);
	if (got > 0)
		walk->any = true;
	else if (got < 0)
		walk->err = got;
}

/* Probes a file that a process maps, if that is not left to the preload library; PROBED_* as above. */
static int attach_mapped(struct memtrace *s, int fd, const char *path, pid_t pid, bool late,
			 enum lanes_file lane)
{
	if (lane == LANES_LEAVE) {
		targets_know_code(s, fd, path);
		return 0;
	}
	return attach_file_as(s, fd, path, late && s->by_pid ? pid : 0,
			      lane == LANES_BESIDE ? MT_CALL_BESIDE : 0);
}

int targets_attach_map(struct memtrace *s, pid_t pid, const struct process_map *map)
{
	int fd = process_open_map(pid, map), got;

	if (fd < 0)
		return fd;
	got = attach_mapped(s, fd, map->path, pid, true,
			    lanes_of_file(s, fd, map->path, pid, true));
	close(fd);
	return got < 0 ? got : got == PROBED_NOW;
}

int targets_attach_process(struct memtrace *s, pid_t pid, bool *any)
{
	struct map_walk walk = {
		.s = s,
		.pid = pid,
		.bind = s->by_pid ? pid : 0,
		.otel = otel_lane_takes(s, pid),
	};
	int err;

	if (s->code) /* before 6.1 files are only known by what user space is told */
		programs_list_code(&s->programs, pid, see_code, &walk);
	err = process_each_map(pid, see_map, &walk);
	free(walk.seen);
	*any = walk.any;
	return err ? err : walk.any ? 0 : walk.err;
}

/* ---- executables about to run -------------------------------------------------------------------- */

struct exec_walk {
	struct memtrace *s;
	pid_t pid;
	const char *exe; /* path of the executable itself */
	bool running;	 /* the executable is open or mapped already */
	bool at_home;	 /* paths mean what they mean to the launched command */
	bool preloaded;	 /* the library will be in it, or it is to be left alone: nothing to probe */
	bool otel;	 /* its allocator's own sites will speak for it ... */
	bool program_decides; /* ... unless it has an allocator without any */
};

/* Where many programs have their libraries. Elsewhere few do, and the tree may want to replace the file,
 * which it cannot while a copy lies over it. */
static bool is_shared_place(const char *path)
{
	return !strncmp(path, "/usr/", strlen("/usr/")) || !strncmp(path, "/lib", strlen("/lib"));
}

static bool is_copy(const struct memtrace *s, const struct stat *st)
{
	for (size_t i = 0; i < s->copy_cnt; i++)
		if (s->copies[i].ino == st->st_ino && s->copies[i].dev == st->st_dev)
			return true;
	return false;
}

/* The tree has a copy of its own from now on, which is probed when a process without the preload library comes: at
 * that time it would be too late, and the probes would be everybody's. */
static void copy_unprobed(struct memtrace *s, int source, const char *path)
{
	struct file_key *grown = realloc(s->copies, (s->copy_cnt + 1) * sizeof(*grown));
	struct stat st;
	int fd;

	if (!grown)
		return;
	s->copies = grown;
	if (launch_replace(s->launch, source, path, &fd))
		return;
	targets_know_code(s, fd, path);
	if (!fstat(fd, &st))
		grown[s->copy_cnt++] = (struct file_key){ st.st_dev, st.st_ino };
	close(fd);
}

static void see_dependency(void *ctx, const char *path)
{
	struct exec_walk *walk = ctx;
	const struct allocator_file *file;
	struct memtrace *s = walk->s;
	char root[32];
	int fd, copy, err;
	bool replaceable;
	struct stat st;

	snprintf(root, sizeof(root), "/proc/%d/root", walk->pid);
	fd = deps_open(root, path);
	if (fd < 0)
		return;
	targets_know_code(s, fd, path);
	if (fstat(fd, &st) || (s->preload && preload_is(s->preload, &st)) ||
	    otel_lane_leaves(s, fd, path, walk->otel))
		goto out;
	file = allocators_file(s->allocators, fd, path);
	if (!file || (!file->site_cnt && !otel_lane_uses(s, file)))
		goto out;
	drop_outdated(s, &st);
	if (find_attached(s, &st, s->by_pid ? walk->pid : 0))
		goto out;
	replaceable = walk->at_home && is_shared_place(path) &&
		      !(walk->running && !strcmp(path, walk->exe)) && !is_copy(s, &st);
	if (walk->preloaded) {
		if (replaceable)
			copy_unprobed(s, fd, path);
		goto out;
	}
	if (replaceable) {
		err = launch_replace(s->launch, fd, path, &copy);
		if (!err) {
			attach_file(s, copy, path, 0);
			close(copy);
			goto out;
		}
		session_log(s, MEMTRACE_LOG_WARN, "no private copy of %s (%s): probing it for every "
			    "process on this host", path, strerror(-err));
	}
	attach_file(s, fd, path, s->by_pid ? walk->pid : 0);
out:
	close(fd);
}

/* What an executable will load, before anything of it is probed. */
static void look_for_sites(void *ctx, const char *path)
{
	const struct allocator_file *file;
	struct exec_walk *walk = ctx;
	char root[32];
	int fd;

	snprintf(root, sizeof(root), "/proc/%d/root", walk->pid);
	fd = deps_open(root, path);
	if (fd < 0)
		return;
	file = allocators_file(walk->s->allocators, fd, path);
	if (!strcmp(path, walk->exe) && otel_lane_is_overruled(file))
		walk->program_decides = true;
	walk->otel |= otel_lane_uses(walk->s, file);
	close(fd);
}

/* Will the program have the preload library? As far as one can tell: its environment can be another one
 * than its predecessor's. */
static bool will_preload(struct memtrace *s, const char *root, const char *exe, const char *preload)
{
	return s->preload && preload && strstr(preload, preload_path(s->preload)) &&
	       !preload_refusal(s->allocators, root, exe, NULL);
}

/* preload and library_path: as its environment will have them. */
static int prepare_program(struct memtrace *s, pid_t pid, const char *preload,
			   const char *library_path, const char *exe, bool running, bool *otel)
{
	struct exec_walk walk = { .s = s, .pid = pid, .exe = exe, .running = running };
	char root[32];

	walk.at_home = s->launch && launch_shares_paths(s->launch, pid);
	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	walk.preloaded = (walk.at_home && will_preload(s, root, exe, preload)) ||
			 (s->preload && foreign_translates(exe));
	if (s->otel)
		deps_each(root, exe, preload, library_path, look_for_sites, &walk);
	walk.otel &= !walk.program_decides;
	*otel = walk.otel;
	return deps_each(root, exe, preload, library_path, see_dependency, &walk);
}

/* The same for a program whose environment is its process's; withheld: but for our library. */
static int prepare_next(struct memtrace *s, pid_t pid, const char *exe, bool withheld, bool *otel)
{
	char *preload = process_env(pid, "LD_PRELOAD");
	char *library_path = process_env(pid, "LD_LIBRARY_PATH");
	bool is_command = s->launch && launch_pid(s->launch) == pid;
	const char *ours = is_command && s->preload_words ? s->preload_words : preload;
	int err;

	/* before its exec, what the command's environment is said to be is ours */
	err = prepare_program(s, pid, withheld ? NULL : ours, library_path, exe, true, otel);

	free(preload);
	free(library_path);
	return err;
}

int targets_prepare_exec(struct memtrace *s, pid_t pid, bool *otel)
{
	char *exe = process_exe(pid);
	int err;

	if (!exe)
		return -ESRCH;
	err = prepare_next(s, pid, exe, false, otel);
	free(exe);
	return err;
}

/* ---- accounts ------------------------------------------------------------------------------------- */

/* -EEXIST when it is a member already: the probes took it in at an exec a moment ago. */
static int member_set(struct memtrace *s, uint32_t tgid, uint32_t slot, uint32_t scope)
{
	struct mt_membership m = { .acct = slot, .scope = scope };

	if (bpf_map_update_elem(bpf_map__fd(s->programs.skel->maps.members), &tgid, &m, BPF_NOEXIST))
		return -errno;
	return 0;
}

/* Threads look themselves up again. */
static void epoch_raise(struct memtrace *s)
{
	__atomic_fetch_add(&s->tables.control->epoch, 1, __ATOMIC_ACQ_REL);
}

/* Opens an account for a running process; probes must be in place already. */
int targets_adopt(struct memtrace *s, pid_t pid, uint32_t scope, uint32_t *out)
{
	uint32_t slot = tables_acct_pop(&s->tables);
	struct mt_acct *a;
	int err;

	if (!slot)
		return -ENOSPC;
	a = &s->tables.accts[slot];
	memset(a, 0, sizeof(*a));
	a->id = __atomic_fetch_add(&s->tables.control->next_acct_id, 1, __ATOMIC_ACQ_REL);
	a->tgid = pid;
	a->ppid = process_parent(pid);
	a->scope = scope;
	a->sharers = 1;
	a->start_ns = session_now_ns();
	a->threaded = MT_THREADED_ASSUMED;
	a->lane = otel_lane_takes(s, pid) ? MT_LANE_OTEL : MT_LANE_OPEN;
	process_comm(pid, a->comm, sizeof(a->comm));
	__atomic_store_n(&a->state, MT_ACCT_LIVE, __ATOMIC_RELEASE);
	err = member_set(s, pid, slot, scope);
	if (err) {
		__atomic_store_n(&a->state, MT_ACCT_VOID, __ATOMIC_RELEASE);
		return err;
	}
	/* from here on the probes see every new thread */
	if (process_thread_cnt(pid) == 1)
		__atomic_and_fetch(&a->threaded, ~MT_THREADED_ASSUMED, __ATOMIC_ACQ_REL);
	epoch_raise(s);
	free(s->exes[slot]);
	s->exes[slot] = process_exe(pid);
	*out = slot;
	return 0;
}

static int start_pids(struct memtrace *s)
{
	char comm[MT_COMM_LEN];
	bool any;
	int err;

	for (size_t i = 0; i < s->root_cnt; i++) {
		pid_t pid = s->roots[i].pid;

		process_comm(pid, comm, sizeof(comm));
		follow_load_maps(s, pid);
		err = targets_attach_process(s, pid, &any);
		if (err == -ESRCH || err == -ENOENT || !process_is_alive(pid))
			return message_set(&s->error, -ESRCH, "pid %d ended before the probes were in "
					   "place (nothing was left behind)", pid);
		if (!any && err)
			return message_set(&s->error, err, "cannot attach to pid %d (%s): %s (run with "
					   "sudo, or grant cap_bpf, cap_perfmon, cap_sys_ptrace and "
					   "cap_sys_admin)", pid, comm, strerror(-err));
		if (!any)
			return message_set(&s->error, -ENOEXEC, "pid %d (%s) has no allocator that can "
					   "be found: no mapped file defines malloc and free (a "
					   "stripped static program? keep its symbols)", pid, comm);
	}
	for (size_t i = 0; i < s->root_cnt; i++) {
		err = targets_adopt(s, s->roots[i].pid, s->roots[i].scope, &s->roots[i].slot);
		if (err)
			return message_set(&s->error, err, "cannot open an account for pid %d: %s",
					   s->roots[i].pid, strerror(-err));
	}
	return 0;
}

static bool wanted(struct memtrace *s, pid_t pid)
{
	if (pid == getpid() || process_is_kernel_thread(pid))
		return false;
	if (s->target == TARGET_COMM)
		return targets_comm_matches(s, pid);
	if (s->target == TARGET_CGROUP)
		return targets_cgroup_matches(s, pid);
	return true;
}

bool targets_comm_matches(const struct memtrace *s, pid_t pid)
{
	char comm[MT_COMM_LEN] = "";

	process_comm(pid, comm, sizeof(comm));
	return !strcmp(comm, s->comm);
}

/* The processes to take in at the start. Without adopt they get accounts here; with it (inode-wide
 * probes) the probes take them in at their first call. */
static int start_matching(struct memtrace *s)
{
	struct mt_control *c = s->tables.control;
	struct dirent *entry;
	uint32_t slot;
	bool any;
	DIR *dir;

	/* those that come by exec first, so that none slips through between here and the scan */
	memcpy(c->adopt_comm, s->comm, sizeof(c->adopt_comm));
	__atomic_store_n(&c->adopt, s->target == TARGET_ALL ? MT_ADOPT_ALL :
				    s->target == TARGET_COMM ? MT_ADOPT_COMM :
							       MT_ADOPT_CGROUP, __ATOMIC_RELEASE);
	dir = opendir("/proc");
	if (!dir)
		return message_set(&s->error, -errno, "cannot read /proc: %s (mount it)",
				   strerror(errno));
	while ((entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (!isdigit((unsigned char)entry->d_name[0]) || !wanted(s, pid))
			continue;
		follow_load_maps(s, pid);
		if (targets_attach_process(s, pid, &any) || !any)
			continue;
		/* else the probes take it in, not knowing whom to believe until a site speaks */
		if (s->by_pid || otel_lane_takes(s, pid))
			targets_adopt(s, pid, 0, &slot);
	}
	closedir(dir);
	__atomic_store_n(&c->adopt_at_call, !s->by_pid, __ATOMIC_RELEASE);
	epoch_raise(s);
	return 0;
}

static struct mt_file_id file_id(const struct stat *st)
{
	return (struct mt_file_id){
		.ino = st->st_ino,
		.dev = (uint64_t)major(st->st_dev) << 20 | minor(st->st_dev),
	};
}

/* Who runs it next is stopped at its exec. */
static void forget_file(struct memtrace *s, const struct stat *st)
{
	struct mt_file_id id = file_id(st);

	bpf_map_delete_elem(bpf_map__fd(s->programs.skel->maps.known_files), &id);
}

static void know_file(struct memtrace *s, const struct stat *st, uint32_t known)
{
	struct mt_file_id id = file_id(st);

	bpf_map_update_elem(bpf_map__fd(s->programs.skel->maps.known_files), &id, &known, BPF_ANY);
}

/* A file of the tree that is about to be mapped. What can be foreseen at an exec gets private copies;
 * the file itself is open already, and what no one foresaw (dlopen, an LD_PRELOAD for one child,
 * another root) comes here by itself: these are probed where they are. */
static bool holds_allocator(struct memtrace *s, int fd, const char *path)
{
	const struct allocator_file *file = allocators_file(s->allocators, fd, path);

	return file && file->site_cnt;
}

/* It is not probed, and has no library to tell of it. */
static bool is_left_alone(struct memtrace *s, pid_t pid, const char *path)
{
	char *preload = s->preload && foreign_translates(path) ? process_env(pid, "LD_PRELOAD") : NULL;
	bool is = s->preload && foreign_translates(path) &&
		  !(preload && strstr(preload, preload_path(s->preload)));

	free(preload);
	return is;
}

/* An executable that is about to run. */
static bool see_exec(struct memtrace *s, const struct gate_visit *v, const struct stat *st)
{
	const struct allocator_file *file;
	enum lanes_exec lane;
	char path[PATH_MAX];
	bool otel;

	snprintf(path, sizeof(path), "%s", v->path);
	process_path_inside(v->pid, path);
	lane = lanes_of_exec(s, v->pid, v->fd, path);
	attach_file(s, v->fd, v->path, 0);
	if (lane != LANES_EXEC_KNOWN)
		prepare_next(s, v->pid, path, lane > LANES_EXEC_KNOWN, &otel);
	file = allocators_file(s->allocators, v->fd, v->path);
	if (!file)
		return true;
	if (lane == LANES_EXEC_TO_STOP)
		forget_file(s, st);
	else
		know_file(s, st, file->refused || is_left_alone(s, v->pid, path) ? MT_FILE_REFUSED :
				 file->site_cnt ? MT_FILE_OWN : MT_FILE_PROBED);
	if (file->refused && lane != LANES_EXEC_KNOWN)
		session_log(s, MEMTRACE_LOG_WARN, "%s is not followed: %s", v->path, file->refused);
	return lane == LANES_EXEC_SAME;
}

static bool see_visit(void *ctx, const struct gate_visit *v)
{
	struct memtrace *s = ctx;
	enum lanes_file lane;
	struct stat st;

	if (fstat(v->fd, &st))
		return true;
	if (!v->exec) {
		lane = lanes_of_file(s, v->fd, v->path, v->pid, false);
		attach_mapped(s, v->fd, v->path, v->pid, false, lane);
		/* the next process that opens it may have no library, or call it past the library */
		return lane == LANES_PROBE || preload_is(s->preload, &st) ||
		       !holds_allocator(s, v->fd, v->path);
	}
	return see_exec(s, v, &st);
}

void targets_serve_gate(struct memtrace *s)
{
	if (!s->gate)
		return;
	gate_serve(s->gate, see_visit, s);
	s->tables.control->notices[MT_NOTICE_UNSEEN] = gate_unseen(s->gate);
}

/* Puts the session's own copy of the library where the tree will look for it. */
static int place_library(struct memtrace *s)
{
	int copy, err;

	err = launch_replace(s->launch, preload_file(s->preload), preload_path(s->preload), &copy);
	if (err)
		return message_set(&s->error, err, "cannot give the command a copy of %s: %s (use --lane "
				   "uprobe)", preload_path(s->preload), strerror(-err));
	err = preload_attach(s->preload, &s->programs, copy,
			     s->options.on_limit == MEMTRACE_LIMIT_STOP);
	targets_know_code(s, copy, preload_path(s->preload));
	close(copy);
	if (err)
		return message_set(&s->error, err, "cannot probe the preload library: %s (use --lane "
				   "uprobe)", strerror(-err));
	preload_protect(s->preload);
	s->withhold = withhold_new(preload_path(s->preload));
	return s->withhold ? 0 : message_set(&s->error, -ENOMEM, "out of memory");
}

static int start_command(struct memtrace *s)
{
	pid_t pid = launch_pid(s->launch);
	struct stat st;
	bool otel;
	int err;

	if (s->preload) {
		err = place_library(s);
		if (err)
			return err;
	}
	err = prepare_program(s, pid, s->preload ? s->preload_words : getenv("LD_PRELOAD"),
			      getenv("LD_LIBRARY_PATH"), s->program, false, &otel);
	if (err < 0)
		session_log(s, MEMTRACE_LOG_INFO, "cannot tell what %s will load: %s", s->program,
			    strerror(-err));
	if (!stat(s->program, &st))
		know_file(s, &st, MT_FILE_PROBED);
	spaces_track(s->spaces, pid);
	err = gate_open(launch_namespace(s->launch), &s->gate);
	if (err)
		session_log(s, MEMTRACE_LOG_INFO, "no gate at open (%s): new programs of the tree are "
			    "stopped at exec for a moment instead", strerror(-err));
	s->tables.control->stop_at_exec = 1; /* whatever the gate did not see: a mount of later */
	if (!fstat(launch_namespace(s->launch), &st))
		s->tables.control->tree_mnt_ns = st.st_ino;
	err = member_set(s, pid, 0, 0);
	if (err)
		return message_set(&s->error, err, "cannot register the command: %s", strerror(-err));
	return 0;
}

int targets_start(struct memtrace *s)
{
	struct mt_control *c = s->tables.control;

	switch (s->target) {
	case TARGET_PIDS:
		c->follow = s->options.follow == MEMTRACE_FOLLOW_NONE ? MT_FOLLOW_NONE :
			    s->by_pid ? MT_FOLLOW_BY_PID : MT_FOLLOW_INODE;
		return start_pids(s);
	case TARGET_COMMAND:
		c->follow = s->options.follow == MEMTRACE_FOLLOW_NONE ? MT_FOLLOW_NONE :
									MT_FOLLOW_INODE;
		return start_command(s);
	case TARGET_ALL:
	case TARGET_COMM:
	case TARGET_CGROUP:
		c->follow = s->by_pid ? MT_FOLLOW_BY_PID : MT_FOLLOW_INODE;
		c->limit_per_process = 1;
		return start_matching(s);
	case TARGET_NONE:
		break;
	}
	return message_set(&s->error, -EINVAL, "nothing to trace (give a pid, a command, or --all)");
}

#define DETACHING_MAX 16

/* Hands a set to a thread; waits for the oldest when many are on their way. */
static void detach_later(struct memtrace *s, struct probe_set *set)
{
	if (!s->detaching)
		s->detaching = calloc(DETACHING_MAX, sizeof(*s->detaching));
	if (!s->detaching) {
		probe_set_detach(set);
		return;
	}
	if (s->detaching_cnt == DETACHING_MAX) {
		probe_set_detached(s->detaching[0]);
		memmove(s->detaching, s->detaching + 1,
			--s->detaching_cnt * sizeof(*s->detaching));
	}
	s->detaching[s->detaching_cnt++] = probe_set_detach_later(set);
}

void targets_detach(struct memtrace *s)
{
	int err;

	programs_read_batches(&s->programs);
	/* the end is one point in time for all, not when each probe goes */
	__atomic_fetch_or(&s->tables.control->epoch, MT_EPOCH_CLOSED, __ATOMIC_ACQ_REL);
	s->detached_ns = session_now_ns();
	if (s->preload)
		preload_detach(s->preload);
	for (size_t i = 0; i < s->detaching_cnt; i++)
		probe_set_detached(s->detaching[i]);
	s->detaching_cnt = 0;
	for (size_t i = 0; i < s->attached_cnt; i++)
		probe_set_detach(s->attached[i].set);
	s->attached_cnt = 0;
	err = programs_settle(&s->programs);
	if (err)
		session_log(s, MEMTRACE_LOG_WARN, "blocks that were inside realloc at the end are in no "
			    "call path: %s", strerror(-err));
}

void targets_detach_pid(struct memtrace *s, pid_t pid)
{
	size_t kept = 0;

	if (!s->by_pid)
		return;
	for (size_t i = 0; i < s->attached_cnt; i++) {
		if (s->attached[i].pid == pid)
			detach_later(s, s->attached[i].set);
		else
			s->attached[kept++] = s->attached[i];
	}
	s->attached_cnt = kept;
}
