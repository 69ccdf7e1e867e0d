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
 * figures are what they would have been, the peak included; times are those of the reading, and sums over
 * processes that run at the same time may miss a peak by MT_BATCH_BYTES for each of them. Before any
 * other site fires what is kept is told, so the order holds among all. Listeners look on their own too
 * when the thread is taken off its CPU, is forked, gets a signal or ends.
 *
 *	head     events ever written; event i is at [i % MT_BATCH_EVENTS]; written last
 *	applied  the listener's own count of what it has accounted for
 *
 * stays 0: nothing is kept from here on, until a batch fires with stays 1 again (the thread makes
 * another one, ends, or goes into another program).
 *
 * Call paths. An allocation is kept only if its call path is known: the library walks its stack by rules
 * that it was given for the return addresses it meets, and looks up what it came by. Two tables, that only
 * the session writes and only the library reads:
 *
 *	pcs      return address -> rule (unwind.h)
 *	paths    hash of the return addresses and of how the walk ended -> number of the site
 *
 * So a site is found if and only if a walk by the unwind tables would find the very same frames. The
 * hash has 128 bits, and nothing but that is compared. With an allocation whose path it does not know the
 * library sends a ticket: the address of its pages, with the epoch in the low bits. The answer is entries
 * in its memory; then answered goes up by one.
 *
 * Tables come in generations, each twice as large as the one before: 1024 pcs and as many paths, 2048 ...
 * The library maps the one that the session wants, when it asks the next time; the session fills it,
 * and then says that it is the one in use. An entry that cannot be within MT_PATH_PROBES of its hash is
 * not there at all.
 *
 * Order of writing: of an entry the byte that says its epoch is last; of a generation its number. Entries of
 * another epoch than the pages' are none: the library forgets all when code is unloaded.
 *
 * The pages are wiped in forked children, which begin anew.
 */
#ifndef MEMTRACE_BATCH_H
#define MEMTRACE_BATCH_H

#include <linux/types.h>

#define MT_BATCH_EVENTS 256
#define MT_BATCH_BYTES (64 << 10) /* with more than that allocated and freed, a batch is told as well */
#define MT_BATCH_CHUNK 8 /* events read at a time */
#define MT_BATCH_ALIGN 4096 /* of the pages */
#define MT_BATCH_FREE (~0ULL)
#define MT_BATCH_MOVED (~1ULL)

struct mt_batch_event {
	__u64 block;
	__u64 size;
	__u64 site; /* FREE: the block is freed; MOVED: so it is, by a realloc; what that gave is next */
};

#define MT_PATH_GENERATIONS 7
#define MT_PATH_SLOTS(generation) (1024U << (generation))
#define MT_PATH_PROBES 16 /* there are as many more slots behind the last */
#define MT_PATH_EPOCHS 255U
#define MT_PATH_ASKED_MAX 8 /* tickets without an answer yet ... */
#define MT_PATH_STARVED_MAX 4096 /* ... unless so many paths were not asked for meanwhile */

struct mt_path_pc {
	__u64 key; /* MT_PATH_KEY(); 0: empty */
	__u32 rule;
	__u32 next; /* the library's own: the slot of the caller's address, last time */
};

struct mt_path_entry {
	__u64 hash[2];
	__u32 site;
	__u32 epoch; /* 0: empty */
};

#define MT_PATH_KEY(pc, epoch) ((pc) | (__u64)(epoch) << 48)

/* A generation: its pcs, and then its paths. */
#define MT_PATH_GENERATION_BYTES(generation)                                                       \
	((MT_PATH_SLOTS(generation) + MT_PATH_PROBES) *                                            \
	 (__u64)(sizeof(struct mt_path_pc) + sizeof(struct mt_path_entry)))
#define MT_PATH_ENTRIES_AT(generation)                                                             \
	((MT_PATH_SLOTS(generation) + MT_PATH_PROBES) * (__u64)sizeof(struct mt_path_pc))

enum mt_path_end {
	MT_PATH_GOES_ON,  /* no path that can be known */
	MT_PATH_COMPLETE, /* it leads to the root */
	MT_PATH_DEPTH,	  /* it would go on, but stacks are cut here */
};

/* Slots are chosen by the high bits. */
#define MT_PATH_SLOT(word, generation) ((__u32)((word) >> 32) & (MT_PATH_SLOTS(generation) - 1))
#define MT_PATH_PC_HASH(pc) ((pc) * 0x9e3779b97f4a7c15ULL)

/* Begins with { 0, 0 }; one step for each return address, leaf first, and a last one for the end. */
static inline __attribute__((always_inline)) void mt_path_hash(__u64 hash[2], __u64 word)
{
	hash[0] = (hash[0] ^ word) * 0x9e3779b97f4a7c15ULL;
	hash[0] ^= hash[0] >> 29;
	hash[1] = ((hash[1] << 23 | hash[1] >> 41) + word) * 0xd6e8feb86659fd93ULL;
}

struct mt_batch {
	__u64 head;
	__u64 owner; /* the thread that writes here; 0: nobody yet, or not now */
	__u64 told;  /* head when the site fired last */
	__u64 bytes; /* allocated and freed since then */
	__u32 busy;  /* the owner is writing */
	__u32 epoch;
	__u32 asked, answered;
	__u32 starved; /* paths not asked for, since the last that was */

	/* the session's: the generation in use, what is in it, the one that it wants to have mapped */
	__u32 generation;
	__u32 pc_cnt, path_cnt;
	__u32 wanted;
	__u32 pad;
	__u64 tables[MT_PATH_GENERATIONS]; /* their addresses; 0: not mapped */

	struct mt_batch_event events[MT_BATCH_EVENTS];
};

/* In the low bits of a ticket. */
#define MT_TICKET_EPOCH(ticket) ((__u32)(ticket) & (MT_BATCH_ALIGN - 1))
#define MT_TICKET_BATCH(ticket) ((ticket) & ~(__u64)(MT_BATCH_ALIGN - 1))

_Static_assert(!(MT_BATCH_EVENTS % MT_BATCH_CHUNK), "whole chunks");

#endif
