/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * abi.h - what the probes and user space share: table layouts, news, counter names.
 *
 * The tables are written by BPF programs while user space reads them through mmap, so every
 * field is naturally aligned and changed by one store or one atomic. Nothing here has a pointer.
 *
 * Live table. A block is one slot of a bucket; two buckets of one segment are its only homes:
 *
 *	bucket      key[16]              meta[16]           born_ns[16]
 *	           +--------+--------+  +------+------+    +-------------+
 *	 slot i    | addr>>3: 45 | acct:19 | size:44 | site:20 | time of birth |
 *	           +--------+--------+  +------+------+    +-------------+
 *
 * Segments are all of one size (the kernel inlines look-ups then) and come in generations, each about
 * half as large as all before it; a hash picks segment and bucket within a generation:
 *
 *	generation  0    1    2    3    4         5
 *	segments    [0]  [1]  [2]  [3]  [4] [5]   [6] [7]
 *
 * key 0 is an empty slot. A slot is taken by a compare-and-swap of key; meta is written last and
 * cleared first, so a reader that sees meta != 0 and the same key twice has seen one block.
 * Blocks that do not fit the packing (size >= 2^44) live in the spill hash. In sessions that weigh blocks
 * the third word is as weight.h draws it.
 */
#ifndef MEMTRACE_ABI_H
#define MEMTRACE_ABI_H

#include <linux/types.h>

/* ---- limits ---------------------------------------------------------------------------------- */

#define MT_BUCKET_SLOTS 16
#define MT_ACCT_BITS 19
#define MT_SITE_BITS 20
#define MT_ADDR_SHIFT 3
#define MT_ADDR_BITS 48
#define MT_SIZE_BITS (64 - MT_SITE_BITS)
#define MT_SITE_MASK ((1ULL << MT_SITE_BITS) - 1)
#define MT_ACCT_MASK ((1ULL << MT_ACCT_BITS) - 1)
#define MT_SIZE_MAX ((1ULL << MT_SIZE_BITS) - 1)

#define MT_STACK_DEPTH_MAX 127
#define MT_WINDOW_BYTES 1024
#define MT_CHUNK_FRAMES 15
#define MT_CHUNKS_PER_STACK_MAX 9 /* 9 * 15 >= 127 */

#define MT_LIVE_SEGMENT 4096 /* buckets in one segment */
#define MT_LIVE_SEGMENTS 4096
#define MT_INDEX_SEGMENT 4096
#define MT_INDEX_SEGMENTS 128
#define MT_GENERATIONS 32
#define MT_SITE_SEGMENT 16384 /* sites in one segment */
#define MT_SITE_SEGMENTS 64
#define MT_CHUNK_SEGMENT 16384 /* chunks in one segment */
#define MT_CHUNK_SEGMENTS 512
#define MT_ROW_SEGMENT 65536 /* unwind rows in one segment */
#define MT_ROW_SEGMENTS 512
#define MT_ROW_CACHE 65536 /* words */
#define MT_COLD_BYTES 8192 /* of a stack that user space unwinds */
#define MT_COLD_RING_BYTES (512 * 1024)
#define MT_SIZE_CLASSES 48 /* log2 of requested bytes */
#define MT_COMM_LEN 16

/* ---- what can go wrong, by name ---------------------------------------------------------------- */

/* losses: accounting events missed. X(enum suffix, JSON name, what it means) */
#define MT_LOSSES(X)                                                                               \
	X(TABLE_FULL, table_full, "live table and its spill were full")                            \
	X(SITE_TABLE_FULL, site_table_full, "no room for a new call path; block counted, site unknown") \
	X(ACCT_TABLE_FULL, process_table_full, "no room for another process")                      \
	X(ENTRY_LOST, entry_state_lost, "no memory for a thread's entry state")                    \
	X(BAD_ADDRESS, bad_address, "the allocator returned an address the table cannot hold")     \
	X(READ_FAULT, result_unreadable, "a call's result or a site's argument could not be read")  \
	X(PEAK_RACE, peak_race, "a new peak could not be stored")                                  \
	X(PROBE_MISSED, probe_missed, "the kernel skipped a probe (recursion guard)")              \
	X(LATE_SITE, site_gone, "a block's site was gone when it was freed")                       \
	X(NEST_OVERFLOW, nest_overflow, "calls taken as nested in one that was gone, where its stack could not be followed") \
	X(NOT_PROBED, allocators_not_probed, "files with an allocator that could not be probed")   \
	X(BATCH_LOST, batched_events, "events kept in a process that were written over before they were read") \
	X(BATCH_UNREAD, last_events_unread, "processes that ended, or became others, before their last events could be read")

