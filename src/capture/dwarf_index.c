// SPDX-License-Identifier: MIT
#include "capture/dwarf_index.h"

#include <dwarf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Code ranges of all units together; a file that claims more than this has its first ones. */
#define UNIT_RANGES_MAX (4U << 20)

#define FUNCTION_RANGES_MAX \
	(2U << 20)    /* of all units; then they are made anew as they are needed */
#define DEPTH_MAX 128 /* of entries in entries */
#define UNIT_BUCKETS 1024
#define BYTES_A_STEP 16	       /* of entries that are passed over */
#define STEPS_MAX (1ULL << 29) /* for one file: some ten seconds */

/* Addresses [start, end) are code of a compilation unit. */
struct unit_range {
	uint64_t start, end; /* in the debug file's addresses */
	Dwarf_Die unit;
};

struct function_range {
	uint64_t start, end;
	Dwarf_Die function;
};

/* The functions of one unit, sorted by where they start. */
struct unit {
	struct unit *next;
	void *addr; /* of the unit's entry: who it is */
	struct function_range *functions;
	size_t cnt, cap;
};

struct dwarf_index {
	Dwfl_Module *module;
	struct unit_range *ranges; /* sorted; made when first needed */
	size_t range_cnt;
	bool has_ranges;
	Dwarf_Addr bias; /* of ranges against the module's addresses */
	struct unit *units[UNIT_BUCKETS];
	size_t function_cnt; /* of all units */
	uint64_t steps;
};

struct dwarf_index *dwarf_index_new(Dwfl_Module *module)
{
	struct dwarf_index *x = calloc(1, sizeof(*x));

	if (x)
		x->module = module;
	return x;
}

static void forget_units(struct dwarf_index *x)
{
	for (size_t i = 0; i < UNIT_BUCKETS; i++) {
		while (x->units[i]) {
			struct unit *u = x->units[i];

			x->units[i] = u->next;
			free(u->functions);
			free(u);
		}
	}
	x->function_cnt = 0;
}

void dwarf_index_free(struct dwarf_index *x)
{
	if (!x)
		return;
	forget_units(x);
	free(x->ranges);
	free(x);
}

static bool may_go_on(const struct dwarf_index *x)
{
	return x->steps < STEPS_MAX;
}

/* ---- units ----------------------------------------------------------------------------------- */

static int add_unit(struct dwarf_index *x, Dwarf_Die *unit)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(unit, at, &base, &start, &end)) > 0) {
		x->steps++;
		if (x->range_cnt == UNIT_RANGES_MAX || !may_go_on(x))
			return 0;
		if (!start || start >= end)
			continue; /* what the linker threw away is often left at 0 */
		if (!(x->range_cnt & (x->range_cnt - 1))) { /* full at each power of two */
			size_t cap = x->range_cnt ? x->range_cnt * 2 : 1;
			struct unit_range *more = reallocarray(x->ranges, cap, sizeof(*more));

			if (!more)
				return -ENOMEM;
			x->ranges = more;
		}
		x->ranges[x->range_cnt++] = (struct unit_range){ start, end, *unit };
	}
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	uint64_t x = ((const struct unit_range *)a)->start;
	uint64_t y = ((const struct unit_range *)b)->start;

	return x < y ? -1 : x > y;
}

static int make_ranges(struct dwarf_index *x)
{
	Dwarf_Die *unit = NULL;
	int err = 0;

	x->has_ranges = true;
	while (!err && (unit = dwfl_module_nextcu(x->module, unit, &x->bias)))
		err = add_unit(x, unit);
	if (x->range_cnt)
		qsort(x->ranges, x->range_cnt, sizeof(*x->ranges), compare_ranges);
	return err;
}

/* libdw 0.188 knows only units that .debug_aranges lists, and clang does not write that section;
 * then every unit is asked, once. */
Dwarf_Die *dwarf_index_unit(struct dwarf_index *x, uint64_t address, Dwarf_Addr *bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(x->module, address, bias);
	size_t low = 0, high;

	if (unit || (!x->has_ranges && make_ranges(x)))
		return unit;
	*bias = x->bias;
	address -= x->bias;
	for (high = x->range_cnt; low < high;) { /* the first that starts behind address */
		size_t middle = low + (high - low) / 2;

		if (x->ranges[middle].start > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low && address < x->ranges[low - 1].end ? &x->ranges[low - 1].unit : NULL;
}

/* ---- walking --------------------------------------------------------------------------------- */

/* From an entry to the next one beside it. Without a pointer to that, what is inside is passed
 * over. */
static bool step_beside(struct dwarf_index *x, Dwarf_Die *die)
{
	Dwarf_Die from = *die;
	size_t passed;

	if (!may_go_on(x) || dwarf_siblingof(&from, die))
		return false;
	passed = (const char *)die->addr - (const char *)from.addr;
	x->steps += 1 + passed / BYTES_A_STEP;
	return true;
}

static bool step_inside(struct dwarf_index *x, Dwarf_Die *die, Dwarf_Die *child)
{
	x->steps++;
	return may_go_on(x) && !dwarf_child(die, child);
}

/* ---- the functions of a unit ----------------------------------------------------------------- */

static int add_function(struct dwarf_index *x, struct unit *u, Dwarf_Die *function)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(function, at, &base, &start, &end)) > 0) {
		x->steps++;
		if (u->cnt >= FUNCTION_RANGES_MAX || !may_go_on(x))
			return 0;
		if (!start || start >= end)
			continue;
		if (u->cnt == u->cap) {
			size_t cap = u->cap ? 2 * u->cap : 64;
			struct function_range *more =
				reallocarray(u->functions, cap, sizeof(*more));

			if (!more)
				return -ENOMEM;
			u->functions = more;
			u->cap = cap;
		}
		u->functions[u->cnt++] = (struct function_range){ start, end, *function };
	}
	return 0;
}

