// SPDX-License-Identifier: MIT
#include "capture/symbol_index.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>

#define SYMBOLS_MAX (1 << 22) /* a file that has more, or says so, has its first ones */

struct symbol {
	uint64_t start, end; /* without a size: end is that of the section, at first */
	uint32_t number;
	uint8_t binding; /* higher is more global */
	bool sized;
};

struct symbols_found {
	struct symbol *list;
	size_t cnt, cap;
};

static uint8_t binding_of(const GElf_Sym *sym)
{
	switch (GELF_ST_BIND(sym->st_info)) {
	case STB_GLOBAL:
	case STB_GNU_UNIQUE:
		return 3;
	case STB_WEAK:
		return 2;
	case STB_LOCAL:
		return 1;
	}
	return 0;
}

static bool is_of_interest(const GElf_Sym *sym, const char *name, GElf_Word section)
{
	int type = GELF_ST_TYPE(sym->st_info);

	if (!name || !*name || section == SHN_UNDEF || section == SHN_ABS)
		return false;
	/* marks between code and data on arm64 */
	if (!sym->st_size && name[0] == '$' && (name[1] == 'x' || name[1] == 'd'))
		return false;
	return type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE ||
	       type == STT_OBJECT;
}

static uint64_t section_end(Elf *elf, GElf_Word section, Dwarf_Addr bias)
{
	Elf_Scn *scn = elf ? elf_getscn(elf, section) : NULL;
	GElf_Shdr shdr;

	return scn && gelf_getshdr(scn, &shdr) ? shdr.sh_addr + shdr.sh_size + bias : 0;
}

static int add(struct symbols_found *found, const struct symbol *symbol)
{
	if (found->cnt == found->cap) {
		size_t cap = found->cap ? 2 * found->cap : 1024;
		struct symbol *grown = reallocarray(found->list, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		found->list = grown;
		found->cap = cap;
	}
	found->list[found->cnt++] = *symbol;
	return 0;
}

static int look(struct symbols_found *found, Dwfl_Module *module, int number)
{
	struct symbol symbol = { .number = number };
	Dwarf_Addr bias = 0;
	GElf_Word section;
	const char *name;
	GElf_Addr addr;
	GElf_Sym sym;
	Elf *elf;

	name = dwfl_module_getsym_info(module, number, &sym, &addr, &section, &elf, &bias);
	if (!name || !is_of_interest(&sym, name, section))
		return 0;
	symbol.start = addr;
	symbol.sized = sym.st_size;
	symbol.end = symbol.sized ? addr + sym.st_size : section_end(elf, section, bias);
	symbol.binding = binding_of(&sym);
	return symbol.end > symbol.start ? add(found, &symbol) : 0;
}

/* By precedence, for symbols that begin at one place: labels, then the larger, the more local, the
 * later in the table. */
static int by_start(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->sized != y->sized)
		return x->sized ? 1 : -1;
	if (x->end != y->end)
		return x->end > y->end ? -1 : 1;
	if (x->binding != y->binding)
		return x->binding < y->binding ? -1 : 1;
	return x->number > y->number ? -1 : x->number < y->number;
}

/* Labels end where the next symbol begins, and are none inside of what has a size. */
static void bound_labels(struct symbols_found *found)
{
	uint64_t covered = 0;

	for (size_t i = 0, next; i < found->cnt; i = next) {
		uint64_t start = found->list[i].start;

		for (next = i; next < found->cnt && found->list[next].start == start; next++)
			if (found->list[next].sized && found->list[next].end > covered)
				covered = found->list[next].end;
		for (size_t j = i; j < next; j++) {
			struct symbol *label = &found->list[j];

			if (label->sized)
				continue;
			if (covered > start)
				label->end = start;
			else if (next < found->cnt && found->list[next].start < label->end)
				label->end = found->list[next].start;
		}
	}
}

int symbol_index_make(struct symbol_index *index, Dwfl_Module *module)
{
	int cnt = dwfl_module_getsymtab(module), err = 0;
	struct overlap_range *ranges = NULL;
	struct symbols_found found = {};

	for (int i = 0; i < cnt && i < SYMBOLS_MAX && !err; i++)
		err = look(&found, module, i);
	if (!err && found.cnt) {
		qsort(found.list, found.cnt, sizeof(*found.list), by_start);
		bound_labels(&found);
		ranges = calloc(found.cnt, sizeof(*ranges));
		err = ranges ? 0 : -ENOMEM;
	}
	for (size_t i = 0; ranges && i < found.cnt; i++)
		ranges[i] = (struct overlap_range){ found.list[i].start, found.list[i].end,
						    found.list[i].number };
	if (ranges)
		err = overlap_resolve(ranges, found.cnt, &index->ranges, &index->cnt);
	free(ranges);
	free(found.list);
	return err;
}

void symbol_index_fini(struct symbol_index *index)
{
	free(index->ranges);
	*index = (struct symbol_index){};
}

const char *symbol_index_find(const struct symbol_index *index, Dwfl_Module *module,
			      uint64_t address, uint64_t *offset)
{
	const struct overlap_range *range = overlap_find(index->ranges, index->cnt, address);
	const char *name;
	GElf_Addr start;
	GElf_Sym sym;

	if (!range)
		return NULL;
	name = dwfl_module_getsym_info(module, range->id, &sym, &start, NULL, NULL, NULL);
	if (!name || start > address)
		return NULL;
	*offset = address - start;
	return name;
}
