/* SPDX-License-Identifier: MIT */
/*
 * dwarf_index.h - what is at an address in a module's debug information: which unit, which
 * function, which functions inlined there.
 *
 * A unit is walked once, when an address of it is first asked for, and its functions are kept
 * sorted by address; inlined functions are then looked for in the one function alone. (libdw's own
 * search walks the whole unit for each address.) How many functions are kept, how deep a walk goes
 * and how much is walked for one file in all is bounded: what is beyond has no inlined functions.
 */
#ifndef CAPTURE_DWARF_INDEX_H
#define CAPTURE_DWARF_INDEX_H

#include <elfutils/libdwfl.h>
#include <stdint.h>

struct dwarf_index;

/* module is borrowed. NULL when memory ran out. */
struct dwarf_index *dwarf_index_new(Dwfl_Module *module);
void dwarf_index_free(struct dwarf_index *index); /* takes NULL */

/* The unit with the code at address, or NULL; *bias is what addresses of the module are more than
 * those in its debug information. It stays valid as long as the index. */
Dwarf_Die *dwarf_index_unit(struct dwarf_index *index, uint64_t address, Dwarf_Addr *bias);

/*
 * The function at address (less the bias) in that unit, and what was inlined there: dies[0] is the
 * innermost inlined function, dies[returned - 1] the function itself. At most max, the innermost
 * ones, and then the function. 0 when nothing is known, -ENOMEM.
 */
int dwarf_index_scopes(struct dwarf_index *index, Dwarf_Die *unit, uint64_t address,
		       Dwarf_Die *dies, int max);

#endif