/* notices: recovered, or news that changes no figure */
#define MT_NOTICES(X)                                                                              \
	X(STALE_ENTRY, stale_entries, "calls into the allocator that never returned (longjmp, exit)") \
	X(NEWS_DROPPED, news_dropped, "notifications dropped; the tables still hold the facts")    \
	X(SPILLED, spilled_blocks, "blocks kept in the spill hash while the table grew")           \
	X(GHOSTS_FULL, inherited_guesses, "blocks a parent freed that a child may still free: that free is then unknown")          \
	X(SHARER_LATE, sharers_followed_late,                                                      \
	  "vfork or CLONE_VM children of attached processes that ran before they had probes")      \
	X(ALLOCATOR_LATE, allocators_found_late,                                                   \
	  "allocators probed only after a process had mapped them; it is marked as followed late") \
	X(UNSEEN, programs_not_waited_for,                                                         \
	  "programs or libraries let through unseen, because memtrace itself was held up")         \
	X(COLD_DROPPED, stacks_cut_short, "stacks not unwound to the end: no unwind table yet, queue full")  \
	X(MMAP_LOST, map_records_lost, "module map records the kernel dropped")

/* stack_quality: why stacks ended */
#define MT_STACK_ENDS(X)                                                                           \
	X(COMPLETE, complete, "the chain ended at a zero or root frame")                           \
	X(BROKEN, broken_chain, "the next frame made no sense")                                    \
	X(NO_TABLE, no_table, "no unwind table for the file yet")                                  \
	X(NO_ROW, no_row, "the file says nothing about unwinding there")                           \
	X(UNSUPPORTED, unsupported_rule, "an unwind rule that is not known")                       \
	X(READ_FAULT, read_fault, "stack memory could not be read")                                \
	X(DEPTH, depth_limit, "more frames than --stack-depth")                                    \
	X(OFF, not_recorded, "stacks are off, or no room for the stack")

#define MT_ENUM(name, json, text) MT_LOSS_##name,
enum mt_loss { MT_LOSSES(MT_ENUM) MT_LOSS_CNT };
#undef MT_ENUM
#define MT_ENUM(name, json, text) MT_NOTICE_##name,
enum mt_notice { MT_NOTICES(MT_ENUM) MT_NOTICE_CNT };
#undef MT_ENUM
#define MT_ENUM(name, json, text) MT_END_##name,
enum mt_stack_end { MT_STACK_ENDS(MT_ENUM) MT_END_CNT };
#undef MT_ENUM

/* ---- probes ------------------------------------------------------------------------------------ */

/* What a probed function is; the attach cookie of its probes. */
enum mt_call {
	MT_CALL_NONE,
	MT_CALL_MALLOC,		/* (size) -> ptr; also operator new, valloc, pvalloc */
	MT_CALL_CALLOC,		/* (count, size) -> ptr */
	MT_CALL_REALLOC,	/* (old, size) -> ptr */
	MT_CALL_REALLOCARRAY,	/* (old, count, size) -> ptr */
	MT_CALL_ALIGNED,	/* (align, size) -> ptr: memalign, aligned_alloc */
	MT_CALL_POSIX_MEMALIGN, /* (out, align, size) -> int */
	MT_CALL_FREE,		/* (ptr); also cfree, operator delete */
	MT_CALL_FREE_SIZED,	/* (ptr, ...): may forward to free */
	MT_CALL_CNT,
	MT_CALL_FAILED = MT_CALL_CNT, /* the preload library's: a call that yielded no block */
};

