/* SPDX-License-Identifier: MIT */
/*
 * memtrace.h - the library: trace heap allocations of unmodified processes.
 *
 * A session holds probes and tables; a snapshot is plain data taken from it (or from a file, or
 * made by hand). Sessions are independent: several may live in one process, each used by one
 * thread at a time.
 *
 *	struct memtrace_options options = { .sz = sizeof(options), .limit_bytes = 250 << 20 };
 *	struct memtrace *session;
 *	struct memtrace_snapshot *snapshot;
 *
 *	err = memtrace_open(&options, &session);
 *	err = memtrace_attach(session, pid);
 *	err = memtrace_start(session);
 *	while (memtrace_poll(session, 1000) > 0)
 *		;
 *	err = memtrace_snapshot_take(session, &snapshot);
 *	memtrace_snapshot_free(snapshot);
 *	memtrace_close(session);
 *
 * Functions that can fail return 0 (or a count) or a negative errno; memtrace_error() then has the
 * sentence for people. Times are CLOCK_MONOTONIC nanoseconds (_ns) or seconds since the session
 * became ready (_s). Bytes are the bytes a program asked for.
 */
#ifndef MEMTRACE_MEMTRACE_H
#define MEMTRACE_MEMTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEMTRACE_API __attribute__((visibility("default")))

/* ---- snapshot: pure data --------------------------------------------------------------------- */

#define MEMTRACE_UNKNOWN INT64_MIN /* a figure that is not known; null in JSON, never 0 */

#define MEMTRACE_UNBOUNDED UINT64_MAX	   /* the high end of an interval that has none */

/* How far an estimate may be off. Whatever the program did, 95 of 100 samples of it have the truth
 * from low to high (nearly: see docs/architecture.md). */
struct memtrace_estimate {
	double variance, skew; /* sums over the sample; see src/model/estimate.h */
	uint64_t seen; /* the same figure of the sample alone: it cannot be less; at least this */
	uint64_t low, high;
};

struct memtrace_estimates {
	struct memtrace_estimate alloc_blocks, alloc_bytes, live_blocks, live_bytes;
	struct memtrace_estimate freed_blocks, freed_bytes; /* not of sites */
	struct memtrace_estimate aged_blocks, aged_bytes;   /* of sites only */
};

struct memtrace_frame {
	uint64_t address;   /* return address minus one, as run in the process */
	const char *symbol; /* demangled; NULL when unknown */
	const char *module; /* path of the mapped file; "[jit]" for code made at run time, "[vdso]";
			     * NULL when unknown */
	uint64_t offset;    /* of address in the module's file-relative addresses; else address */
	const char *file;   /* source file; NULL when unknown */
	uint32_t line;	    /* 0 when unknown */
	bool inlined;
};

/* Live blocks by age: [0] less than 1/64 s, [i] at least 2^(i-1)/64 s and less than 2^i/64 s, the last
 * without an end (2^22/64 s are 18 hours). Of a sample the bins are estimates, each rounded for
 * itself. */
#define MEMTRACE_AGE_BINS 24
struct memtrace_ages {
	uint64_t blocks[MEMTRACE_AGE_BINS], bytes[MEMTRACE_AGE_BINS];
};

/* A call path of one process. Ages are of live blocks, at the snapshot or at the process's end. */
struct memtrace_site {
	uint64_t id;	   /* unique in the session */
	uint64_t process;  /* memtrace_process.id */
	uint64_t live_blocks, live_bytes;
	uint64_t alloc_blocks, alloc_bytes;
	uint64_t peak_bytes;	/* the site's own maximum of live bytes */
	uint64_t bytes_at_peak; /* live at the process's peak */
	double oldest_age_s, youngest_age_s; /* of live blocks; negative when there are none */
	/* live blocks at least options.min_age_s old (all of them once the process ended, unless
	 * the minimum age was asked for) */
	uint64_t aged_blocks, aged_bytes;
	double aged_youngest_s; /* youngest age among the aged; negative when none */
	struct memtrace_frame *frames; /* leaf first, the allocator's own frames left out */
	uint32_t frame_cnt;
	uint32_t stack_end; /* index into snapshot.stack_quality: why the stack ended */
	const struct memtrace_estimates *estimates; /* NULL: counted exactly */
	const struct memtrace_ages *ages; /* NULL: no live blocks, or not known */
};

enum memtrace_ended_by {
	MEMTRACE_RUNNING,
	MEMTRACE_ENDED_EXEC,
	MEMTRACE_ENDED_EXIT,
	MEMTRACE_ENDED_SIGNAL,
};

