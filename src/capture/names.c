// SPDX-License-Identifier: MIT
#include "capture/names.h"

#include <errno.h>
#include <stdlib.h>

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

static int add_named(struct frames *f, struct symbols *symbols, const struct module_range *range,
		     pid_t pid, uint64_t address)
{
	const struct symbol_frame *found;
	int cnt;

	cnt = symbols_resolve(symbols, &range->module->id, pid, module_file_offset(range, address),
			      &found);
	for (int i = 0; i < cnt; i++) {
		struct names_frame *out = frame_add(f);

		if (!out)
			return -ENOMEM;
		*out = (struct names_frame){
			.address = address,
			.symbol = found[i].symbol,
			.module = range->module->id.path,
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
static int add_made_root(struct frames *f, struct symbols *symbols, const struct module_range *range,
			 pid_t pid, uint64_t address)
{
	const struct symbol_frame *found;
	int cnt = symbols_resolve(symbols, &range->module->id, pid,
				  module_file_offset(range, address), &found);

	if (cnt < 0 || found[cnt - 1].symbol)
		return add_named(f, symbols, range, pid, address);
	cnt = symbols_resolve(symbols, &range->module->id, pid,
			      module_file_offset(range, address + 1), &found);
	if (cnt > 0 && (!found[cnt - 1].symbol || found[cnt - 1].symbol_offset))
		cnt = 0;
	return cnt < 0 ? cnt : add_named(f, symbols, range, pid, address + (cnt > 0));
}

int names_of_stack(struct symbols *symbols, const struct space *space, pid_t pid, uint64_t time_ns,
		   const uint64_t *pcs, uint32_t cnt, struct names_frame **frames)
{
	const struct modules *modules = space ? space_modules(space) : NULL;
	struct frames f = {};
	int err = 0;

	for (uint32_t i = 0; i < cnt && !err; i++) {
		uint64_t address = address_of(pcs, cnt, i);
		const struct module_range *range =
			modules ? modules_find_at(modules, address, time_ns) : NULL;
		struct names_frame *out;

		if (range) {
			err = i && i + 1 == cnt ? add_made_root(&f, symbols, range, pid, address) :
						  add_named(&f, symbols, range, pid, address);
			continue;
		}
		if (i && modules && modules->cnt)
			break;
		out = frame_add(&f);
		if (!out) {
			err = -ENOMEM;
			break;
		}
		out->address = out->offset = address;
	}
	if (err) {
		free(f.list);
		return err;
	}
	*frames = f.list;
	return f.cnt;
}
