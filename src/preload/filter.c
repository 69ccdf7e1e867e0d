// SPDX-License-Identifier: MIT
#include "preload/filter.h"

#include "preload/sys.h"

#define BUCKET_SLOTS 8 /* one cache line */
#define COUNTER_STUCK 255

/* ---- one table ---------------------------------------------------------------------------------
 */

static size_t slot_cnt(uint32_t number)
{
	return (size_t)FILTER_FIRST_SLOTS << number * FILTER_GROWTH_SHIFT;
}

static size_t table_bytes(uint32_t number)
{
	return sizeof(struct filter_table) + (slot_cnt(number) << FILTER_COUNTERS_SHIFT) +
	       slot_cnt(number) * sizeof(uintptr_t);
}

static uintptr_t *slots_of(struct filter_table *table)
{
	return (void *)(table->counters + table->counter_mask + 1);
}

/* An address is in one of two buckets. */
static void homes(struct filter_table *table, const void *address, uintptr_t *home[2])
{
	uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15ULL;
	uint32_t mask = (uint32_t)(slot_cnt(table->number) / BUCKET_SLOTS - 1);

	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9ULL;
	home[0] = slots_of(table) + ((uint32_t)hash & mask) * (size_t)BUCKET_SLOTS;
	home[1] = slots_of(table) + ((uint32_t)(hash >> 32) & mask) * (size_t)BUCKET_SLOTS;
}

static uint8_t *counter_of(struct filter_table *table, const void *address)
{
	return &table->counters[filter_place(address) & table->counter_mask];
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

static void count(struct filter_table *table, const void *address, int by)
{
	uint8_t *counter = counter_of(table, address);
	uint8_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	do {
		if (old == COUNTER_STUCK)
			return;
	} while (!__atomic_compare_exchange_n(counter, &old, (uint8_t)(old + by), true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/* false: both homes are full. */
static bool put(struct filter_table *table, const void *address)
{
	uintptr_t *home[2];
	unsigned int emptier;

	homes(table, address, home);
	emptier = used(home[1]) < used(home[0]);
	count(table, address, 1);
	for (unsigned int n = 0; n < 2; n++) {
		uintptr_t *slots = home[emptier ^ n];

		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (!__atomic_load_n(&slots[i], __ATOMIC_RELAXED) &&
			    swap(&slots[i], 0, (uintptr_t)address))
				return true;
		}
	}
	count(table, address, -1);
	return false;
}

static bool take(struct filter_table *table, const void *address)
{
	uintptr_t *home[2];

	if (!__atomic_load_n(counter_of(table, address), __ATOMIC_ACQUIRE))
		return false;
	homes(table, address, home);
	for (unsigned int n = 0; n < 2; n++) {
		for (unsigned int i = 0; i < BUCKET_SLOTS; i++) {
			if (__atomic_load_n(&home[n][i], __ATOMIC_RELAXED) == (uintptr_t)address &&
			    swap(&home[n][i], (uintptr_t)address, 0)) {
				count(table, address, -1);
				return true;
			}
		}
	}
	return false;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

static struct filter_table *load(struct filter_table *const *table)
{
	return __atomic_load_n(table, __ATOMIC_SEQ_CST);
}

static bool replace(struct filter_table **at, struct filter_table *from, struct filter_table *to)
{
	return __atomic_compare_exchange_n(at, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* The table that *at is to point at, made if nobody has yet; NULL: no memory. */
static struct filter_table *make(struct filter *filter, struct filter_table **at, uint32_t number)
{
	struct filter_table *table = load(at);

	if (table || number >= FILTER_TABLES_MAX)
		return table;
	table = sys_map(table_bytes(number));
	if (!table)
		return NULL;
	table->number = number;
	table->counter_mask = (slot_cnt(number) << FILTER_COUNTERS_SHIFT) - 1;
	if (replace(at, NULL, table)) {
		__atomic_fetch_add(&filter->bytes, table_bytes(number), __ATOMIC_RELAXED);
		return table;
	}
	sys_unmap(table, table_bytes(number)); /* another thread's is there */
	return load(at);
}

/* The newest; NULL: there is none yet, and no memory for it. */
static struct filter_table *newest(struct filter *filter)
{
	struct filter_table *table = load(&filter->newest);

	if (table)
		return table;
	table = make(filter, &filter->first, 0);
	if (table)
		replace(&filter->newest, NULL, table);
	return table ? load(&filter->newest) : NULL;
}

static bool take_from_any(struct filter *filter, const void *address)
{
	struct filter_table *table = load(&filter->first);

	while (table && !take(table, address))
		table = load(&table->next);
	return table;
}

static bool add(struct filter *filter, const void *address);

/* Moves what is in a table to the newest; false: no memory for it all. */
static bool move_all(struct filter *filter, struct filter_table *table)
{
	uintptr_t *slots = slots_of(table);

	for (size_t i = 0; i < slot_cnt(table->number); i++) {
		uintptr_t address = __atomic_load_n(&slots[i], __ATOMIC_SEQ_CST);

		if (!address)
			continue;
		if (!add(filter, (void *)address))
			return false;
		if (swap(&slots[i], address, 0))
			count(table, (void *)address, -1);
		else
			take_from_any(filter, (void *)address); /* it went meanwhile */
	}
	return true;
}

/* A table after this one, which is full, if it still is the newest; false: no memory. */
static bool grow(struct filter *filter, struct filter_table *full)
{
	struct filter_table *first = load(&filter->first), *next, *table;

	next = make(filter, &full->next, full->number + 1);
	if (!next)
		return false;
	if (!replace(&filter->newest, full, next))
		return true; /* who made it so does the rest */
	for (table = first; table != next; table = load(&table->next)) {
		if (!move_all(filter, table))
			return true; /* there is room for one more, at least */
	}
	while (first->number < next->number && !replace(&filter->first, first, next))
		first = load(&filter->first);
	return true;
}

static bool add(struct filter *filter, const void *address)
{
	for (;;) {
		struct filter_table *table = newest(filter);

		if (!table)
			return false;
		if (!put(table, address)) {
			if (!grow(filter, table))
				return false;
			continue;
		}
		if (load(&filter->newest) == table)
			return true;
		/* too late for that table: again, unless it was moved already */
		if (!take(table, address))
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