/* Added to a cookie: the allocator is not the one that the preload library calls. */
#define MT_CALL_BESIDE (1U << 16)
#define MT_CALL_OF(cookie) ((__u32)(cookie) & (MT_CALL_BESIDE - 1))

/* A site's argument: base + (index << shift) + value, or what is in memory there; of that the low
 * 64 - cut bits. */
struct mt_arg {
	__s64 value;
	__u8 base, index; /* registers, or MT_REG_NONE, which is 0 */
	__u8 shift;
	__u8 in_memory;
	__u8 cut;
	__u8 is_signed;
	__u8 pad[2];
};

/* Registers have the numbers that DWARF gives them (x86-64: rax rdx rcx rbx rsi rdi rbp rsp r8 to
 * r15; arm64: x0 to x30, sp). */
#define MT_REG_NONE 32

#define MT_OTEL_ARGS 3
#define MT_OTEL_SITES 1024 /* that a session has room for */

/* A site of "otel_memory"; the attach cookie of its probe is the number. */
struct mt_otel_site {
	struct mt_arg args[MT_OTEL_ARGS]; /* alloc: ptr, size, weighted_bytes; free: ptr */
	__u64 before, after; /* bytes around the site that are the allocator's own code */
};

/* ---- tables ------------------------------------------------------------------------------------ */

struct mt_bucket {
	__u64 key[MT_BUCKET_SLOTS];
	__u64 meta[MT_BUCKET_SLOTS];
	__u64 born_ns[MT_BUCKET_SLOTS];
};

/* One bucket of the site index: hash bits and a site number; 0 is empty. */
struct mt_index_bucket {
	__u64 entry[MT_BUCKET_SLOTS]; /* hash: high 44 bits | site: low 20 */
};

/* Set in a frame of a stored stack: a signal came in at this address. All others are return addresses,
 * the call is right before them. */
#define MT_PC_EXACT (1ULL << 63)
#define MT_PC(frame) ((frame) & ~MT_PC_EXACT)

/* A piece of a stack, frames leaf first; next is a chunk number or 0. */
struct mt_chunk {
	__u64 pc[MT_CHUNK_FRAMES];
	__u64 next; /* next chunk of the stack, or pool link */
};

/* A call path of one account, and its figures. Bytes are requested bytes. */
struct mt_site {
	__u64 hash;
	__u32 acct; /* slot; 0 when the site is free */
	__u32 chunk;
	__u32 frame_cnt;
	__u32 stack_end; /* enum mt_stack_end */
	__u64 alloc_blocks; /* live blocks are those in the live table */
	__u64 alloc_bytes;
	__s64 live_bytes;
	__u64 peak_bytes;
	__u64 at_peak_bytes;	/* live when the account's peak #epoch was made; see site_at_peak() */
	__u64 epoch;
	__u64 first_ns;
	__u64 next_free; /* pool link */
	__u64 places;	/* hash of what is mapped at its frames; 0: could not be told */
	__u32 removals; /* of the account, when they were last known to be that */
	__u32 pad0;
	/* of the estimates above, in sessions that weigh (weight.h): */
	__u64 variance_blocks; /* of alloc_blocks, in 1/256 */
	__u64 variance_low;    /* of alloc_bytes, 128 bits */
	__u64 variance_high;
};

enum mt_acct_state {
	MT_ACCT_FREE,
	MT_ACCT_LIVE,
	MT_ACCT_ENDED, /* no thread left; user space reads and then releases the slot */
	MT_ACCT_VOID,  /* made twice for one process: to be released unread */
};

enum mt_ended_by { MT_ENDED_NOT, MT_ENDED_EXEC, MT_ENDED_EXIT, MT_ENDED_SIGNAL };

