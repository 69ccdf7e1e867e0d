/* SPDX-License-Identifier: MIT */
/*
 * cfi_program.h - runs the call frame instructions of one function, a range of addresses at a time.
 *
 * Of all registers only those that a walk needs are followed: the CFA, stack pointer, frame pointer
 * and return address. Instructions come from files of unknown origin: each read is bounded, states
 * are remembered to a fixed depth, and every instruction takes one from a budget that the caller
 * shares among all functions of a file.
 */
#ifndef CAPTURE_CFI_PROGRAM_H
#define CAPTURE_CFI_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CFI_REMEMBER_MAX 16 /* compilers nest once or twice */

#if defined(__aarch64__)
enum { CFI_REG_FP = 29, CFI_REG_SP = 31, CFI_REG_RETURN = 30 };
#else
enum { CFI_REG_FP = 6, CFI_REG_SP = 7, CFI_REG_RETURN = 16 };
#endif

enum cfi_how {
	CFI_UNSET, /* nothing was said */
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_OFFSET,	/* CFA: reg + offset; a register: saved at CFA + offset */
	CFI_VAL_OFFSET, /* is CFA + offset */
	CFI_REGISTER,	/* is in reg */
	CFI_EXPRESSION, /* saved at the expression's value; CFA: is its value */
	CFI_VAL_EXPRESSION,
};

struct cfi_where {
	enum cfi_how how;
	uint64_t reg;
	int64_t offset;
	const uint8_t *expr; /* into the section */
	size_t expr_len;
};

struct cfi_state {
	struct cfi_where cfa, sp, fp, pc;
};

/* A cursor over bytes; bad is set, and stays, by a read that does not fit. */
struct cfi_reader {
	const uint8_t *at, *end;
	bool bad;
};

uint64_t cfi_read_uint(struct cfi_reader *r, unsigned bytes); /* little endian; up to 8 */
uint64_t cfi_read_uleb(struct cfi_reader *r);
int64_t cfi_read_sleb(struct cfi_reader *r);

/* Pointers as DW_EH_PE_* encode them. base is the address of the section's first byte (at begin);
 * false for encodings that need more than that, and for what does not fit. */
bool cfi_read_pointer(struct cfi_reader *r, uint8_t encoding, const uint8_t *begin, uint64_t base,
		      uint64_t *value);

struct cfi_program {
	struct cfi_reader code;
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding; /* of DW_CFA_set_loc's operand */
	const uint8_t *section;
	uint64_t section_vaddr;
	const struct cfi_state *initial; /* NULL while the CIE's own instructions run */
	uint64_t *budget;

	uint64_t pc, next_pc; /* state holds for these; next_pc is UINT64_MAX after the last one */
	struct cfi_state state;
	unsigned remembered_cnt;
	struct cfi_state remembered[CFI_REMEMBER_MAX];
};

/*
 * Runs up to the next change of address. 1: state holds from pc to next_pc, and there is more to
 * run; 0: from pc on, to the function's end. -EINVAL: no sense from pc on. -E2BIG: no budget left.
 * The first pc, and all fields above it, are the caller's to set.
 */
int cfi_program_run(struct cfi_program *program);

/* The rule for one state, as unwind.h packs it. */
uint32_t cfi_state_rule(const struct cfi_state *state);

#endif
