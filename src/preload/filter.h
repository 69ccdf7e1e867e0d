/* SPDX-License-Identifier: MIT */
/*
 * filter.h - the set of sampled addresses, asked at every free.
 *
 * Exact: an address that was put in is found until it is taken out, and no other ever is. There is
 *no lock, so a signal handler, a child forked at any moment and a killed thread are all harmless.
 *
 *	table 0    counters  8192 bytes       0: nothing that hashes here is in this table
 *	           slots     1024 addresses   128 buckets of 8; an address has two of them
 *	table 1    the same, 4 times as large, made when both buckets were full, and so on
 *
 * An allocation puts its address in before it returns it, and whoever frees takes it out before it
 * gives it back: nobody asks for an address while it is put in or taken out. A counter is raised
 * before its address is in, lowered after it is out, and stays at 255 once it gets there (then that
 * byte tells nothing any more, and the slots are looked at).
 *
 *	first -> ... -> newest        what is in the set is in these
 *
 * Who makes a table moves everything there: first a copy into the newest, then away with the old
 *one. So whoever looks from the first to the newest meets it. An address that is taken out of the
 *old place meanwhile leaves a copy for a moment, which the mover removes. Who was about to put one
 *into a table that is the newest no longer notices, and puts it into that one: either it sees that
 *there is a newer one, or the mover sees the address (both order their store before their load). A
 *mover that never gets to the end leaves two tables to be looked at.
 *
 * Tables stay mapped until the process ends; all before the newest are a third of it. What a free
 *pays while nothing hashes alike is one load from counters that are next to each other when blocks
 *are.
 */
#ifndef PRELOAD_FILTER_H
#define PRELOAD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_FIRST_SLOTS 1024
#define FILTER_GROWTH_SHIFT 2
#define FILTER_COUNTERS_SHIFT 3 /* counters for each slot */
#define FILTER_TABLES_MAX 12	/* 1024 * 4^11 slots in the last */

/* The head of a table; counters and slots follow. */
struct filter_table {
	struct filter_table *next; /* NULL: the newest */
	uint64_t counter_mask;
	uint32_t number;
	uint8_t counters[] __attribute__((aligned(64)));
};

struct filter {
	struct filter_table *first, *newest; /* NULL: nothing ever was in it */
	uint64_t bytes;
	uint64_t live; /* addresses in it */
};

/* false: no memory. Only for addresses that are not in it. */
bool filter_add(struct filter *filter, const void *address);
/* true if it was in. */
bool filter_remove(struct filter *filter, const void *address);

/* What counters are told apart by: neighbours for neighbours, within 64 KiB. */
static inline uint64_t filter_place(const void *address)
{
	uint64_t granule = (uint64_t)(uintptr_t)address >> 4;

	return granule + (granule >> 12) * 0x9e3779b97f4a7c15ULL;
}

/* false: certainly not in it. */
static inline __attribute__((always_inline)) bool filter_may_have(const struct filter *filter,
								  const void *address)
{
	const struct filter_table *table = __atomic_load_n(&filter->first, __ATOMIC_ACQUIRE);
	uint64_t place = filter_place(address);

	while (table) {
		/* acquire: a counter that is 0 because of a move is read before the newer table */
		if (__atomic_load_n(&table->counters[place & table->counter_mask],
				    __ATOMIC_ACQUIRE))
			return true;
		table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE);
	}
	return false;
}

#endif