enum mt_acct_flag {
	MT_ACCT_FORKED = 1 << 0,     /* began as a copy of its parent's heap */
	MT_ACCT_FROM_START = 1 << 1, /* seen from its first instruction: nothing earlier is unknown */
	MT_ACCT_UNFOLLOWED = 1 << 2, /* probes are not in place yet, though it began */
	MT_ACCT_LATE = 1 << 3,	     /* taken in a while after it began (followed_ns) */
	MT_ACCT_HELD = 1 << 4,	     /* stopped at exec: what is probed now is not late */
	MT_ACCT_BESIDE = 1 << 5,     /* has an allocator that the preload library does not see */
	MT_ACCT_SAMPLED = 1 << 6,    /* its allocator takes samples: a block was not just itself */
};

/* Who counts for an address space, so that nothing is counted twice. */
enum mt_lane {
	MT_LANE_OPEN,	 /* probes on allocators, until someone claims it who is inside */
	MT_LANE_PRELOAD, /* the preload library: its sites alone */
	MT_LANE_UPROBE,	 /* probes on allocators, whatever the library says */
	MT_LANE_OTEL,	 /* the allocator's own sites, those of "otel_memory", alone */
};

enum mt_threaded {
	MT_THREADED_SEEN = 1 << 0,    /* a second thread was made while traced */
	MT_THREADED_ASSUMED = 1 << 1, /* it may have had one before; until user space has looked */
};

/* One address space. Slot 0 is never used. */
struct mt_acct {
	/* allocations are the sum over the account's sites and these; frees are allocations less live */
	__s64 live_bytes;
	__s64 live_blocks;
	__u64 peak_bytes;
	__u64 peak_epoch;
	__u64 reallocs;
	__u64 unsited_blocks; /* allocated when the site table was full */
	__u64 unsited_bytes;
	__u32 threaded; /* not 0: several threads may be in here, counters change by atomics */
	__u32 lane; /* enum mt_lane */

	__u64 peak_at_ns;
	__u64 peak_blocks;
	__u64 failed_allocs;
	__u64 unknown_frees;
	__u64 inherited_frees;
	__u64 id; /* unique for the session; 0 when the slot was never used */
	__u64 start_ns;
	__u64 end_ns;

	__u64 fork_ns;	   /* when it was copied from parent */
	__u64 last_fork_ns; /* when it was last copied itself */
	__u64 parent_id;
	__u32 parent; /* slot it was copied from; holds a reference (heirs) */
	__u32 heirs;  /* accounts that may still free blocks of this one */
	__u32 tgid;
	__u32 ppid;
	__u32 state;
	__u32 scope;
	__u32 sharers; /* thread groups that run in it */
	__u32 flags;
	__u32 ended_by;
	__s32 exit_code; /* as wait(2) gives it */
	__u64 followed_ns;
	__u64 exceeded_ns; /* when its own limit was crossed (scope = process) */
	__u64 exceeded_usage; /* set last: 0 until all of this is there */
	__u32 exceeded_site;
	__u32 space; /* number of its address map: forked copies share it, until something is mapped */
	char comm[MT_COMM_LEN];
	__u64 next_free; /* pool link */
	__u32 exec_pages; /* mapped executable, when a stack was last taken */
	__u32 removals;	  /* how often that had become less */
};

/* A sum over accounts: scope 0 is everything; a limit may apply to each. */
struct mt_scope {
	__s64 live_bytes;
	__u64 peak_bytes;
	__u64 peak_at_ns;
	__u64 exceeded_ns; /* 0 until the limit was crossed */
	__u64 exceeded_usage;
	__u32 exceeded_acct;
	__u32 exceeded_site;
	__u64 exceeded_acct_id;
	__u64 pad[9];
};

/* ---- news -------------------------------------------------------------------------------------- */

enum mt_news_kind {
	MT_NEWS_FORK,  /* acct began as a copy; attach if it is followed by pid */
	MT_NEWS_EXEC,  /* acct began by exec; stopped when .stopped is set */
	MT_NEWS_END,   /* acct ended */
	MT_NEWS_LIMIT, /* scope, or acct, crossed its limit */
	MT_NEWS_ADOPT, /* first call of a process that ran already (inode-wide probes) */
	MT_NEWS_SHARE, /* another thread group shares an account; it needs probes of its own */
};