/* One address space ever seen. An exec ends one and starts the next under the same pid. */
struct memtrace_process {
	uint64_t id; /* unique in the session */
	pid_t pid, ppid;
	const char *comm;
	const char *exe;  /* NULL when unknown */
	const char *lane; /* "uprobe", "preload" or "otel" */
	enum memtrace_ended_by ended_by;
	int exit_status; /* valid when ended_by is EXIT */
	int signal;	 /* valid when ended_by is SIGNAL */
	double started_s, ended_s; /* since the session became ready; ended_s negative while running */
	uint64_t allocs, frees;
	int64_t reallocs; /* MEMTRACE_UNKNOWN when sampled */
	uint64_t alloc_bytes, freed_bytes;
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes, peak_blocks;
	double peak_at_s;
	int64_t peak_unattributed_bytes;
	int64_t failed_allocs; /* as reallocs and unknown_frees MEMTRACE_UNKNOWN in lane "otel" */
	int64_t inherited_frees, unknown_frees; /* MEMTRACE_UNKNOWN when sampled */
	double followed_after_s;   /* 0: from its start; negative: never; NAN: attached (not a start) */
	bool since_attach;	   /* its earlier heap is unknown */
	int64_t rss_bytes;	   /* at the snapshot; MEMTRACE_UNKNOWN once gone */
	const struct memtrace_estimates *estimates; /* NULL: counted exactly */
	int64_t filter_bytes; /* what telling sampled frees takes in it; MEMTRACE_UNKNOWN once gone */
};

struct memtrace_totals {
	uint64_t allocs, frees;
	int64_t reallocs; /* as the next three MEMTRACE_UNKNOWN when it is for any process */
	uint64_t alloc_bytes, freed_bytes;
	uint64_t live_blocks, live_bytes;
	uint64_t peak_bytes;  /* of the sum over processes, not the sum of peaks */
	int64_t peak_blocks;  /* MEMTRACE_UNKNOWN when there was more than one process */
	double peak_at_s;
	int64_t failed_allocs, inherited_frees, unknown_frees;
	const struct memtrace_estimates *estimates; /* NULL: every process was counted exactly */
};

struct memtrace_counter {
	const char *name; /* as in JSON */
	const char *text; /* what it counts */
	uint64_t value;
};

enum memtrace_limit_scope { MEMTRACE_LIMIT_TREE, MEMTRACE_LIMIT_PROCESS };

/* Live bytes passed the limit: once for each process, or for each tree, whichever the limit is of. */
struct memtrace_crossing {
	double at_s;
	uint64_t process;     /* id of the crosser */
	uint64_t site;	      /* id of the site that crossed; 0 unknown */
	uint64_t usage_bytes; /* live bytes right after the crossing allocation */
};

struct memtrace_limit {
	uint64_t bytes; /* 0: no limit */
	enum memtrace_limit_scope scope;
	uint32_t tree_cnt;    /* of scope TREE: trees that it is of, each by itself */
	bool exceeded;	      /* of anything in the session, ever */
	double exceeded_at_s; /* first crossing, as the next three */
	uint64_t process;     /* id of the crosser */
	uint64_t site;	      /* id of the site that crossed; 0 unknown */
	uint64_t usage_bytes; /* live bytes right after the crossing allocation */
	uint64_t now_bytes;   /* live bytes of the fullest scope now (tree, or the largest process) */
	uint64_t peak_bytes;  /* the fullest any scope ever was */
};

/* Which allocations of a launched command are counted; a block that is counted stands for others. */
enum memtrace_sampling {
	MEMTRACE_SAMPLING_NONE,	 /* all of them, exactly */
	MEMTRACE_SAMPLING_BYTES, /* one for each sample_bytes allocated, on average; 0: none at all */
	MEMTRACE_SAMPLING_RATE,	 /* each with probability sampling_rate, whatever its size */
};

/* What tracing costs the targets (src/model/overhead.h has the arithmetic). Times are NAN when
 * unknown. */
struct memtrace_overhead {
	double time_s;	/* that passed */
	uint64_t calls; /* of the allocator; an estimate in a sample */
	double cost_s;	/* CPU time that the targets spent in probes */
	double cpu_s;	/* all CPU time that they spent */
	double wait_s;	/* they were ready to run, and others ran */
	uint32_t max_percent; /* options.max_overhead_percent */
	bool ended;	      /* tracing ended because it cost more than that */
	double ended_at_s, ended_percent;
	bool widened; /* a (wider) sample is taken because of it; see snapshot.sampling */
	double widened_at_s, widened_percent;
};

