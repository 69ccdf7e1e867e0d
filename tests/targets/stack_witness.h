/* SPDX-License-Identifier: MIT */
/*
 * stack_witness.h - what stack_witness.c leaves behind: one file for each image of a process that
 * allocated, "<pid>.<n>" in the directory MT_WITNESS names, n counted from 0.
 *
 * The file is the table itself, mapped and shared: it is complete whatever ends the process (_exit,
 * an exec, a signal). A word of a stack is a module's number and an address as the module's ELF file
 * has it: that of the call's last byte, not of the instruction after it; where a signal came in, that
 * of the instruction it interrupted.
 *
 *	word	| module: 16 | address: 48 |	leaf first
 */
#ifndef STACK_WITNESS_H
#define STACK_WITNESS_H

#include <stdint.h>

#define WITNESS_MAGIC 0x7373656e7469770aULL
#define WITNESS_FRAMES 126 /* the deepest stack of memtrace, less the frame of the witness itself */
#define WITNESS_MODULES 512
#define WITNESS_STACKS (1u << 16)
#define WITNESS_WORDS (1u << 22)
#define WITNESS_ADDRESS(word) ((word) & 0xffffffffffffULL)
#define WITNESS_MODULE(word) ((unsigned int)((word) >> 48))

struct witness_module {
	uint64_t map; /* the loader's record of it */
	char name[248]; /* as the loader has it, the program's path; empty: code in no module */
};

struct witness_stack {
	uint64_t hash;
	uint64_t blocks, bytes; /* blocks 0: an empty slot */
	uint32_t first;		/* index of its words */
	uint16_t cnt;
	uint16_t cut; /* there were more frames */
};

struct witness_table {
	uint64_t magic;
	int32_t pid;
	uint32_t module_cnt; /* number 0 is no module */
	uint32_t stack_cnt, word_cnt;
	uint64_t lost; /* allocations there was no room for */
	struct witness_module modules[WITNESS_MODULES];
	struct witness_stack stacks[WITNESS_STACKS]; /* open addressing */
	uint64_t words[WITNESS_WORDS];
};

#endif