struct mt_file_id {
	__u64 ino;
	__u64 dev; /* as the kernel encodes it */
};

/* Numbers of address maps that changed (mt_acct.space), as user space and as a probe saw it; others are
 * ids of accounts. */
#define MT_SPACE_CHANGED 0x80000000U
#define MT_SPACE_SEEN_CHANGED 0x40000000U

/* What is known of an executable file. */
enum mt_file_known {
	MT_FILE_PROBED = 1, /* its allocators are, if it has any */
	MT_FILE_REFUSED,    /* it has one that cannot be: who runs it is not followed */
	MT_FILE_OWN,	    /* a program with an allocator of its own, which is probed */
};

struct mt_news {
	__u32 kind;
	__u32 tgid;
	__u64 time_ns;
	__u32 acct;
	__u32 scope;
	__u64 acct_id;
	__u32 stopped;
	__u32 pad;
	struct mt_file_id file;
	char comm[MT_COMM_LEN];
};

/* ---- code ---------------------------------------------------------------------------------------- */

/* A file as the kernel tells it apart. */
struct mt_code_file {
	__u64 ino;
	__u64 dev; /* as the kernel encodes it */
	__u64 version; /* of its contents: MT_CODE_VERSION of its change time */
};

#define MT_CODE_VERSION(sec, nsec) ((__u64)(sec) << 30 ^ (nsec))

/* A mapping of a file, told by the list_code program: one after another in what is read of it. */
struct mt_code_mapping {
	__u64 start;
	struct mt_code_file file;
};

/* Its unwind rows (see unwind.h), by offset in the file. */
struct mt_code_table {
	__u32 first;
	__u32 cnt;
};

/* A stack that met code without a table: registers after the call, and what was on the stack. The
 * site has the frames so far. */
struct mt_cold {
	__u32 acct;
	__u32 site;
	__u64 acct_id;
	__u64 time_ns;
	__u32 tgid;
	__u32 byte_cnt;
	__u64 pc, sp, fp;
	struct mt_code_file missing; /* the file without a table; ino 0: not known either */
	__u64 missing_pc;	     /* an address in it */
	__u8 bytes[MT_COLD_BYTES]; /* from sp on */
};

/* A call path that a process asks to know (batch.h): the frames of a site, and the unwind rules there. */
struct mt_path {
	__u32 acct;
	__u32 site;
	__u64 acct_id;
	__u64 ticket;
	__u32 tgid;
	__u32 end;	 /* enum mt_path_end; MT_PATH_GOES_ON: it cannot be known */
	__u32 frame_cnt;
	__u32 pad;
	__u64 pcs[MT_STACK_DEPTH_MAX];
	__u32 rules[MT_STACK_DEPTH_MAX + 1];
};

/* What an address space keeps (batch.h). */
struct mt_keeping {
	__u64 pages;   /* where; 0: nothing */
	__u64 applied; /* events accounted for */
	__u32 busy;    /* they are, at this moment */
	__u32 pad;
};

/* ---- control (the programs' .bss, mapped by both) ------------------------------------------------ */

enum mt_stacks { MT_STACKS_NONE, MT_STACKS_FP, MT_STACKS_DWARF };
enum mt_on_limit { MT_ON_LIMIT_REPORT, MT_ON_LIMIT_STOP, MT_ON_LIMIT_KILL };

#define MT_SCOPES 256

/* Free slots of a table: a stack linked through the slots' own next word, then fresh ones.
 * head is tag:32 | slot:32; the tag changes with every pop, so a pop cannot be fooled by a slot
 * that left and came back in between. */
struct mt_pool {
	__u64 head;
	__u32 fresh; /* next never-used slot */
	__u32 cap;   /* slots that exist; user space raises it */
};

/* BY_PID: probes are bound to processes, so a child is unfollowed until user space attached. */
/* Which segments each generation of a table has: mask + 1 of them, a power of two, from first on. */
struct mt_generations {
	__u32 cnt; /* in use, newest last */
	__u32 pad;
	struct {
		__u32 first;
		__u32 mask;
	} of[MT_GENERATIONS];
};

