/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * maps.h - every table of the probes.
 *
 * Tables that grow are arrays of segments: BPF arrays are allocated whole when created, so a
 * session starts with one small segment each and user space adds more when a probe asks for it
 * (control.want_*) or when a pool runs low.
 */
#ifndef MEMTRACE_BPF_MAPS_H
#define MEMTRACE_BPF_MAPS_H

/* States a bound where the verifier sees it: right before the value is used. Bounds checked earlier
 * are lost when the compiler copies the value (6.1 does not follow 32-bit moves) or hoists the use.
 * The value must be in bounds already: mask is all ones. */
#define BOUND(var, mask) asm volatile("%0 &= %1" : "+r"(var) : "i"(mask))

/* The compiler knows nothing of the value from here on. */
#define OPAQUE(var) asm volatile("" : "+r"(var))

/* A function verified once, by itself. Weak, so that the compiler does not carry what it knows of the
 * result into callers: the verifier would not know it and refuse their missing checks. */
#define GLOBAL __attribute__((noinline, weak))

/* What a thread is doing inside the allocator, and its scratch. In task storage because a probe
 * can be preempted by another task's probe on the same CPU. */
#define MT_RECENT 32

/* A copied piece of a stack. */
struct mt_window {
	__u64 words[MT_WINDOW_BYTES / 8 + 1];
};

/* What is mapped somewhere. */
struct mt_place {
	__u64 start, end;
	__u64 what; /* file and place in it; 0: no file */
};

/* A batch that is being read (bpf/batch.h). */
struct batch_run {
	struct mt_batch_event events[MT_BATCH_CHUNK];
	struct mt_batch_event held; /* an allocation: what comes next may be its end; block 0: none */
	__u64 moved;		    /* what the held one was reallocated from */
	__u64 events_at;
	__u64 at, head; /* next event, and the first that is not there yet */
	__u32 slot;
	__u32 err;
};

struct mt_task {
	__u32 epoch; /* of control when acct was looked up */
	__u32 acct;
	__u32 call; /* enum mt_call in progress; 0: none */
	__u32 far;  /* the last stack was too long for one near copy */
	__u64 acct_id;	 /* of acct: its slot may have another by the time the thread is gone */
	__u32 nested; /* calls taken as inside the one in progress, unproved */
	__u32 keeps;  /* writes the events that its address space keeps */
	__u64 freed_ptr; /* the last free_sized, as long as nothing came after it */
	__u64 freed_sp;
	__u64 sp; /* stack pointer at entry of the outermost call */
	__u64 size;
	__u64 weight; /* of what is being allocated: see struct mt_spill */
	__u64 arg;	     /* old block, or where posix_memalign puts its result */
	/* the caller of the allocation: where its stack begins */
	struct {
		__u64 pc, sp, fp;
	} caller;
	struct mt_spill old; /* realloc: the block taken out; born_ns 0: there was none */
	/* sites met lately, by hash: saves the walk through the index, not the comparison of frames */
	struct {
		__u64 hash;
		__u64 site;
	} recent[MT_RECENT];
	/* the unwinder's */
	__u32 space; /* of the account */
	__u32 removals; /* of the account */
	__u64 places;	/* of the stack below; 0: not looked at, or could not be told */
	struct mt_place place; /* scratch of the look */
	__u32 window_have; /* bytes in window, from window_at on */
	__u64 window_at;
	struct mt_code_file missing; /* the file that had no table, for an address in it */
	__u64 missing_pc;
	struct mt_frame frame; /* it is in; here, because the verifier follows what is in registers */
	__u64 trampoline; /* of return probes in this address space; 0: not looked up yet */

	__u64 hash; /* of the stack below */
	__u32 frame_cnt;
	__u32 stack_end; /* enum mt_stack_end */
	__u64 frames[MT_CHUNKS_PER_STACK_MAX * MT_CHUNK_FRAMES + MT_CHUNK_FRAMES]; /* and padding */
	struct mt_window window;
	struct batch_run run;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mt_task);
} tasks SEC(".maps");

/* For the rare thread whose task storage could not be allocated. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct mt_task);
} task_spill SEC(".maps");

/* A state that says nothing; never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mt_task);
} task_blank SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct mt_acct);
} accts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_SCOPES);
	__type(key, __u32);
	__type(value, struct mt_scope);
} scopes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u32); /* tgid */
	__type(value, struct mt_membership);
} members SEC(".maps");

struct live_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_LIVE_SEGMENT);
	__type(key, __u32);
	__type(value, struct mt_bucket);
} live_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MT_LIVE_SEGMENTS);
	__type(key, __u32);
	__array(values, struct live_segment);
} live SEC(".maps") = { .values = { [0] = (void *)&live_first } };

struct index_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_INDEX_SEGMENT);
	__type(key, __u32);
	__type(value, struct mt_index_bucket);
} index_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MT_INDEX_SEGMENTS);
	__type(key, __u32);
	__array(values, struct index_segment);
} site_index SEC(".maps") = { .values = { [0] = (void *)&index_first } };

struct site_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_SITE_SEGMENT);
	__type(key, __u32);
	__type(value, struct mt_site);
} site_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MT_SITE_SEGMENTS);
	__type(key, __u32);
	__array(values, struct site_segment);
} sites SEC(".maps") = { .values = { [0] = (void *)&site_first } };

struct chunk_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_CHUNK_SEGMENT);
	__type(key, __u32);
	__type(value, struct mt_chunk);
} chunk_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MT_CHUNK_SEGMENTS);
	__type(key, __u32);
	__array(values, struct chunk_segment);
} chunks SEC(".maps") = { .values = { [0] = (void *)&chunk_first } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct mt_spill);
} spill SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct mt_ghost);
} ghosts SEC(".maps");

struct row_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MT_ROW_SEGMENT);
	__type(key, __u32);
	__type(value, struct mt_row);
} row_first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MT_ROW_SEGMENTS);
	__type(key, __u32);
	__array(values, struct row_segment);
} rows SEC(".maps") = { .values = { [0] = (void *)&row_first } };

/* Which rows are a file's. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct mt_code_file);
	__type(value, struct mt_code_table);
} code_files SEC(".maps");

/* tag:32 | rule:32, so that an entry cannot be read torn. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MT_ROW_CACHE);
	__type(key, __u32);
	__type(value, __u64);
} row_cache SEC(".maps");

/* Call paths that processes want to know. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} paths SEC(".maps");

/* By slot of the account. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct mt_keeping);
} keeping SEC(".maps");

/* Stacks that user space must unwind. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, MT_COLD_RING_BYTES);
} cold SEC(".maps");

/* Sites of "otel_memory". */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MT_OTEL_SITES);
	__type(key, __u32);
	__type(value, struct mt_otel_site);
} otel_sites SEC(".maps");

/* Executables that were looked at: enum mt_file_known. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct mt_file_id);
	__type(value, __u32);
} known_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mt_percpu);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} news SEC(".maps");

/* Wakes the thread that grows tables. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} growth SEC(".maps");

struct mt_control control;

/* Set before loading: blocks have weights (sampled). Else every block counts as one, and what weights
 * need is not even loaded. */
const volatile __u32 weighted;

/* Likewise: the preload library or allocators' own sites are used, so accounts have lanes. */
const volatile __u32 with_lanes;

/* Likewise: processes keep events. */
const volatile __u32 with_batches;

#endif
