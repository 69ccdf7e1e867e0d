/* SPDX-License-Identifier: MIT */
/*
 * probes.h - hangs loaded programs on code: what the kernel has for it, and sets of probes.
 *
 * A set is all probes of one file. It is bound to an inode (pid 0) or to the address space of one
 * process.
 */
#ifndef CAPTURE_PROBES_H
#define CAPTURE_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct message;

/* How probes are hung here. */
struct probe_kind {
	bool multi;	   /* multi-uprobe links; programs must be loaded for them */
	int perf_type;	   /* of perf uprobes; -1 unless needed */
	int return_bit;	   /* of perf_event_attr.config for a return probe */
	int semaphore_bit; /* where its semaphore's offset begins there */
};

/* The expected attach type of programs on multi-uprobe links; kernel ABI that older headers lack. */
#define PROBE_ATTACH_MULTI 48

/* Finds out what this kernel has. 0, or -ENOTSUP when it has no uprobes. Links bound to a process fire
 * for its thread group: a vfork or CLONE_VM child needs its own. (Perf uprobes fire for the address
 * space, but end with the leader thread, and take 2 s to remove.) */
int probe_kind_init(struct probe_kind *kind, bool by_pid, struct message *why);

/* Does this kernel turn a probe on a five-byte nop into a call (6.18)? */
bool probes_nop5_is_fast(void);

/* True where a return probe ends a process whose seccomp filter does not know the uretprobe system
 * call (6.11 until the filter was told to let it pass). */
bool probes_seccomp_is_deadly(void);

/* One place in a file, and the program that runs there. */
struct probe_hook {
	int prog_fd;
	uint64_t offset;    /* in the file */
	uint64_t semaphore; /* offset of the one that counts listeners; 0: none */
	uint64_t cookie;
	bool returns; /* at the return of the function that begins there */
};

struct probe_set;

/* Hangs them in the order given, which matters to processes that run. path must name the inode for as
 * long as this call takes (/proc/self/fd/N does). 0, or -errno with nothing left behind. */
int probe_set_attach(const struct probe_kind *kind, const char *path, pid_t pid,
		     const struct probe_hook *hooks, size_t cnt, struct probe_set **set);

/* Takes NULL. Waits for the kernel (about 0.1 s), while the targets run on. */
void probe_set_detach(struct probe_set *set);

/* The same without waiting: a thread of its own does it. Returns a handle to give to
 * probe_set_detached(), or NULL when it is done already. A process that exits in between would cut the
 * kernel's work short. */
struct detaching;
struct detaching *probe_set_detach_later(struct probe_set *set);

/* Waits for one of these to be done. Takes NULL. */
void probe_set_detached(struct detaching *detaching);

#endif