enum mt_follow { MT_FOLLOW_NONE, MT_FOLLOW_INODE, MT_FOLLOW_BY_PID };
enum mt_adopt { MT_ADOPT_NONE, MT_ADOPT_ALL, MT_ADOPT_COMM, MT_ADOPT_CGROUP };

#define MT_EPOCH_CLOSED (1U << 31)

struct mt_control {
	/* read by every probe */
	__u32 epoch; /* raised when the set of targets changed: threads look themselves up again;
		      * MT_EPOCH_CLOSED: tracing is over, nothing counts any more */
	__u32 stacks;
	__u32 stack_depth;
	__u32 follow;
	__u32 adopt; /* enum mt_adopt: which processes are taken in at exec ... */
	__u32 adopt_at_call; /* ... and at their first call (inode-wide probes) */
	__u32 self_tgid;
	__u32 listed_tgid; /* whose mappings list_code tells */
	__u32 stop_at_exec; /* stop a traced process at exec of a file not in known_files */
	__u32 tree_mnt_ns; /* stop at every exec in another mount namespace than this, unless 0 */
	__u32 on_limit;
	__u64 limit_bytes; /* 0: none */
	__u64 began_ns;	   /* the session; no block is older */
	__u32 limit_per_process;
	char adopt_comm[MT_COMM_LEN];
	struct mt_generations live;
	struct mt_generations index;

	/* written by probes, rarely */
	struct mt_pool accts;
	struct mt_pool sites;
	struct mt_pool chunks;
	__u64 next_acct_id;
	__u32 want_live;  /* user space should add a segment */
	__u32 want_index;
	__u32 next_space; /* see MT_SPACE_SEEN_CHANGED */
	__u32 pad0;
	__u64 spilled; /* blocks in the spill hash now */
	__u32 task_spilled; /* threads in task_spill, ever */
	__u32 pad;
	__u64 ghosts;  /* entries in the ghost hash now */
	__u64 losses[MT_LOSS_CNT];
	__u64 notices[MT_NOTICE_CNT];
};

/* Where a hash leads: to one of a generation's segments, and to a bucket of it. Each key has two homes
 * in each generation. */
#define MT_LIVE_HASH(key, which)                                                                   \
	((key) * ((which) ? 0xd6e8feb86659fd93ULL : 0x9e3779b97f4a7c15ULL))
#define MT_INDEX_HASH(hash, which) ((which) ? (hash) << 11 : (hash) << 23)
#define MT_HOME_SEGMENT(h, mask) ((__u32)((h) >> 34) & (mask))
#define MT_HOME_BUCKET(h, buckets) ((__u32)((h) >> 46) & ((buckets) - 1))

/* Per CPU, summed by user space. */
struct mt_percpu {
	__u64 size_classes[MT_SIZE_CLASSES];
};

/* A block out of the table: one that spilled, or is on its way. */
struct mt_spill {
	__u64 size;
	__u64 born_ns;
	__u64 site;
	__u64 weight; /* code of the count it stands for, see weight.h; 0: one */
};

/* A freed block that a forked child may still hold a copy of. */
struct mt_ghost {
	__u64 born_ns;
	__u64 died_ns;
};

/* Which account a thread group runs in. */
struct mt_membership {
	__u32 acct; /* 0: a launched command before its exec */
	__u32 scope;
};

_Static_assert(sizeof(struct mt_acct) == 256, "whole cache lines");
_Static_assert(sizeof(struct mt_site) == 128, "whole cache lines");
_Static_assert(sizeof(struct mt_chunk) == 128, "whole cache lines");
_Static_assert(sizeof(struct mt_scope) == 128, "whole cache lines");
_Static_assert(MT_CHUNKS_PER_STACK_MAX * MT_CHUNK_FRAMES >= MT_STACK_DEPTH_MAX, "a stack fits");
_Static_assert(MT_ADDR_BITS - MT_ADDR_SHIFT + MT_ACCT_BITS == 64, "a key is one word");

#endif
