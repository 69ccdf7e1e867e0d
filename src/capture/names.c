// SPDX-License-Identifier: MIT
#include "capture/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/modules.h"
#include "capture/spaces.h"
#include "capture/symbols.h"
#include "memtrace/abi.h"

struct frames {
	struct names_frame *list;
	size_t cnt, cap;
};

static struct names_frame *frame_add(struct frames *f)
{
	if (f->cnt == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 32;
		struct names_frame *grown = realloc(f->list, cap * sizeof(*grown));

		if (!grown)
			return NULL;
		f->list = grown;
		f->cap = cap;
	}
	f->list[f->cnt] = (struct names_frame){};
	return &f->list[f->cnt++];
}

/* What to name: the call, which is before the address it returns to. Where a signal came in, that very
 * instruction; and the frame it returns through was not called by anyone. */
static uint64_t address_of(const uint64_t *pcs, uint32_t cnt, uint32_t i)
{
	bool exact = pcs[i] & MT_PC_EXACT || (i + 1 < cnt && pcs[i + 1] & MT_PC_EXACT);

	return MT_PC(pcs[i]) - !exact;
}

/* Code without a file, or in one that has no names of it. */
static void name_generated(struct names_frame *out, const struct space *space,
			   const struct module_id *id)
{
	out->symbol = space_name(space, out->address);
	if (out->symbol || !strncmp(id->path, "[anon", strlen("[anon")) ||
	    (id->path[0] == '/' && !module_has_file(id)))
		out->module = NAMES_JIT;
	else
		out->module = id->path;
}

static int add_generated(struct frames *f, const struct space *space,
			 const struct module_range *range, uint64_t address)
{
	struct names_frame *out = frame_add(f);

	if (!out)
		return -ENOMEM;
	out->address = out->offset = address;
	name_generated(out, space, &range->module->id);
	return 0;
}

static int add_named(struct frames *f, struct symbols *symbols, const struct space *space,
		     const struct module_range *range, pid_t pid, uint64_t address)
{
	const struct module_id *id = &range->module->id;
	const struct symbol_frame *found;
	int cnt;

	symbols_meet(symbols, range, pid);
	cnt = symbols_resolve(symbols, id, pid, module_file_offset(range, address), &found);
	if (cnt == 1 && !found[0].symbol && space_name(space, address))
		return add_generated(f, space, range, address);
	for (int i = 0; i < cnt; i++) {
		struct names_frame *out = frame_add(f);

		if (!out)
			return -ENOMEM;
		*out = (struct names_frame){
			.address = address,
			.symbol = found[i].symbol,
			.module = id->path,
			.file = found[i].file,
			.offset = found[i].address,
			.line = found[i].line,
			.inlined = found[i].inlined,
		};
	}
	return cnt < 0 ? cnt : 0;
}

/* A stack that a program made ends at a function's start, which nothing called; before it may be nothing
 * at all. */
static int add_made_root(struct frames *f, struct symbols *symbols, const struct space *space,
			 const struct module_range *range, pid_t pid, uint64_t address)
{
	const struct symbol_frame *found;
	int cnt = symbols_resolve(symbols, &range->module->id, pid,
				  module_file_offset(range, address), &found);

	if (cnt < 0 || found[cnt - 1].symbol)
		return add_named(f, symbols, space, range, pid, address);
	cnt = symbols_resolve(symbols, &range->module->id, pid,
			      module_file_offset(range, address + 1), &found);
	if (cnt > 0 && (!found[cnt - 1].symbol || found[cnt - 1].symbol_offset))
		cnt = 0;
	return cnt < 0 ? cnt : add_named(f, symbols, space, range, pid, address + (cnt > 0));
}

static int add_unknown(struct frames *f, uint64_t address)
{
	struct names_frame *out = frame_add(f);

	if (!out)
		return -ENOMEM;
	out->address = out->offset = address;
	return 0;
}

int names_of_stack(struct symbols *symbols, const struct space *space, pid_t pid, uint64_t time_ns,
		   const uint64_t *pcs, uint32_t cnt, bool by_chain, struct names_frame **frames)
{
	const struct modules *modules = space ? space_modules(space) : NULL;
	struct frames f = {};
	size_t mapped = 0; /* frames up to the last one in a mapping */
	int err = 0;

	for (uint32_t i = 0; i < cnt && !err; i++) {
		uint64_t address = address_of(pcs, cnt, i);
		const struct module_range *range =
			modules ? modules_find_at(modules, address, time_ns) : NULL;

		if (!range)
			err = add_unknown(&f, address);
		else if (!module_has_symbols(&range->module->id))
			err = add_generated(&f, space, range, address);
		else if (i && i + 1 == cnt)
			err = add_made_root(&f, symbols, space, range, pid, address);
		else
			err = add_named(&f, symbols, space, range, pid, address);
		if (range || !i)
			mapped = f.cnt;
	}
	if (err) {
		free(f.list);
		return err;
	}
	*frames = f.list;
	return by_chain && modules && modules->cnt ? mapped : f.cnt;
}
