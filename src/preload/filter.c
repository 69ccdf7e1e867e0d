// SPDX-License-Identifier: MIT
#include "preload/filter.h"

#include "preload/sys.h"

#define BUCKET_SLOTS 8 /* one cache line */
#define COUNTER_STUCK 255

/* ---- one table ---------------------------------------------------------------------------------
 */

static size_t slot_cnt(uint32_t table)
{
	return (size_t)FILTER_FIRST_SLOTS << table * FILTER_GROWTH_SHIFT;
}

static size_t table_bytes(uint32_t table)
{
	return filter_counter_cnt(table) + slot_cnt(table) * sizeof(uintptr_t);
}

static uint8_t *table_of(const struct filter *filter, uint32_t table)
{
	return __atomic_load_n(&filter->tables[table], __ATOMIC_ACQUIRE);
}

static uintptr_t *slots_of(uint8_t *counters, uint32_t table)
{
	return (void *)(counters + filter_counter_cnt(table));
}

/* An address is in one of two buckets. */
static void homes(uint8_t *counters, uint32_t table, const void *address, uintptr_t *home[2])
{
	uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL;
	uint32_t mask = (uint32_t)(slot_cnt(table) / BUCKET_SLOTS - 1);

	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9ULL;
	home[0] = slots_of(counters, table) + ((uint32_t)hash & mask) * (size_t)BUCKET_SLOTS;
	home[1] =
		slots_of(counters, table) + ((uint32_t)(hash >> 32) & mask) * (size_t)BUCKET_SLOTS;
}

static bool swap(uintptr_t *slot, uintptr_t from, uintptr_t to)
{
	return __atomic_compare_exchange_n(slot, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

static unsigned int used(const uintptr_t *slots)
{
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		cnt += __atomic_load_n(&slots[i], __ATOMIC_RELAXED) != 0;
	return cnt;
}

static void count(uint8_t *counters, uint32_t table, const void *address, int by)
{
	uint8_t *counter = &counters[filter_counter(table, address)];
	uint8_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	do {
		if (old == COUNTER_STUCK)
			return;
	} while (!__atomic_compare_exchange_n(counter, &old, (uint8_t)(old + by), true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/* false: both homes are full. */
static bool put(uint8_t *counters, uint32_t table, const void *address)
{
	uintptr_t *home[2];
	unsigned int emptier;

	homes(counters, table, address, home);
	emptier = used(home[1]) < used(home[0]);
	count(counters, table, address, 1);
	for (unsigned int n = 0; n < 2; n++) {
		uintptr_t *slots = home[emptier ^ n];

		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (!__atomic_load_n(&slots[i], __ATOMIC_RELAXED) &&
			    swap(&slots[i], 0, (uintptr_t)address))
				return true;
		}
	}
	count(counters, table, address, -1);
	return false;
}

static bool take(uint8_t *counters, uint32_t table, const void *address)
{
	uintptr_t *home[2];

	if (!__atomic_load_n(&counters[filter_counter(table, address)], __ATOMIC_ACQUIRE))
		return false;
	homes(counters, table, address, home);
	for (unsigned int n = 0; n < 2; n++) {
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (__atomic_load_n(&home[n][i], __ATOMIC_RELAXED) == (uintptr_t)address &&
			    swap(&home[n][i], (uintptr_t)address, 0)) {
				count(counters, table, address, -1);
				return true;
			}
		}
	}
	return false;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static bool add(struct filter *filter, const void *address);

/* Makes a table if nobody has yet; false: no memory. */
static bool make(struct filter *filter, uint32_t table)
{
	uint8_t *made, *nobodys = NULL;

	if (table >= FILTER_TABLES)
		return false;
	if (table_of(filter, table))
		return true;
	made = sys_map(table_bytes(table));
	if (!made)
		return false;
	if (__atomic_compare_exchange_n(&filter->tables[table], &nobodys, made, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		__atomic_fetch_add(&filter->bytes, table_bytes(table), __ATOMIC_RELAXED);
	else
		sys_unmap(made, table_bytes(table)); /* another thread's is there */
	return true;
}

static bool take_from_any(struct filter *filter, const void *address)
{
	uint32_t i = __atomic_load_n(&filter->first, __ATOMIC_ACQUIRE);

	for (; i < FILTER_TABLES; i++) {
		uint8_t *counters = table_of(filter, i);

		if (!counters)
			return false;
		if (take(counters, i, address))
			return true;
	}
	return false;
}

/* Moves what is in a table to the newest; false: no memory for it all. */
static bool move_all(struct filter *filter, uint32_t table)
{
	uint8_t *counters = table_of(filter, table);
	uintptr_t *slots = slots_of(counters, table);

	for (size_t i = 0; i < slot_cnt(table); i++) {
		uintptr_t address = __atomic_load_n(&slots[i], __ATOMIC_SEQ_CST);

		if (!address)
			continue;
		if (!add(filter, (void *)address))
			return false;
		if (swap(&slots[i], address, 0))
			count(counters, table, (void *)address, -1);
		else
			take_from_any(filter, (void *)address); /* it went meanwhile */
	}
	return true;
}

/* A table after this one, which is full, if it still is the newest; false: no memory. */
static bool grow(struct filter *filter, uint32_t full)
{
	uint32_t newest = full, i = __atomic_load_n(&filter->first, __ATOMIC_ACQUIRE), first = i;

	if (!make(filter, full + 1))
		return false;
	if (!__atomic_compare_exchange_n(&filter->newest, &newest, full + 1, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return true; /* who made it so does the rest */
	for (; i <= full; i++) {
		if (!move_all(filter, i))
			return true; /* there is room for one more, at least */
	}
	while (first <= full &&
	       !__atomic_compare_exchange_n(&filter->first, &first, full + 1, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	return true;
}

static bool add(struct filter *filter, const void *address)
{
	for (;;) {
		uint32_t table = __atomic_load_n(&filter->newest, __ATOMIC_SEQ_CST);

		if (!make(filter, table))
			return false;
		if (!put(table_of(filter, table), table, address)) {
			if (!grow(filter, table))
				return false;
			continue;
		}
		if (__atomic_load_n(&filter->newest, __ATOMIC_SEQ_CST) == table)
			return true;
		/* too late for that table: again, unless it was moved already */
		if (!take(table_of(filter, table), table, address))
			return true;
	}
}

bool filter_add(struct filter *filter, const void *address)
{
	if (!add(filter, address))
		return false;
	__atomic_fetch_add(&filter->live, 1, __ATOMIC_RELAXED);
	return true;
}

bool filter_remove(struct filter *filter, const void *address)
{
	if (!take_from_any(filter, address))
		return false;
	__atomic_fetch_sub(&filter->live, 1, __ATOMIC_RELAXED);
	return true;
}

void filter_fini(struct filter *filter)
{
	for (uint32_t i = 0; i < FILTER_TABLES; i++) {
		if (filter->tables[i])
			sys_unmap(filter->tables[i], table_bytes(i));
	}
	*filter = (struct filter){ .bytes = 0 };
}
