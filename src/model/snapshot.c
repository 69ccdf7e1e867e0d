/* SPDX-License-Identifier: MIT */
#include "model/snapshot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROWS 16
#define FIRST_INTERN_SLOTS 256 /* a power of two */

/* What .arena points to: the snapshot and what only its builder needs to know. */
struct snapshot_store {
	struct memtrace_snapshot snapshot;
	struct arena arena;
	size_t process_cap;
	size_t site_cap;
	size_t crossing_cap;
	size_t counter_cap[SNAPSHOT_STACK_QUALITY + 1];
	const char **interned; /* open addressing, at most half full */
	size_t interned_cnt;
	size_t interned_slots;
};

static struct snapshot_store *store_of(struct memtrace_snapshot *snapshot)
{
	return snapshot->arena;
}

struct memtrace_snapshot *snapshot_new(void)
{
	struct snapshot_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	arena_init(&store->arena);
	store->snapshot.arena = store;
	store->snapshot.alloc_rate = NAN;
	store->snapshot.free_rate = NAN;
	store->snapshot.alloc_bytes_rate = NAN;
	store->snapshot.overhead.cost_s = NAN;
	store->snapshot.overhead.cpu_s = NAN;
	return &store->snapshot;
}

void memtrace_snapshot_free(struct memtrace_snapshot *snapshot)
{
	struct snapshot_store *store;

	if (!snapshot)
		return;
	store = store_of(snapshot);
	arena_fini(&store->arena);
	free(store);
}

struct arena *snapshot_arena(struct memtrace_snapshot *snapshot)
{
	return &store_of(snapshot)->arena;
}

/* ---- strings --------------------------------------------------------------------------------- */

static size_t string_hash(const char *string)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (; *string; string++)
		hash = (hash ^ (unsigned char)*string) * 0x100000001b3;
	return (size_t)(hash ^ hash >> 32);
}

/* The string's slot, or the empty one where it belongs. */
static const char **intern_slot(const char **table, size_t slots, const char *string)
{
	size_t i = string_hash(string) & (slots - 1);

	while (table[i] && strcmp(table[i], string))
		i = (i + 1) & (slots - 1);
	return &table[i];
}

static int intern_grow(struct snapshot_store *store)
{
	size_t slots = store->interned_slots ? store->interned_slots * 2 : FIRST_INTERN_SLOTS;
	const char **table = arena_array(&store->arena, slots, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < store->interned_slots; i++)
		if (store->interned[i])
			*intern_slot(table, slots, store->interned[i]) = store->interned[i];
	store->interned = table;
	store->interned_slots = slots;
	return 0;
}

