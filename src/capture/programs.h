/* SPDX-License-Identifier: MIT */
/*
 * programs.h - the BPF programs of a session: loaded, and which of them goes where.
 *
 * Those for allocators are many instructions to verify (0.25 s). Sessions that may not need them
 * load them when the first allocator is to be probed, and all load those for allocators' own sites
 * when the first are met; they share all maps.
 */
#ifndef CAPTURE_PROGRAMS_H
#define CAPTURE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/probes.h"

struct memtrace_bpf; /* the skeleton */
struct otel;

/* Called with each program that was loaded and how many instructions the verifier walked to accept
 * it (0: a kernel that does not say, before 5.16). */
typedef void (*verified_fn)(void *ctx, const char *program, uint32_t instructions);

struct programs_want {
	uint32_t acct_cnt; /* address spaces that can be traced at one time */
	bool by_pid;	   /* probes will be bound to processes (see probe_kind_init) */
	bool preload;	   /* the preload library is used */
	bool batches;	   /* and keeps events */
	bool otel;	   /* allocators' own sites are used; then blocks have weights */
	bool weighted;	   /* blocks have weights: what is counted are estimates */
	bool allocators_later; /* those for allocators are loaded when one is to be probed */
	verified_fn verified;  /* NULL: nobody wants to know */
	void *verified_ctx;
};

#define BATCH_MOMENTS 4

struct bpf_link;

struct programs {
	struct memtrace_bpf *skel;
	struct memtrace_bpf *on_allocators; /* has those; NULL: not loaded yet */
	struct memtrace_bpf *on_otel;	    /* likewise those for sites of "otel_memory" */
	struct programs_want want;
	struct probe_kind kind;
	struct bpf_link *batch_links[BATCH_MOMENTS];
	uint32_t otel_site_cnt; /* that the probes know */
};

/* Opens and loads. On failure the sentence is in why and nothing stays behind. */
int programs_load(struct programs *programs, const struct programs_want *want, struct message *why);

/* Loads those for allocators, unless that was done. 0 or -errno. */
int programs_need_allocators(struct programs *programs);

/* Attaches the fork, exec and exit programs. */
int programs_attach_life(struct programs *programs, struct message *why);

/* Accounts for what processes that run now have kept. */
void programs_read_batches(const struct programs *programs);

/* One allocation function of a file. */
struct probe_site {
	uint64_t offset; /* in the file */
	uint32_t call;	 /* enum mt_call */
	bool returns;	 /* wants a return probe too */
	bool stepped;	 /* the kernel cannot emulate what is there */
};

/* What runs where: at the entry of malloc, of free, of all others, and at every return. */
struct allocator_programs {
	int malloc_fd, free_fd, enter_fd, return_fd;
};

/* Fills hooks, room for two a site, in the order they are to be hung; their count, or 0 without memory.
 * The kernel places them one after another while processes run. Returns come first: an entry whose return
 * is not seen would look like a call that never ended. Then what takes blocks out before what puts them
 * in, so that no block is counted whose free is missed. */
size_t programs_hooks(const struct allocator_programs *fds, const struct probe_site *sites, size_t cnt,
		      struct probe_hook *hooks);

/* Probes an allocator; see probe_set_attach(). extra is added to the cookies: 0 or MT_CALL_BESIDE. */
int programs_attach_allocator(struct programs *programs, const char *path, pid_t pid,
			      const struct probe_site *sites, size_t cnt, uint32_t extra,
			      struct probe_set **set);

/* Probes an allocator's own sites; numbers them when they are new. want.otel was set. -ENOSPC: more
 * than there is room for. */
int programs_attach_otel(struct programs *programs, const char *path, pid_t pid, struct otel *otel,
			 struct probe_set **set);

/* The program for a site of the preload library, by the site's name, and its cookie there: an fd, or
 * -ENOENT. */
int programs_of_preload(const struct programs *programs, const char *site, uint64_t *cookie);

/* Settles what threads were doing when tracing was closed (MT_EPOCH_CLOSED); the probes must be gone. */
int programs_settle(struct programs *programs);

/* Calls see() with each file mapping of a process as the probes see it: a struct mt_code_mapping. Before 6.1
 * the kernel cannot: -errno. */
typedef void (*code_fn)(void *ctx, const void *mapping);
int programs_list_code(struct programs *programs, pid_t pid, code_fn see, void *ctx);

void programs_unload(struct programs *programs);

/* Runs of the programs that the kernel skipped because one was running on the CPU already. */
uint64_t programs_missed(const struct programs *programs);

/* What the programs of one kind did while the kernel kept run times. */
enum program_kind {
	PROGRAM_MALLOC,
	PROGRAM_FREE,
	PROGRAM_ENTER,
	PROGRAM_RETURN,
	PROGRAM_SITE,
	PROGRAM_BATCH, /* not at a probe: where the kernel switches tasks, for one */
	PROGRAM_OTEL,
	PROGRAM_KINDS
};

struct programs_work {
	uint64_t runs[PROGRAM_KINDS];
	uint64_t ns; /* of all of them, time that the kernel takes to look at the clock included */
};

/* Sums since they were loaded; those of processes' life, which are rare, are left out. */
void programs_worked(const struct programs *programs, struct programs_work *work);

#endif
