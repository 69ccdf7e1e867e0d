// SPDX-License-Identifier: MIT
#include "preload/lookup.h"

#include <elf.h>
#include <link.h>

#define VERSION_HIDDEN 0x8000 /* in .gnu.version: only for those who ask for that version */

/* The tables of one object. */
struct tables {
	uintptr_t base;
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint16_t *versions;
	const uint32_t *gnu_hash;
	const uint32_t *sysv_hash;
};

enum scope { SCOPE_NEXT, SCOPE_BEFORE, SCOPE_OBJECT };

struct search {
	struct definition *definitions;
	size_t cnt;
	enum scope scope;
	uintptr_t object; /* SCOPE_OBJECT */
	bool past_self;
};

/* glibc writes addresses over the offsets in the dynamic section, musl does not. */
static const void *pointer(uintptr_t base, ElfW(Addr) value)
{
	return (const void *)(value < base ? base + value : value);
}

static bool read_tables(const struct dl_phdr_info *info, struct tables *tables)
{
	const ElfW(Dyn) *dynamic = NULL;

	*tables = (struct tables){ .base = info->dlpi_addr };
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		const void *at = pointer(info->dlpi_addr, dynamic->d_un.d_ptr);

		switch (dynamic->d_tag) {
		case DT_SYMTAB:
			tables->symbols = at;
			break;
		case DT_STRTAB:
			tables->strings = at;
			break;
		case DT_VERSYM:
			tables->versions = at;
			break;
		case DT_GNU_HASH:
			tables->gnu_hash = at;
			break;
		case DT_HASH:
			tables->sysv_hash = at;
			break;
		}
	}
	return tables->symbols && tables->strings && (tables->gnu_hash || tables->sysv_hash);
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static bool is_definition(const struct tables *tables, uint32_t index, const char *name)
{
	const ElfW(Sym) *symbol = &tables->symbols[index];
	unsigned int type = symbol->st_info & 0xf;

	return symbol->st_shndx != SHN_UNDEF && symbol->st_value &&
	       (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC) &&
	       !(tables->versions && tables->versions[index] & VERSION_HIDDEN) &&
	       same(tables->strings + symbol->st_name, name);
}

static const ElfW(Sym) * find_gnu(const struct tables *tables, const char *name)
{
	const uint32_t *head =
		tables->gnu_hash; /* buckets, first symbol, bloom words, bloom shift */
	uint32_t bucket_cnt = head[0], first = head[1], bloom_cnt = head[2], shift = head[3];
	const ElfW(Addr) *bloom = (const void *)(head + 4);
	const uint32_t *buckets = (const void *)(bloom + bloom_cnt);
	const uint32_t *chain = buckets + bucket_cnt;
	const unsigned int bits = 8 * sizeof(ElfW(Addr));
	uint32_t hash = 5381, index;
	ElfW(Addr) word;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	if (!bucket_cnt || !bloom_cnt)
		return NULL;
	word = bloom[hash / bits % bloom_cnt];
	if (!(word >> hash % bits & word >> (hash >> shift) % bits & 1))
		return NULL;
	index = buckets[hash % bucket_cnt];
	if (index < first)
		return NULL;
	for (;; index++) {
		uint32_t other = chain[index - first];

		if ((other | 1) == (hash | 1) && is_definition(tables, index, name))
			return &tables->symbols[index];
		if (other & 1)
			return NULL;
	}
}

static const ElfW(Sym) * find_sysv(const struct tables *tables, const char *name)
{
	const uint32_t *head = tables->sysv_hash; /* buckets, symbols */
	const uint32_t *buckets = head + 2, *chain = buckets + head[0];
	uint32_t hash = 0;

	for (const char *c = name; *c; c++) {
		hash = (hash << 4) + (unsigned char)*c;
		hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
	}
	if (!head[0])
		return NULL;
	for (uint32_t i = buckets[hash % head[0]]; i; i = chain[i]) {
		if (is_definition(tables, i, name))
			return &tables->symbols[i];
	}
	return NULL;
}

static void *find(const struct tables *tables, const char *name)
{
	const ElfW(Sym) *symbol =
		tables->gnu_hash ? find_gnu(tables, name) : find_sysv(tables, name);
	void *address;

	if (!symbol)
		return NULL;
	address = (void *)(tables->base + symbol->st_value);
	if ((symbol->st_info & 0xf) == STT_GNU_IFUNC)
		address = ((void *(*)(void))address)();
	return address;
}

/* Is this the object that the code here is part of? */
static bool is_self(const struct dl_phdr_info *info)
{
	uintptr_t here = (uintptr_t)is_self;

	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD &&
		    here - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
			return true;
	}
	return false;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;
	uintptr_t object = (uintptr_t)info->dlpi_phdr;
	struct tables tables;

	(void)size;
	if (is_self(info)) {
		search->past_self = true;
		return search->scope == SCOPE_BEFORE;
	}
	if (search->scope == SCOPE_NEXT && !search->past_self)
		return 0;
	if (search->scope == SCOPE_OBJECT && search->object != object)
		return 0;
	if (!read_tables(info, &tables))
		return 0;
	if (search->scope == SCOPE_BEFORE)
		tables.versions = NULL; /* programs may ask for a version that is hidden to others */
	for (size_t i = 0; i < search->cnt; i++) {
		struct definition *definition = &search->definitions[i];

		if (definition->address)
			continue;
		definition->address = find(&tables, definition->name);
		if (definition->address)
			definition->object = object;
	}
	return 0;
}

void lookup_next(struct definition *definitions, size_t cnt)
{
	struct search search = { .definitions = definitions, .cnt = cnt, .scope = SCOPE_NEXT };

	dl_iterate_phdr(visit, &search);
}

bool lookup_is_first(const char *name)
{
	struct definition definition = { .name = name };
	struct search search = { .definitions = &definition, .cnt = 1, .scope = SCOPE_BEFORE };

	dl_iterate_phdr(visit, &search);
	return !definition.address;
}

bool lookup_defines(uintptr_t object, const char *name)
{
	struct definition definition = { .name = name };
	struct search search = {
		.definitions = &definition,
		.cnt = 1,
		.scope = SCOPE_OBJECT,
		.object = object,
	};

	dl_iterate_phdr(visit, &search);
	return definition.address;
}
