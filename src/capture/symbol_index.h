/* SPDX-License-Identifier: MIT */
/*
 * symbol_index.h - the symbols of a module by address: from one look through its tables to a binary
 * search, where libdwfl goes through all of them for each address.
 *
 * The tables are those libdwfl finds: .symtab or .dynsym of the file, of its separate debug file,
 * and of .gnu_debugdata. Of symbols that hold an address the one that begins last has it, of equal
 * ones the smaller, then the more global, then the first. A symbol without a size (a label of
 * assembly) reaches to the next symbol or the end of its section, and only from where no sized one
 * does.
 */
#ifndef CAPTURE_SYMBOL_INDEX_H
#define CAPTURE_SYMBOL_INDEX_H

#include <elfutils/libdwfl.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/overlap.h"

struct symbol_index {
	struct overlap_range *ranges; /* id: number of the symbol in module */
	size_t cnt;
};

/* 0 or -ENOMEM; a zeroed index is an empty one. */
int symbol_index_make(struct symbol_index *index, Dwfl_Module *module);
void symbol_index_fini(struct symbol_index *index);

/* The name at an address of the module, the module's own string, and how far it is from the
 * symbol's beginning; NULL when there is none. */
const char *symbol_index_find(const struct symbol_index *index, Dwfl_Module *module,
			      uint64_t address, uint64_t *offset);

#endif
