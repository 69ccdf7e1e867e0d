/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * batch.h - events that a process keeps until there are many, and the call paths it knows.
 *
 * A trap costs more than all the rest of an event. While a process has one thread, the preload library
 * writes its events into pages of its own, in the order they happen, and fires one site for many:
 *
 *	batch(address, stays)
 *
 * Whoever listens reads what is new from the process's memory and accounts for it in that order, so
 * figures are what they would have been, the peak included; times are those of the reading. Before any
 * other site fires what is kept is told, so the order holds among all. Listeners look on their own too
 * when the thread is taken off its CPU, is forked, gets a signal or ends.
 *
 *	head     events ever written; event i is at [i % MT_BATCH_EVENTS]; written last
 *	applied  the listener's own count of what it has accounted for
 *
 * stays 0: nothing is kept from here on, until a batch fires with stays 1 again (the thread makes
 * another one, ends, or goes into another program).
 *
 * Call paths. An allocation is kept only if its call path is known: the library walks the stack by rules
 * that it was given, and comes to the number of the site. The nodes form a tree in a hash table, one for
 * each frame, that only the session writes and only the library reads:
 *
 *	malloc's caller     node { pc, parent 0, rule }         alloc(..., ticket) -> session
 *	its caller            node { pc, parent, rule }         session -> nodes
 *	main                    node { pc, parent, rule, end, site }
 *
 * A node is found by parent and pc, its rule (unwind.h) leads to the next pc, and end says that the path
 * ends there: so a site is found if and only if a walk by the tables would find the very same frames.
 * With an allocation whose path it does not know the library sends a ticket: the address of its pages, and
 * the epoch in the low bits. The answer is nodes in its memory, and answered, which goes up by one
 * whatever came of it.
 *
 * Order of writing: a node's epoch is last, and an end comes after its site. Nodes of another epoch than
 * the pages' are none: the library forgets all when code is unloaded.
 *
 * The pages are wiped in forked children, which begin anew.
 */
#ifndef MEMTRACE_BATCH_H
#define MEMTRACE_BATCH_H

#include <linux/types.h>

#define MT_BATCH_EVENTS 256
#define MT_BATCH_CHUNK 8 /* events read at a time */
#define MT_BATCH_ALIGN 4096 /* of the pages */
#define MT_BATCH_FREE (~0ULL)
#define MT_BATCH_MOVED (~1ULL)

struct mt_batch_event {
	__u64 block;
	__u64 size;
	__u64 site; /* FREE: the block is freed; MOVED: so it is, by a realloc; what that gave is next */
};

#define MT_PATH_NODES_LOG2 15
#define MT_PATH_NODES (1U << MT_PATH_NODES_LOG2)
#define MT_PATH_PROBES 16 /* slots, from its hash on, that a node may be in; there are as many more */
#define MT_PATH_EPOCHS 255U
#define MT_PATH_ASKED_MAX 8 /* tickets without an answer yet */

enum mt_path_end {
	MT_PATH_GOES_ON,
	MT_PATH_COMPLETE, /* the walk ends here: site is that of this path */
	MT_PATH_DEPTH,	  /* it would go on, but stacks are cut here */
};

struct mt_path_node {
	__u64 pc;     /* a return address, as in a stored stack */
	__u32 parent; /* the node of the frame called from here: its slot + 1; 0: malloc's own caller */
	__u32 rule;
	__u32 site;
	__u32 end;   /* enum mt_path_end */
	__u32 child; /* the library's own: the slot where it found the next node last time */
	__u32 epoch; /* 0: there is none */
};

static inline __attribute__((always_inline)) __u32 mt_path_hash(__u32 parent, __u64 pc)
{
	return ((pc ^ (__u64)parent << 40) * 0x9e3779b97f4a7c15ULL) >> (64 - MT_PATH_NODES_LOG2);
}

#define MT_PATH_NODES_BYTES ((MT_PATH_NODES + MT_PATH_PROBES) * sizeof(struct mt_path_node))

struct mt_batch {
	__u64 head;
	__u64 owner; /* the thread that writes here; 0: nobody yet, or not now */
	__u64 told;  /* head when the site fired last */
	__u64 nodes; /* their address */
	__u32 busy;  /* the owner is writing */
	__u32 epoch;
	__u32 asked, answered;
	__u64 spare[2];
	struct mt_batch_event events[MT_BATCH_EVENTS];
};

/* In the low bits of a ticket. */
#define MT_TICKET_EPOCH(ticket) ((__u32)(ticket) & (MT_BATCH_ALIGN - 1))
#define MT_TICKET_BATCH(ticket) ((ticket) & ~(__u64)(MT_BATCH_ALIGN - 1))

_Static_assert(sizeof(struct mt_path_node) == 32, "two in a cache line");
_Static_assert(!(MT_BATCH_EVENTS % MT_BATCH_CHUNK), "whole chunks");

#endif
