// SPDX-License-Identifier: MIT
#include "preload/filter.h"

#include "preload/sys.h"

#define BUCKET_SLOTS 8 /* one cache line */
#define COUNTER_STUCK 255

static size_t slot_cnt(size_t table)
{
	return (size_t)FILTER_FIRST_SLOTS << table * FILTER_GROWTH_SHIFT;
}

static size_t counter_cnt(size_t table)
{
	return slot_cnt(table) << FILTER_COUNTERS_SHIFT;
}

static size_t table_bytes(size_t table)
{
	return counter_cnt(table) + slot_cnt(table) * sizeof(uintptr_t);
}

static uintptr_t *bucket(uint8_t *counters, size_t table, uint32_t hash)
{
	uintptr_t *slots = (void *)(counters + counter_cnt(table));

	return slots + (hash & (slot_cnt(table) / BUCKET_SLOTS - 1)) * BUCKET_SLOTS;
}

/* Both homes; the hashes are of other bits than the counter's. */
static void homes(uint8_t *counters, size_t table, const void *address, uintptr_t *home[2])
{
	uint64_t hash = filter_hash(address);

	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9ULL;
	home[0] = bucket(counters, table, (uint32_t)hash);
	home[1] = bucket(counters, table, (uint32_t)(hash >> 32));
}

static bool swap(uintptr_t *slot, uintptr_t from, uintptr_t to)
{
	return __atomic_compare_exchange_n(slot, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static unsigned int used(const uintptr_t *slots)
{
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		cnt += __atomic_load_n(&slots[i], __ATOMIC_RELAXED) != 0;
	return cnt;
}

static void count(uint8_t *counter, int by)
{
	uint8_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	do {
		if (old == COUNTER_STUCK)
			return;
	} while (!__atomic_compare_exchange_n(counter, &old, (uint8_t)(old + by), true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/* The table's counters, made if need be; NULL: no memory. */
static uint8_t *table_get(struct filter *filter, size_t table)
{
	uint8_t *counters = __atomic_load_n(&filter->tables[table].counters, __ATOMIC_ACQUIRE);
	uint8_t *made;

	if (counters)
		return counters;
	made = sys_map(table_bytes(table));
	if (!made)
		return NULL;
	/* everyone writes the same */
	__atomic_store_n(&filter->tables[table].shift,
			 64 - (uint32_t)__builtin_ctzll(counter_cnt(table)), __ATOMIC_RELEASE);
	if (!__atomic_compare_exchange_n(&filter->tables[table].counters, &counters, made, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		sys_unmap(made, table_bytes(table));
		return counters; /* another thread's */
	}
	__atomic_fetch_add(&filter->bytes, table_bytes(table), __ATOMIC_RELAXED);
	return made;
}

static bool add_to(struct filter *filter, size_t table, uint8_t *counters, const void *address)
{
	uint8_t *counter = &counters[filter_hash(address) >> filter->tables[table].shift];
	uintptr_t *home[2];
	unsigned int emptier;

	homes(counters, table, address, home);
	emptier = used(home[1]) < used(home[0]);
	count(counter, 1);
	for (unsigned int n = 0; n < 2; n++) {
		uintptr_t *slots = home[emptier ^ n];

		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (swap(&slots[i], 0, (uintptr_t)address))
				return true;
		}
	}
	count(counter, -1);
	return false;
}

bool filter_add(struct filter *filter, const void *address)
{
	for (size_t i = 0; i < FILTER_TABLES; i++) {
		uint8_t *counters = table_get(filter, i);

		if (!counters)
			return false;
		if (add_to(filter, i, counters, address)) {
			__atomic_fetch_add(&filter->live, 1, __ATOMIC_RELAXED);
			return true;
		}
	}
	return false;
}

static bool remove_from(uint8_t *counters, size_t table, const void *address)
{
	uintptr_t *home[2];

	homes(counters, table, address, home);
	for (unsigned int n = 0; n < 2; n++) {
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (__atomic_load_n(&home[n][i], __ATOMIC_RELAXED) == (uintptr_t)address &&
			    swap(&home[n][i], (uintptr_t)address, 0))
				return true;
		}
	}
	return false;
}

bool filter_remove(struct filter *filter, const void *address)
{
	for (size_t i = 0; i < FILTER_TABLES; i++) {
		uint8_t *counters = __atomic_load_n(&filter->tables[i].counters, __ATOMIC_ACQUIRE);
		uint8_t *counter;

		if (!counters)
			return false;
		counter = &counters[filter_hash(address) >> filter->tables[i].shift];
		if (!__atomic_load_n(counter, __ATOMIC_RELAXED) ||
		    !remove_from(counters, i, address))
			continue;
		count(counter, -1);
		__atomic_fetch_sub(&filter->live, 1, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

void filter_fini(struct filter *filter)
{
	for (size_t i = 0; i < FILTER_TABLES; i++) {
		if (filter->tables[i].counters)
			sys_unmap(filter->tables[i].counters, table_bytes(i));
	}
	*filter = (struct filter){ .bytes = 0 };
}
