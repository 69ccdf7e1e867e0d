/* SPDX-License-Identifier: MIT */
/*
 * programs.h - the BPF programs of a session, loaded; and the probes that hang them on code.
 *
 * A probe set is all probes of one file: entries and returns. It is bound to an inode (pid 0) or
 * to one process. Multi-uprobe links are used where the kernel has ones whose pid filter covers
 * all threads (6.10); perf uprobes below.
 */
#ifndef CAPTURE_PROGRAMS_H
#define CAPTURE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct memtrace_bpf; /* the skeleton */
struct message;

struct programs {
	struct memtrace_bpf *skel;
	bool multi;	  /* probes are multi-uprobe links */
	int perf_type;	  /* of perf uprobes; -1 unless needed */
	int return_bit;	  /* of perf_event_attr.config for a return probe */
};

/* Opens and loads. acct_cnt: address spaces that can be traced at one time. On failure the
 * sentence is in why and nothing stays behind. */
int programs_load(struct programs *programs, uint32_t acct_cnt, struct message *why);

/* Attaches the fork, exec and exit programs. */
int programs_attach_life(struct programs *programs, struct message *why);

void programs_unload(struct programs *programs);

/* One probed function. */
struct probe_site {
	uint64_t offset; /* in the file */
	uint32_t call;	 /* enum mt_call */
	bool returns;	 /* wants a return probe too */
};

struct probe_set;

/* path must name the inode for as long as this call takes (/proc/self/fd/N does). */
int probe_set_attach(struct programs *programs, const char *path, pid_t pid,
		     const struct probe_site *sites, size_t cnt, struct probe_set **set);

/* Takes NULL. */
void probe_set_detach(struct probe_set *set);

#endif
