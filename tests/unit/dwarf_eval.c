// SPDX-License-Identifier: MIT
#include "dwarf_eval.h"

#include <dwarf.h>
#include <stddef.h>

#define STACK_MAX 32
#define STEPS_MAX 1000

enum { FP = 6, SP = 7, PC = 16 };

struct eval {
	const struct dwarf_machine *machine;
	const Dwarf_Op *ops;
	size_t op_cnt, at;
	uint64_t cfa;
	uint64_t stack[STACK_MAX];
	unsigned depth;
	bool failed;
	bool is_value;	  /* the top is the value, not its address */
	bool is_register; /* the top is a register's number */
};

/* Addresses and values look alike: multiples of 8 above all stack pointers, within user space. */
uint64_t dwarf_machine_word(const struct dwarf_machine *m, uint64_t addr)
{
	uint64_t x = (addr ^ m->seed) * 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 31) * 0xd6e8feb86659fd93ULL;
	return (1ULL << 44) + ((x >> 20) & ~7ULL);
}

static void push(struct eval *e, uint64_t value)
{
	if (e->depth == STACK_MAX)
		e->failed = true;
	else
		e->stack[e->depth++] = value;
}

static uint64_t pop(struct eval *e)
{
	if (!e->depth) {
		e->failed = true;
		return 0;
	}
	return e->stack[--e->depth];
}

static uint64_t reg(struct eval *e, uint64_t number)
{
	if (number >= DWARF_EVAL_REGS) {
		e->failed = true;
		return 0;
	}
	return e->machine->regs[number];
}

static uint64_t load(struct eval *e, uint64_t addr, uint64_t size)
{
	uint64_t word = dwarf_machine_word(e->machine, addr & ~7ULL);

	if (size > 8 || (addr & 7) + size > 8) {
		e->failed = true;
		return 0;
	}
	word >>= 8 * (addr & 7);
	return size == 8 ? word : word & ((1ULL << 8 * size) - 1);
}

static uint64_t binary(struct eval *e, uint8_t atom, uint64_t a, uint64_t b)
{
	switch (atom) {
	case DW_OP_and:
		return a & b;
	case DW_OP_or:
		return a | b;
	case DW_OP_xor:
		return a ^ b;
	case DW_OP_plus:
		return a + b;
	case DW_OP_minus:
		return a - b;
	case DW_OP_mul:
		return a * b;
	case DW_OP_div:
		e->failed |= !b;
		return b ? (uint64_t)((int64_t)a / (int64_t)b) : 0;
	case DW_OP_mod:
		e->failed |= !b;
		return b ? a % b : 0;
	case DW_OP_shl:
		return b < 64 ? a << b : 0;
	case DW_OP_shr:
		return b < 64 ? a >> b : 0;
	case DW_OP_shra:
		return (uint64_t)((int64_t)a >> (b < 64 ? b : 63));
	case DW_OP_eq:
		return a == b;
	case DW_OP_ne:
		return a != b;
	case DW_OP_ge:
		return (int64_t)a >= (int64_t)b;
	case DW_OP_gt:
		return (int64_t)a > (int64_t)b;
	case DW_OP_le:
		return (int64_t)a <= (int64_t)b;
	case DW_OP_lt:
		return (int64_t)a < (int64_t)b;
	default:
		e->failed = true;
		return 0;
	}
}

/* To the operation at the byte that op's operand leads to. */
static void jump(struct eval *e, const Dwarf_Op *op)
{
	Dwarf_Word to = op->offset + 3 + op->number;

	for (size_t i = 0; i < e->op_cnt; i++)
		if (e->ops[i].offset == to) {
			e->at = i;
			return;
		}
	e->failed = true;
}

static void shuffle(struct eval *e, const Dwarf_Op *op)
{
	uint64_t a = pop(e), b, c;

	switch (op->atom) {
	case DW_OP_drop:
		break;
	case DW_OP_dup:
		push(e, a);
		push(e, a);
		break;
	case DW_OP_swap:
		b = pop(e);
		push(e, a);
		push(e, b);
		break;
	case DW_OP_over:
		b = pop(e);
		push(e, b);
		push(e, a);
		push(e, b);
		break;
	case DW_OP_rot:
		b = pop(e);
		c = pop(e);
		push(e, a);
		push(e, c);
		push(e, b);
		break;
	}
}

