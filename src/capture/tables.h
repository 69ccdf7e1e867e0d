/* SPDX-License-Identifier: MIT */
/*
 * tables.h - the probes' tables, mapped into this process: growing them, reading them, and taking
 * back the slots of accounts that are over.
 *
 * A thread of its own adds room when probes ask for it, so that a long report or a reader of it that
 * does not read never costs a block; everything else is done by the session's one thread. Probes
 * change the tables at any time: what is read of a running account is a moving picture.
 */
#ifndef CAPTURE_TABLES_H
#define CAPTURE_TABLES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/segments.h"
#include "memtrace/abi.h"

struct memtrace_bpf;
struct message;
struct ring_buffer;

struct tables {
	struct memtrace_bpf *skel;
	struct mt_control *control;
	struct mt_acct *accts;
	uint32_t acct_cnt;
	struct mt_scope *scopes;
	struct mt_bucket *live[MT_LIVE_SEGMENTS];
	struct mt_index_bucket *index[MT_INDEX_SEGMENTS];
	struct mt_site *sites[MT_SITE_SEGMENTS];
	struct mt_chunk *chunks[MT_CHUNK_SEGMENTS];
	int ncpu;
	struct table_memory memory;
	bool full; /* a table wanted room beyond the budget */
	bool sampled;  /* figures of the preload lane are estimates (else every weight is one) */
	bool weighted; /* blocks have weights: figures of blocks count in units of MT_COUNT_ONE */
	struct ring_buffer *growth; /* the probes' wishes */
	pthread_t grower;
	int stop_fd; /* ends the grower; -1 while there is none */
};

/* Maps the tables of a loaded skeleton and fills in the control page's pools and segments. */
int tables_init(struct tables *tables, struct memtrace_bpf *skel, uint32_t acct_cnt,
		uint64_t budget_bytes, struct message *why);
void tables_fini(struct tables *tables);

/* Starts the thread that grows the tables; tables_fini ends it. tables may not move afterwards. */
int tables_start_growing(struct tables *tables, struct message *why);

struct mt_site *tables_site(const struct tables *tables, uint32_t site);
uint32_t tables_site_end(const struct tables *tables); /* one past the last site ever used */

/* Copies a site's return addresses, leaf first; at most MT_STACK_DEPTH_MAX. Returns the count. */
uint32_t tables_frames(const struct tables *tables, const struct mt_site *site, uint64_t *pcs);

/* A live block; count is how many it stands for, in units of MT_COUNT_ONE, or 1 when nothing is weighed. */
struct table_block {
	uint32_t acct, site;
	uint64_t size, born_ns, count;
};

/* Calls see() for every live block. 0 or -errno. */
typedef void (*block_fn)(void *ctx, const struct table_block *block);
int tables_each_block(const struct tables *tables, block_fn see, void *ctx);

/* Writes the frames of a stack that user space unwound into its site. 0, or -ENOSPC when there was no room
 * for all of them: then the site is as before. */
int tables_complete_site(struct tables *tables, struct mt_site *site, const uint64_t *pcs, uint32_t cnt,
			 uint32_t stack_end);

/* Takes a free account slot, 0 when there is none. The caller fills it in and sets its state. */
uint32_t tables_acct_pop(struct tables *tables);

/* Takes everything of the accounts marked in slots[acct_cnt] back: blocks, ghosts, sites, stacks
 * and the slots themselves. They must have ended and have no heirs. */
void tables_release(struct tables *tables, const bool *slots);

/* Sums the per-CPU counters. */
void tables_percpu(const struct tables *tables, struct mt_percpu *sum);

#endif