/* Functions may be in anything: a namespace, a class, another function. */
static int walk_unit(struct dwarf_index *x, struct unit *u, Dwarf_Die *unit)
{
	Dwarf_Die path[DEPTH_MAX];
	int depth = 0, err = 0;

	if (!step_inside(x, unit, &path[0]))
		return 0;
	while (depth >= 0 && !err) {
		Dwarf_Die *die = &path[depth];

		if (dwarf_tag(die) == DW_TAG_subprogram)
			err = add_function(x, u, die);
		if (depth + 1 < DEPTH_MAX && step_inside(x, die, &path[depth + 1])) {
			depth++;
			continue;
		}
		while (depth >= 0 && !step_beside(x, &path[depth]))
			depth--;
	}
	return err;
}

static int by_function_start(const void *a, const void *b)
{
	const struct function_range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	/* of functions that were folded into one the first in the unit is found */
	return x->function.addr > y->function.addr ? -1 : x->function.addr < y->function.addr;
}

static struct unit *get_unit(struct dwarf_index *x, Dwarf_Die *unit)
{
	size_t bucket = ((uintptr_t)unit->addr >> 4) % UNIT_BUCKETS;
	struct unit *u = x->units[bucket];

	while (u && u->addr != unit->addr)
		u = u->next;
	if (u)
		return u;
	if (x->function_cnt >= FUNCTION_RANGES_MAX)
		forget_units(x);
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	if (walk_unit(x, u, unit)) {
		free(u->functions);
		free(u);
		return NULL;
	}
	if (u->cnt)
		qsort(u->functions, u->cnt, sizeof(*u->functions), by_function_start);
	u->addr = unit->addr;
	u->next = x->units[bucket];
	x->units[bucket] = u;
	x->function_cnt += u->cnt;
	return u;
}

static const struct function_range *find_function(const struct unit *u, uint64_t address)
{
	size_t low = 0, high = u->cnt;

	while (low < high) { /* the first that starts behind address */
		size_t middle = low + (high - low) / 2;

		if (u->functions[middle].start > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low && address < u->functions[low - 1].end ? &u->functions[low - 1] : NULL;
}

/* ---- what is inlined in a function ----------------------------------------------------------- */

static bool has_addresses(Dwarf_Die *die)
{
	return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

static bool holds(struct dwarf_index *x, Dwarf_Die *die, uint64_t address)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while (may_go_on(x) && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		x->steps++;
		if (address >= start && address < end)
			return true;
	}
	return false;
}

/* True when the walk has to look inside. A block without addresses of its own can still hold some
 * that have. */
static bool may_hold(struct dwarf_index *x, Dwarf_Die *die, uint64_t address)
{
	switch (dwarf_tag(die)) {
	case DW_TAG_inlined_subroutine:
		return holds(x, die, address);
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_with_stmt:
		return !has_addresses(die) || holds(x, die, address);
	}
	return false;
}

/* The way from the function down to the innermost entry that holds address: path[0] is the
 * function. Its length. */
static int walk_function(struct dwarf_index *x, Dwarf_Die *function, uint64_t address,
			 Dwarf_Die *path)
{
	Dwarf_Die child;
	int depth = 0;
	bool more;

	path[0] = *function;
	more = step_inside(x, &path[0], &child);
	while (depth + 1 < DEPTH_MAX) {
		while (more && !may_hold(x, &child, address))
			more = step_beside(x, &child);
		if (more) {
			path[++depth] = child;
			more = step_inside(x, &path[depth], &child);
			continue;
		}
		/* nothing more here: what has no addresses was the wrong way, go on beside it */
		if (!depth || has_addresses(&path[depth]))
			break;
		child = path[depth--];
		more = step_beside(x, &child);
	}
	return depth + 1;
}

int dwarf_index_scopes(struct dwarf_index *x, Dwarf_Die *unit, uint64_t address, Dwarf_Die *dies,
		       int max)
{
	const struct function_range *function;
	struct unit *u = get_unit(x, unit);
	Dwarf_Die path[DEPTH_MAX];
	int len, cnt = 0;

	if (!u)
		return -ENOMEM;
	function = find_function(u, address);
	if (!function)
		return 0;
	len = walk_function(x, (Dwarf_Die *)&function->function, address, path);
	while (--len > 0 && cnt < max - 1)
		if (dwarf_tag(&path[len]) == DW_TAG_inlined_subroutine)
			dies[cnt++] = path[len];
	dies[cnt++] = function->function;
	return cnt;
}
