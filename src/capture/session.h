/* SPDX-License-Identifier: MIT */
/* session.h - a session's state, and what those that work on it share. */
#ifndef CAPTURE_SESSION_H
#define CAPTURE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/message.h"
#include "capture/allocators.h"
#include "capture/gather.h"
#include "capture/overhead.h"
#include "capture/programs.h"
#include "capture/tables.h"
#include "capture/unwind_rows.h"
#include "memtrace/memtrace.h"

struct code;
struct debug_server;
struct gate;
struct process_map;
struct launch;
struct paths;
struct preload;
struct withhold;
struct lanes_program;
struct records;
struct ring_buffer;
struct space;
struct spaces;
struct symbols;

enum session_target {
	TARGET_NONE,
	TARGET_PIDS,
	TARGET_COMMAND,
	TARGET_ALL,
	TARGET_COMM,
	TARGET_CGROUP,
};

/* Probes on one file, bound to the inode (pid 0) or to a process. */
struct attached {
	uint64_t dev, ino;
	int64_t written_ns, size; /* of what was probed: a file that was written to since is another */
	pid_t pid;
	struct probe_set *set;
};

/* An account that ended: its figures, and the maps to name its stacks with. */
struct past_account {
	struct account_record record;
	struct space *space;
	char *exe;
	int64_t rss_bytes;
};

struct file_key {
	uint64_t dev, ino;
};

struct root {
	pid_t pid;
	uint32_t slot;
	uint32_t scope;
};

struct memtrace {
	struct memtrace_options options;
	struct message error;
	enum session_target target;
	char *target_text;
	char comm[MT_COMM_LEN];
	char *program;	  /* the command's executable */
	char *cgroup_path; /* as in /proc/PID/cgroup */

	struct programs programs;
	struct tables tables;
	struct unwind_rows rows;
	struct records *records;
	struct spaces *spaces;
	struct symbols *symbols;
	struct debug_server *debug_server; /* NULL: not wanted */
	struct allocators *allocators; /* what is known of files */
	struct code *code; /* unwind tables; NULL: stacks are not unwound by them */
	struct paths *paths; /* NULL: processes keep no events */
	struct ring_buffer *news;
	struct launch *launch;
	struct preload *preload; /* the library; NULL: every lane is uprobe */
	char *preload_words;	 /* LD_PRELOAD of the command then */
	struct message no_preload; /* why it is NULL although it was wanted */
	struct withhold *withhold; /* with it: who shall not have it */
	struct lanes_program *programs_seen;
	size_t program_cnt;
	struct file_key *left;	 /* allocators that the library calls */
	size_t left_cnt;
	struct file_key *copies; /* libraries that the tree has as copies, and that are not probed yet */
	size_t copy_cnt;
	struct gate *gate; /* NULL: a launched tree is stopped at exec instead */
	int epoll_fd;

	struct root *roots; /* -p */
	size_t root_cnt;
	struct attached *attached;
	size_t attached_cnt;
	struct detaching **detaching; /* probes of ended processes, going */
	size_t detaching_cnt;
	uint32_t spaces_changed;
	bool by_pid; /* probes are bound to processes */
	bool otel;   /* processes whose allocator has sites of its own are traced by them */
	bool loaded, started, ending, detached; /* ending: no probe is placed any more */
	uint32_t slot_cnt; /* accounts there is room for */

	struct past_account *past;
	size_t past_cnt;
	size_t past_counted; /* of those, by counters_take() */
	bool *reported; /* by slot: ended and in past, but kept for its heirs */
	char **exes;	/* by slot: path of the executable, when known */

	uint64_t ready_ns, previous_ns;
	uint64_t previous_allocs, previous_frees, previous_bytes;
	uint64_t detached_ns;
	struct overhead_meter overhead;
	uint64_t crossings_heard; /* of limits, by news; the tables have all */
};