static void step(struct eval *e, const Dwarf_Op *op)
{
	uint64_t a, b;

	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
		push(e, op->atom - DW_OP_lit0);
		return;
	}
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		push(e, reg(e, op->atom - DW_OP_breg0) + op->number);
		return;
	}
	if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31) {
		push(e, op->atom - DW_OP_reg0);
		e->is_register = true;
		return;
	}
	switch (op->atom) {
	case DW_OP_nop:
		break;
	case DW_OP_bregx:
		push(e, reg(e, op->number) + op->number2);
		break;
	case DW_OP_regx:
		push(e, op->number);
		e->is_register = true;
		break;
	case DW_OP_addr:
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		push(e, op->number); /* libdw has extended the sign */
		break;
	case DW_OP_call_frame_cfa:
		push(e, e->cfa);
		break;
	case DW_OP_stack_value:
		e->is_value = true;
		break;
	case DW_OP_deref:
		push(e, load(e, pop(e), 8));
		break;
	case DW_OP_deref_size:
		push(e, load(e, pop(e), op->number));
		break;
	case DW_OP_plus_uconst:
		push(e, pop(e) + op->number);
		break;
	case DW_OP_neg:
		push(e, -pop(e));
		break;
	case DW_OP_not:
		push(e, ~pop(e));
		break;
	case DW_OP_abs:
		a = pop(e);
		push(e, (int64_t)a < 0 ? -a : a);
		break;
	case DW_OP_pick:
		if (op->number < e->depth)
			push(e, e->stack[e->depth - 1 - op->number]);
		else
			e->failed = true;
		break;
	case DW_OP_dup:
	case DW_OP_drop:
	case DW_OP_swap:
	case DW_OP_over:
	case DW_OP_rot:
		shuffle(e, op);
		break;
	case DW_OP_skip:
		jump(e, op);
		break;
	case DW_OP_bra:
		if (pop(e))
			jump(e, op);
		break;
	default:
		b = pop(e);
		a = pop(e);
		push(e, binary(e, op->atom, a, b));
	}
}

/* The top of the stack after all operations. */
static uint64_t run(struct eval *e)
{
	for (unsigned steps = 0; e->at < e->op_cnt && !e->failed; steps++) {
		const Dwarf_Op *op = &e->ops[e->at++];

		step(e, op);
		if (steps == STEPS_MAX)
			e->failed = true;
	}
	return pop(e);
}

static bool eval_register(const struct dwarf_machine *m, Dwarf_Frame *frame, uint64_t cfa,
			  int number, enum dwarf_value *is, uint64_t *value)
{
	struct eval e = { .machine = m, .cfa = cfa };
	Dwarf_Op mem[3], *ops;
	uint64_t top;

	if (dwarf_frame_register(frame, number, mem, &ops, &e.op_cnt))
		return false;
	if (!e.op_cnt) {
		*is = ops == mem ? DWARF_UNDEFINED : DWARF_SAME;
		return true;
	}
	e.ops = ops;
	top = run(&e);
	*value = e.is_register ? reg(&e, top) : e.is_value ? top : load(&e, top, 8);
	*is = DWARF_VALUE;
	return !e.failed;
}

bool dwarf_eval_caller(const struct dwarf_machine *m, Dwarf_Frame *frame,
		       struct dwarf_caller *caller)
{
	struct eval e = { .machine = m };
	enum dwarf_value sp_is;
	uint64_t sp;
	Dwarf_Op *ops;

	*caller = (struct dwarf_caller){ 0 };
	if (dwarf_frame_info(frame, NULL, NULL, &caller->signal) != PC ||
	    dwarf_frame_cfa(frame, &ops, &e.op_cnt))
		return false;
	e.ops = ops;
	caller->cfa = run(&e);
	if (e.failed || !eval_register(m, frame, caller->cfa, PC, &caller->pc_is, &caller->pc) ||
	    !eval_register(m, frame, caller->cfa, FP, &caller->fp_is, &caller->fp) ||
	    !eval_register(m, frame, caller->cfa, SP, &sp_is, &sp))
		return false;
	/* the caller's sp is the CFA unless a rule says otherwise */
	if (sp_is == DWARF_VALUE)
		caller->cfa = sp;
	return true;
}
