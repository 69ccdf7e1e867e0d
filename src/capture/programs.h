/* SPDX-License-Identifier: MIT */
/*
 * programs.h - the BPF programs of a session, loaded; and the probes that hang them on code.
 *
 * A probe set is all probes of one file: entries and returns. It is bound to an inode (pid 0) or
 * to the address space of one process.
 */
#ifndef CAPTURE_PROGRAMS_H
#define CAPTURE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct memtrace_bpf; /* the skeleton */
struct message;

/* What is hung on code, and how. */
struct probe_kind {
	int malloc_fd, free_fd;	 /* programs for the entry of these two ... */
	int enter_fd;		 /* ... and of all others */
	int return_fd;		 /* for every return */
	bool multi;		 /* multi-uprobe links; the programs were loaded for them */
	int perf_type;		 /* of perf uprobes; -1 unless needed */
	int return_bit;		 /* of perf_event_attr.config for a return probe */
};

/* Finds out what this kernel has. 0, or -ENOTSUP when it has no uprobes. Links bound to a process fire
 * for its thread group: a vfork or CLONE_VM child needs its own. (Perf uprobes fire for the address
 * space, but end with the leader thread, and take 2 s to remove.) */
int probe_kind_init(struct probe_kind *kind, bool by_pid, struct message *why);

struct programs {
	struct memtrace_bpf *skel;
	struct probe_kind kind;
};

/* The expected attach type of programs on multi-uprobe links; kernel ABI that older headers lack. */
#define PROBE_ATTACH_MULTI 48

/* Opens and loads. acct_cnt: address spaces that can be traced at one time; by_pid: probes will be
 * bound to processes (see probe_kind_init). On failure the sentence is in why and nothing stays
 * behind. */
int programs_load(struct programs *programs, uint32_t acct_cnt, bool by_pid, struct message *why);

/* Attaches the fork, exec and exit programs. */
int programs_attach_life(struct programs *programs, struct message *why);

/* Settles what threads were doing when tracing was closed (MT_EPOCH_CLOSED); the probes must be gone. */
int programs_settle(struct programs *programs);

void programs_unload(struct programs *programs);

/* One probed function. */
struct probe_site {
	uint64_t offset; /* in the file */
	uint32_t call;	 /* enum mt_call */
	bool returns;	 /* wants a return probe too */
};

struct probe_set;

/* path must name the inode for as long as this call takes (/proc/self/fd/N does). */
int probe_set_attach(const struct probe_kind *kind, const char *path, pid_t pid,
		     const struct probe_site *sites, size_t cnt, struct probe_set **set);

/* Runs of the programs that the kernel skipped because one was running on the CPU already. */
uint64_t programs_missed(const struct programs *programs);

/* Calls see() with each program and how many instructions the verifier walked to accept it (0: a kernel
 * that does not say, before 5.16). */
typedef void (*verified_fn)(void *ctx, const char *program, uint32_t instructions);
void programs_each_verified(const struct programs *programs, verified_fn see, void *ctx);

/* Takes NULL. Waits for the kernel (about 0.1 s), while the targets run on. */
void probe_set_detach(struct probe_set *set);

/* The same without waiting: a thread of its own does it. Returns a handle to give to
 * probe_set_detached(), or NULL when it is done already. A process that exits in between would cut the
 * kernel's work short. */
struct detaching;
struct detaching *probe_set_detach_later(struct probe_set *set);

/* Waits for one of these to be done. Takes NULL. */
void probe_set_detached(struct detaching *detaching);

/* True where a return probe ends a process whose seccomp filter does not know the uretprobe system
 * call (6.11 until the filter was told to let it pass). */
bool programs_seccomp_is_deadly(void);

#endif