uint64_t session_now_ns(void);
void session_log(struct memtrace *s, enum memtrace_log level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* lanes.c: what to do with a file that a process maps. late: it has done so already. */
enum lanes_file {
	LANES_PROBE, /* as ever */
	LANES_LEAVE, /* to the preload library, or to the allocator's own sites */
	LANES_BESIDE, /* probe it with MT_CALL_BESIDE: the library does not see it */
};
/* And with a program that a process is about to run. It waits at the gate. */
enum lanes_exec {
	LANES_EXEC_SAME,     /* as ever, and the same for who comes next: need not be asked for again */
	LANES_EXEC_NEW,	     /* may have the library; who comes next perhaps not */
	LANES_EXEC_KNOWN,    /* likewise, and it was looked at before */
	LANES_EXEC_WITHHELD, /* will not have it */
	LANES_EXEC_TO_STOP,  /* must not have it, so it has to be stopped for lanes_withhold() */
};
enum lanes_exec lanes_of_exec(struct memtrace *s, pid_t pid, int fd, const char *path);
/* The process is stopped at its exec: true when the library was withheld from it. */
bool lanes_withhold(struct memtrace *s, pid_t pid);
enum lanes_file lanes_of_file(struct memtrace *s, int fd, const char *path, pid_t pid, bool late);

/* targets.c */
int targets_start(struct memtrace *s); /* probes in place, accounts open */
/* An fd of a cgroup directory, given as a path or relative to the cgroup mount. */
int targets_open_cgroup(struct memtrace *s, const char *path);
int targets_attach_process(struct memtrace *s, pid_t pid, bool *any);
/* Probes one mapped file: 1 when that was needed, 0 when not, or -errno. */
int targets_attach_map(struct memtrace *s, pid_t pid, const struct process_map *map);
bool targets_comm_matches(const struct memtrace *s, pid_t pid);
bool targets_cgroup_matches(const struct memtrace *s, pid_t pid);
int targets_adopt(struct memtrace *s, pid_t pid, uint32_t scope, uint32_t *slot);
/* Probes every allocator that pid's executable will load or holds itself; *otel: it will be traced
 * by its allocator's own sites. */
int targets_prepare_exec(struct memtrace *s, pid_t pid, bool *otel);
/* Probes what those who wait at the gate will need, and lets them through. */
void targets_serve_gate(struct memtrace *s);
void targets_detach(struct memtrace *s);
void targets_detach_pid(struct memtrace *s, pid_t pid);

/* Gives the probes the unwind table of a file that is mapped or about to be. */
void targets_know_code(struct memtrace *s, int fd, const char *name);

/* otel_lane.c */
bool otel_lane_has_sites(struct memtrace *s, pid_t pid); /* its allocator has sites of its own */
bool otel_lane_takes(struct memtrace *s, pid_t pid); /* and this session uses them */
bool otel_lane_is_overruled(const struct allocator_file *program);
/* Is the file to be probed at its sites? */
bool otel_lane_uses(const struct memtrace *s, const struct allocator_file *file);
/* Is it not to be probed, because another one's sites tell of the process's blocks? otel: such is
 * the process. */
bool otel_lane_leaves(struct memtrace *s, int fd, const char *path, bool otel);
/* The account is that of such a process; what comes of other probes is too late there. */
void otel_lane_claim(struct mt_acct *acct);

/* follow.c */
int follow_cold_stack(void *ctx, void *data, size_t size);
int follow_news(void *ctx, void *data, size_t size);
int follow_harvest(struct memtrace *s); /* copies ended accounts out of the tables */
size_t follow_running(const struct memtrace *s);
void follow_drain_maps(struct memtrace *s, bool settled_only);
void follow_load_maps(struct memtrace *s, pid_t pid); /* of a running process, from /proc */

/* report.c */
int report_take(struct memtrace *s, struct memtrace_snapshot **snapshot);
uint64_t report_time(const struct memtrace *s); /* of a snapshot taken now */
void report_mark_slots(const struct memtrace *s, bool *slots); /* accounts that are not past */
void report_take_end(struct memtrace_process *process, const struct mt_acct *acct);

/* counters.c */
int counters_take(struct memtrace *s, struct memtrace_snapshot **snapshot);

/* Unique in a session: site numbers are used again after their account, account ids never. */
static inline uint64_t session_site_id(uint64_t acct_id, uint32_t number)
{
	return acct_id << MT_SITE_BITS | number;
}

static inline double session_since_ready(const struct memtrace *s, uint64_t ns)
{
	return ((double)ns - (double)s->ready_ns) / 1e9;
}

#endif
