/* SPDX-License-Identifier: MIT */
/*
 * filter.h - the set of sampled addresses, asked at every free.
 *
 * Exact: an address that was put in is found until it is taken out, and no other ever is. There is
 *no lock, so a signal handler, a child forked at any moment and a killed thread are all harmless.
 *
 *	tables[0]    counters  8192 bytes       0: nothing that hashes here is in this table
 *	             slots     1024 addresses   128 buckets of 8; an address has two of them
 *	tables[1]    the same, 4 times as large, made when both buckets were full, and so on
 *
 * An allocation puts its address in before it returns it, and whoever frees takes it out before it
 * gives it back: nobody asks for an address while it is put in or taken out. A counter is raised
 * before its address is in, lowered after it is out, and stays at 255 once it gets there (then that
 * byte tells nothing any more, and the slots are looked at).
 *
 * Tables stay where they are until the process ends. What a free pays while nothing hashes alike is
 * one load for each table; a table is made when about three quarters of the one before are in use.
 */
#ifndef PRELOAD_FILTER_H
#define PRELOAD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_TABLES 12 /* 1024 * 4^11 slots in the last */
#define FILTER_FIRST_SLOTS 1024
#define FILTER_GROWTH_SHIFT 2
#define FILTER_COUNTERS_SHIFT 3 /* counters for each slot */

struct filter_table {
	uint8_t *counters; /* NULL: not made yet. The slots follow. */
	uint32_t shift;	   /* hash >> shift is a counter */
};

struct filter {
	struct filter_table tables[FILTER_TABLES]; /* filled from the first on */
	uint64_t bytes;
	uint64_t live; /* addresses in it */
};

/* false: no memory. Only for addresses that are not in it. */
bool filter_add(struct filter *filter, const void *address);
/* true if it was in. */
bool filter_remove(struct filter *filter, const void *address);
void filter_fini(struct filter *filter);

static inline uint64_t filter_hash(const void *address)
{
	/* 32 bits of it are used, the high ones */
	return (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL;
}

/* false: certainly not in it. */
static inline __attribute__((always_inline)) bool filter_may_have(const struct filter *filter,
								  const void *address)
{
	uint64_t hash = filter_hash(address);

	for (size_t i = 0; i < FILTER_TABLES; i++) {
		const uint8_t *counters =
			__atomic_load_n(&filter->tables[i].counters, __ATOMIC_ACQUIRE);

		if (!counters)
			return false;
		if (__atomic_load_n(&counters[hash >> filter->tables[i].shift], __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

#endif
