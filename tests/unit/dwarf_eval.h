/* SPDX-License-Identifier: MIT */
/*
 * dwarf_eval.h - a frame's caller by whole DWARF expressions: the truth that rows are held against.
 *
 * Nothing of ours is in it: libdw says what the rules at an address are, and a stack machine
 * evaluates whatever operations it names. What the machine does not know fails loudly.
 */
#ifndef DWARF_EVAL_H
#define DWARF_EVAL_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#define DWARF_EVAL_REGS 17 /* x86-64, as DWARF numbers them; 16 is the pc */

/* The registers of a thread, and its memory: a word at each address, any address. */
struct dwarf_machine {
	uint64_t regs[DWARF_EVAL_REGS];
	uint64_t seed;
};

uint64_t dwarf_machine_word(const struct dwarf_machine *m, uint64_t addr);

enum dwarf_value { DWARF_VALUE, DWARF_SAME, DWARF_UNDEFINED, DWARF_UNKNOWN };

struct dwarf_caller {
	uint64_t cfa;
	enum dwarf_value pc_is, fp_is;
	uint64_t pc, fp;
	bool signal;
};

/* false when an operation is not known to the machine, or reads what expressions of frames cannot.
 */
bool dwarf_eval_caller(const struct dwarf_machine *m, Dwarf_Frame *frame,
		       struct dwarf_caller *caller);

#endif