struct memtrace_snapshot {
	const char *tool_version;
	const char *target; /* as a person would name it: "pid 4242", "./bench -n 3", "all processes" */
	const char *lane;
	bool estimated; /* any process is */
	bool final; /* sums agree exactly; false: a moving picture */
	double duration_s; /* since ready */
	double interval_s; /* since the previous snapshot of this session; 0 for the first */
	double alloc_rate, free_rate, alloc_bytes_rate; /* per second over that interval */
	int64_t unix_time_ms; /* wall clock when it was taken */
	double min_age_s; /* what aged_* was computed with */

	struct memtrace_limit limit;
	struct memtrace_crossing *crossings; /* first one first */
	size_t crossing_cnt;
	struct memtrace_totals totals;
	struct memtrace_process *processes;
	size_t process_cnt;
	struct memtrace_site *sites;
	size_t site_cnt;
	struct memtrace_counter *losses;
	size_t loss_cnt;
	struct memtrace_counter *notices;
	size_t notice_cnt;
	struct memtrace_counter *stack_quality;
	size_t stack_quality_cnt;
	uint64_t size_classes[48]; /* allocations by floor(log2(bytes)); [0] has 0 and 1 */
	uint64_t tracer_bytes;	   /* memory the tables hold in the kernel */
	struct memtrace_overhead overhead; /* of the whole session */

	enum memtrace_sampling sampling; /* what was asked for */
	uint64_t sample_bytes;
	double sampling_rate;
	uint64_t sampled_blocks; /* that the estimates were made from, at least */

	void *arena; /* owns every string and array above */
};

/* Frees a snapshot and all it points to. Takes NULL. */
MEMTRACE_API void memtrace_snapshot_free(struct memtrace_snapshot *snapshot);

/* ---- session --------------------------------------------------------------------------------- */

struct memtrace; /* opaque */

/* AUTO: DWARF. DWARF: by the unwind tables of programs and libraries, right without frame pointers. */
enum memtrace_stacks {
	MEMTRACE_STACKS_AUTO,
	MEMTRACE_STACKS_DWARF,
	MEMTRACE_STACKS_FP,
	MEMTRACE_STACKS_NONE,
};
/* How allocations are seen. Of a launched command: PRELOAD: by a library that is loaded into it.
 * UPROBE: by probes on its allocators. AUTO: PRELOAD where it can be. Of processes that run already:
 * by their allocator's own sites ("otel_memory") where it has them and this is not UPROBE, else by
 * probes. */
enum memtrace_lane { MEMTRACE_LANE_AUTO, MEMTRACE_LANE_UPROBE, MEMTRACE_LANE_PRELOAD };
enum memtrace_on_limit { MEMTRACE_LIMIT_REPORT, MEMTRACE_LIMIT_STOP, MEMTRACE_LIMIT_KILL };
enum memtrace_follow { MEMTRACE_FOLLOW_NEWS, MEMTRACE_FOLLOW_EXACT, MEMTRACE_FOLLOW_NONE };
enum memtrace_log { MEMTRACE_LOG_WARN, MEMTRACE_LOG_INFO, MEMTRACE_LOG_DEBUG };

struct memtrace_options {
	size_t sz; /* sizeof(struct memtrace_options): lets the struct grow */
	enum memtrace_stacks stacks;
	uint32_t stack_depth; /* frames; 0: 64; at most 127 */
	uint64_t limit_bytes; /* 0: none */
	enum memtrace_on_limit on_limit;
	enum memtrace_follow follow;
	double min_age_s;	  /* blocks younger than this are no leak suspects */
	bool min_age_at_exit;	  /* apply min_age_s to ended processes too */
	uint64_t max_memory_bytes; /* budget of the tables; 0: a quarter of the machine's memory */
	void (*log)(void *ctx, enum memtrace_log level, const char *line); /* NULL: silent */
	void *log_ctx;
	/* where unwind tables are kept between sessions: a directory of the caller's own; NULL: nowhere */
	const char *cache_dir;
	enum memtrace_lane lane;
	const char *preload_library; /* NULL: the one that was installed with this library */
	bool debuginfod; /* debug files may come from the servers that DEBUGINFOD_URLS names */
	/* of a launched command that can take the preload library; anything else is refused then */
	enum memtrace_sampling sampling;
	uint64_t sample_bytes; /* at most 2^40 */
	double sampling_rate;  /* 0 to 1 */
	uint64_t sample_seed;  /* the same one takes the same blocks; 0: another one each time */
	/* By how many per cent tracing may slow the targets down (100: to twice the time); 0: any.
	 * When it does more, a launched command that took the preload library is sampled, and then
	 * sampled wider; where that cannot be, or is not enough, memtrace_overhead_passed() says
	 * so, and the caller ends it by memtrace_detach(). */
	uint32_t max_overhead_percent;
};