const char *snapshot_intern(struct memtrace_snapshot *snapshot, const char *string)
{
	struct snapshot_store *store = store_of(snapshot);
	const char **slot;

	if (!string)
		return NULL;
	if (store->interned_cnt * 2 >= store->interned_slots && intern_grow(store))
		return NULL;
	slot = intern_slot(store->interned, store->interned_slots, string);
	if (!*slot) {
		*slot = arena_strdup(&store->arena, string);
		store->interned_cnt += *slot != NULL;
	}
	return *slot;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Makes room for need rows in *rows. */
static int rows_reserve(struct arena *arena, void **rows, size_t cnt, size_t *cap, size_t need,
			size_t row_bytes)
{
	void *grown;

	if (need <= *cap)
		return 0;
	grown = arena_grow(arena, *rows, cnt, need, row_bytes);
	if (!grown)
		return -ENOMEM;
	*rows = grown;
	*cap = need;
	return 0;
}

static int rows_reserve_one(struct arena *arena, void **rows, size_t cnt, size_t *cap,
			    size_t row_bytes)
{
	if (cnt < *cap)
		return 0;
	return rows_reserve(arena, rows, cnt, cap, *cap ? *cap * 2 : FIRST_ROWS, row_bytes);
}

int snapshot_reserve(struct memtrace_snapshot *snapshot, size_t process_cnt, size_t site_cnt)
{
	struct snapshot_store *store = store_of(snapshot);
	void *processes = snapshot->processes;
	void *sites = snapshot->sites;
	int err;

	err = rows_reserve(&store->arena, &processes, snapshot->process_cnt, &store->process_cap,
			   process_cnt, sizeof(*snapshot->processes));
	snapshot->processes = processes;
	if (err)
		return err;
	err = rows_reserve(&store->arena, &sites, snapshot->site_cnt, &store->site_cap, site_cnt,
			   sizeof(*snapshot->sites));
	snapshot->sites = sites;
	return err;
}

struct memtrace_process *snapshot_add_process(struct memtrace_snapshot *snapshot, uint64_t id)
{
	struct snapshot_store *store = store_of(snapshot);
	void *rows = snapshot->processes;
	struct memtrace_process *process;

	if (rows_reserve_one(&store->arena, &rows, snapshot->process_cnt, &store->process_cap,
			     sizeof(*process)))
		return NULL;
	snapshot->processes = rows;
	process = &snapshot->processes[snapshot->process_cnt++];
	*process = (struct memtrace_process){
		.id = id,
		.ended_s = -1,
		.rss_bytes = MEMTRACE_UNKNOWN,
		.filter_bytes = MEMTRACE_UNKNOWN,
	};
	return process;
}

struct memtrace_site *snapshot_add_site(struct memtrace_snapshot *snapshot, uint64_t id,
					uint64_t process, uint32_t frame_cnt)
{
	struct snapshot_store *store = store_of(snapshot);
	void *rows = snapshot->sites;
	struct memtrace_frame *frames = NULL;
	struct memtrace_site *site;

	if (rows_reserve_one(&store->arena, &rows, snapshot->site_cnt, &store->site_cap,
			     sizeof(*site)))
		return NULL;
	snapshot->sites = rows;
	if (frame_cnt) {
		frames = arena_array(&store->arena, frame_cnt, sizeof(*frames));
		if (!frames)
			return NULL;
	}
	site = &snapshot->sites[snapshot->site_cnt++];
	*site = (struct memtrace_site){
		.id = id,
		.process = process,
		.oldest_age_s = -1,
		.youngest_age_s = -1,
		.aged_youngest_s = -1,
		.frames = frames,
		.frame_cnt = frame_cnt,
	};
	return site;
}

struct memtrace_counter *snapshot_add_counter(struct memtrace_snapshot *snapshot,
					      enum snapshot_counters kind, const char *name,
					      const char *text, uint64_t value)
{
	struct snapshot_store *store = store_of(snapshot);
	struct memtrace_counter **list, *counter;
	const char *own_name = snapshot_intern(snapshot, name);
	const char *own_text = snapshot_intern(snapshot, text);
	size_t *cnt;
	void *rows;

	if ((name && !own_name) || (text && !own_text))
		return NULL;
	switch (kind) {
	case SNAPSHOT_LOSSES:
		list = &snapshot->losses;
		cnt = &snapshot->loss_cnt;
		break;
	case SNAPSHOT_NOTICES:
		list = &snapshot->notices;
		cnt = &snapshot->notice_cnt;
		break;
	default:
		list = &snapshot->stack_quality;
		cnt = &snapshot->stack_quality_cnt;
		break;
	}
	rows = *list;
	if (rows_reserve_one(&store->arena, &rows, *cnt, &store->counter_cap[kind],
			     sizeof(*counter)))
		return NULL;
	*list = rows;
	counter = &(*list)[(*cnt)++];
	*counter = (struct memtrace_counter){ own_name, own_text, value };
	return counter;
}

struct memtrace_crossing *snapshot_add_crossing(struct memtrace_snapshot *snapshot,
						struct memtrace_crossing crossing)
{
	struct snapshot_store *store = store_of(snapshot);
	struct memtrace_limit *limit = &snapshot->limit;
	void *rows = snapshot->crossings;
	size_t at = snapshot->crossing_cnt;

	if (rows_reserve_one(&store->arena, &rows, at, &store->crossing_cap, sizeof(crossing)))
		return NULL;
	snapshot->crossings = rows;
	snapshot->crossing_cnt++;
	for (; at && snapshot->crossings[at - 1].at_s > crossing.at_s; at--)
		snapshot->crossings[at] = snapshot->crossings[at - 1];
	snapshot->crossings[at] = crossing;
	limit->exceeded = true;
	limit->exceeded_at_s = snapshot->crossings[0].at_s;
	limit->process = snapshot->crossings[0].process;
	limit->site = snapshot->crossings[0].site;
	limit->usage_bytes = snapshot->crossings[0].usage_bytes;
	return &snapshot->crossings[at];
}

/* ---- questions ------------------------------------------------------------------------------- */

/*
 * Ids are given out in ascending order, and who takes a snapshot walks its tables in that order
 * nearly always. So: halve, and look at every row only when that found nothing. What halving does
 * find is right in any order, since ids are unique.
 */
#define FIND_BY_ID(rows, cnt, wanted)                        \
	do {                                                 \
		size_t low = 0, high = (cnt);                \
                                                             \
		while (low < high) {                         \
			size_t mid = low + (high - low) / 2; \
                                                             \
			if ((rows)[mid].id == (wanted))      \
				return &(rows)[mid];         \
			if ((rows)[mid].id < (wanted))       \
				low = mid + 1;               \
			else                                 \
				high = mid;                  \
		}                                            \
		for (size_t i = 0; i < (cnt); i++)           \
			if ((rows)[i].id == (wanted))        \
				return &(rows)[i];           \
		return NULL;                                 \
	} while (0)

const struct memtrace_process *snapshot_find_process(const struct memtrace_snapshot *snapshot,
						     uint64_t id)
{
	FIND_BY_ID(snapshot->processes, snapshot->process_cnt, id);
}

const struct memtrace_site *snapshot_find_site(const struct memtrace_snapshot *snapshot,
					       uint64_t id)
{
	FIND_BY_ID(snapshot->sites, snapshot->site_cnt, id);
}

const struct memtrace_counter *snapshot_stack_end(const struct memtrace_snapshot *snapshot,
						  const struct memtrace_site *site)
{
	if (site->stack_end >= snapshot->stack_quality_cnt)
		return NULL;
	return &snapshot->stack_quality[site->stack_end];
}

bool snapshot_stack_complete(const struct memtrace_snapshot *snapshot,
			     const struct memtrace_site *site)
{
	const struct memtrace_counter *end = snapshot_stack_end(snapshot, site);

	return !end || (end->name && !strcmp(end->name, "complete"));
}

uint64_t snapshot_losses(const struct memtrace_snapshot *snapshot)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < snapshot->loss_cnt; i++)
		sum += snapshot->losses[i].value;
	return sum;
}