/* A session without a target. On failure *session may still be non-NULL, only to be asked
 * memtrace_error() and closed. */
MEMTRACE_API int memtrace_open(const struct memtrace_options *options, struct memtrace **session);

/* What to trace; call one or more of the same kind before memtrace_start(). The first call loads the
 * probes, or memtrace_start() does (of pids), which needs root (or cap_bpf, cap_perfmon,
 * cap_sys_ptrace, cap_sys_admin). */
MEMTRACE_API int memtrace_attach(struct memtrace *session, pid_t pid);
MEMTRACE_API int memtrace_attach_all(struct memtrace *session);
MEMTRACE_API int memtrace_attach_comm(struct memtrace *session, const char *comm);
MEMTRACE_API int memtrace_attach_cgroup(struct memtrace *session, const char *path);

/* How a launched command is to run. */
struct memtrace_command {
	size_t sz;
	char *const *argv; /* borrowed until memtrace_launch returns; argv[0] is looked up in PATH */
	bool set_user;	   /* run as uid/gid below */
	uid_t uid;
	gid_t gid;
};

/* Prepares argv to run with every allocation from its first instruction on traced; it starts with
 * memtrace_start(). *pid gets the command's pid. */
MEMTRACE_API int memtrace_launch(struct memtrace *session, const struct memtrace_command *command,
				 pid_t *pid);

/* Everything is in place: accounting counts from here. Lets a launched command go. */
MEMTRACE_API int memtrace_start(struct memtrace *session);

/* Handles news for at most timeout_ms (-1: until something happened). Returns the number of traced
 * processes still running, 0 when all ended, or a negative errno (-EINTR: a signal arrived). */
MEMTRACE_API int memtrace_poll(struct memtrace *session, int timeout_ms);

/* True once any limit was crossed; cheap. A snapshot has the details. */
MEMTRACE_API bool memtrace_limit_exceeded(const struct memtrace *session);

/* How many crossings were heard of so far; as cheap. It may lag behind what a snapshot has. */
MEMTRACE_API uint64_t memtrace_limit_crossings(const struct memtrace *session);

/* What tracing costs the targets in the latest interval, a quarter of a second or more; false as
 * long as there was none, or when it cannot be measured. Cheap. */
MEMTRACE_API bool memtrace_overhead(const struct memtrace *session,
				    struct memtrace_overhead *recent);

/* True once it slows them down by more than options.max_overhead_percent. */
MEMTRACE_API bool memtrace_overhead_passed(const struct memtrace *session);

/* An fd that is readable when memtrace_poll has work; owned by the session. */
MEMTRACE_API int memtrace_fd(const struct memtrace *session);

/* Status of the launched command as wait(2) gives it; -EAGAIN while it runs. */
MEMTRACE_API int memtrace_command_status(struct memtrace *session, int *wait_status);

/* Removes every probe; targets go on at full speed. Figures stay readable. */
MEMTRACE_API int memtrace_detach(struct memtrace *session);

/* Takes a snapshot. The caller owns *snapshot: memtrace_snapshot_free. It stays valid after close. */
MEMTRACE_API int memtrace_snapshot_take(struct memtrace *session,
					struct memtrace_snapshot **snapshot);

/* A snapshot without all that takes time: no stacks, no names, no look at blocks; for who wants to
 * know often how a heap goes on. It has duration_s; of processes that run, or ended since the last call, id,
 * pid, started_s, ended_s, ended_by, since_attach, live_bytes and alloc_bytes; of their call paths id,
 * process, live_bytes and alloc_bytes. Everything else is unset. */
MEMTRACE_API int memtrace_counters_take(struct memtrace *session,
					struct memtrace_snapshot **snapshot);

/* The last failure of this session as one sentence with a remedy; owned by the session. NULL
 * session: why memtrace_open had no memory. */
MEMTRACE_API const char *memtrace_error(const struct memtrace *session);

/* Ends the session: detaches, ends nothing it did not start. Takes NULL. */
MEMTRACE_API void memtrace_close(struct memtrace *session);

MEMTRACE_API const char *memtrace_version(void);

#ifdef __cplusplus
}
#endif
#endif
