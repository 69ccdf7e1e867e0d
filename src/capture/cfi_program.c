// SPDX-License-Identifier: MIT
#include "capture/cfi_program.h"

#include <dwarf.h>
#include <errno.h>

uint64_t cfi_read_uint(struct cfi_reader *r, unsigned bytes)
{
	uint64_t value = 0;

	if ((size_t)(r->end - r->at) < bytes) {
		r->bad = true;
		r->at = r->end;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)*r->at++ << (8 * i);
	return value;
}

/* Bits beyond 64 are dropped; a number may have any length that fits the section. */
static uint64_t read_leb(struct cfi_reader *r, bool is_signed)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (r->at == r->end) {
			r->bad = true;
			return 0;
		}
		byte = *r->at++;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += shift < 64 ? 7 : 0;
	} while (byte & 0x80);
	if (is_signed && byte & 0x40 && shift < 64)
		value |= UINT64_MAX << shift;
	return value;
}

uint64_t cfi_read_uleb(struct cfi_reader *r)
{
	return read_leb(r, false);
}

int64_t cfi_read_sleb(struct cfi_reader *r)
{
	return (int64_t)read_leb(r, true);
}

bool cfi_read_pointer(struct cfi_reader *r, uint8_t encoding, const uint8_t *begin, uint64_t base,
		      uint64_t *value)
{
	uint64_t here = base + (uint64_t)(r->at - begin), read;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		read = cfi_read_uint(r, 8);
		break;
	case DW_EH_PE_udata2:
		read = cfi_read_uint(r, 2);
		break;
	case DW_EH_PE_udata4:
		read = cfi_read_uint(r, 4);
		break;
	case DW_EH_PE_sdata2:
		read = (uint64_t)(int16_t)cfi_read_uint(r, 2);
		break;
	case DW_EH_PE_sdata4:
		read = (uint64_t)(int32_t)cfi_read_uint(r, 4);
		break;
	case DW_EH_PE_uleb128:
		read = cfi_read_uleb(r);
		break;
	case DW_EH_PE_sleb128:
		read = (uint64_t)cfi_read_sleb(r);
		break;
	default:
		return false;
	}
	if (r->bad)
		return false;
	switch (encoding & 0xf0) {
	case DW_EH_PE_absptr:
		*value = read;
		return true;
	case DW_EH_PE_pcrel:
		*value = here + read;
		return true;
	default:
		return false;
	}
}

static struct cfi_where *column(struct cfi_state *state, uint64_t reg)
{
	switch (reg) {
	case CFI_REG_SP:
		return &state->sp;
	case CFI_REG_FP:
		return &state->fp;
	case CFI_REG_RETURN:
		return &state->pc;
	default:
		return NULL;
	}
}

static void set(struct cfi_program *p, uint64_t reg, struct cfi_where where)
{
	struct cfi_where *to = column(&p->state, reg);

	if (to)
		*to = where;
}

static void restore(struct cfi_program *p, uint64_t reg)
{
	const struct cfi_where *from;

	if (!p->initial) {
		p->code.bad = true;
		return;
	}
	from = column((struct cfi_state *)p->initial, reg);
	if (from)
		set(p, reg, *from);
}

static int64_t factored(const struct cfi_program *p, uint64_t operand)
{
	return (int64_t)(operand * (uint64_t)p->data_align);
}

static struct cfi_where read_expression(struct cfi_reader *r, enum cfi_how how)
{
	struct cfi_where where = { .how = how };

	where.expr_len = cfi_read_uleb(r);
	if (r->bad || where.expr_len > (size_t)(r->end - r->at)) {
		r->bad = true;
		where.expr_len = 0;
		return where;
	}
	where.expr = r->at;
	r->at += where.expr_len;
	return where;
}

/* A new CFA offset is only of use where the CFA is a register and an offset. */
static void set_cfa_offset(struct cfi_program *p, int64_t offset)
{
	if (p->state.cfa.how != CFI_OFFSET)
		p->code.bad = true;
	p->state.cfa.offset = offset;
}

static void run_cfa(struct cfi_program *p, uint8_t op)
{
	struct cfi_reader *r = &p->code;
	struct cfi_where *cfa = &p->state.cfa;
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = cfi_read_uleb(r);
		*cfa = (struct cfi_where){ CFI_OFFSET, reg, (int64_t)cfi_read_uleb(r), NULL, 0 };
		break;
	case DW_CFA_def_cfa_sf:
		reg = cfi_read_uleb(r);
		*cfa = (struct cfi_where){ CFI_OFFSET, reg, factored(p, (uint64_t)cfi_read_sleb(r)),
					   NULL, 0 };
		break;
	case DW_CFA_def_cfa_register:
		cfa->reg = cfi_read_uleb(r);
		r->bad |= cfa->how != CFI_OFFSET;
		break;
	case DW_CFA_def_cfa_offset:
		set_cfa_offset(p, (int64_t)cfi_read_uleb(r));
		break;
	case DW_CFA_def_cfa_offset_sf:
		set_cfa_offset(p, factored(p, (uint64_t)cfi_read_sleb(r)));
		break;
	case DW_CFA_def_cfa_expression:
		*cfa = read_expression(r, CFI_EXPRESSION);
		break;
	}
}

static void run_register(struct cfi_program *p, uint8_t op)
{
	struct cfi_reader *r = &p->code;
	struct cfi_where where = { 0 };
	uint64_t reg = cfi_read_uleb(r);

	switch (op) {
	case DW_CFA_offset_extended:
		where.how = CFI_OFFSET;
		where.offset = factored(p, cfi_read_uleb(r));
		break;
	case DW_CFA_offset_extended_sf:
		where.how = CFI_OFFSET;
		where.offset = factored(p, (uint64_t)cfi_read_sleb(r));
		break;
	case DW_CFA_GNU_negative_offset_extended:
		where.how = CFI_OFFSET;
		where.offset = factored(p, -cfi_read_uleb(r));
		break;
	case DW_CFA_val_offset:
		where.how = CFI_VAL_OFFSET;
		where.offset = factored(p, cfi_read_uleb(r));
		break;
	case DW_CFA_val_offset_sf:
		where.how = CFI_VAL_OFFSET;
		where.offset = factored(p, (uint64_t)cfi_read_sleb(r));
		break;
	case DW_CFA_undefined:
		where.how = CFI_UNDEFINED;
		break;
	case DW_CFA_same_value:
		where.how = CFI_SAME;
		break;
	case DW_CFA_register:
		where.how = CFI_REGISTER;
		where.reg = cfi_read_uleb(r);
		break;
	case DW_CFA_expression:
		where = read_expression(r, CFI_EXPRESSION);
		break;
	case DW_CFA_val_expression:
		where = read_expression(r, CFI_VAL_EXPRESSION);
		break;
	}
	set(p, reg, where);
}

static void run_extended(struct cfi_program *p, uint8_t op)
{
	struct cfi_reader *r = &p->code;

	switch (op) {
	case DW_CFA_nop:
		break;
	case DW_CFA_GNU_args_size: /* of use to exception handlers only */
		cfi_read_uleb(r);
		break;
	case DW_CFA_remember_state:
		if (p->remembered_cnt == CFI_REMEMBER_MAX)
			r->bad = true;
		else
			p->remembered[p->remembered_cnt++] = p->state;
		break;
	case DW_CFA_restore_state:
		if (!p->remembered_cnt)
			r->bad = true;
		else
			p->state = p->remembered[--p->remembered_cnt];
		break;
	case DW_CFA_restore_extended:
		restore(p, cfi_read_uleb(r));
		break;
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_sf:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
	case DW_CFA_def_cfa_expression:
		run_cfa(p, op);
		break;
	case DW_CFA_offset_extended:
	case DW_CFA_offset_extended_sf:
	case DW_CFA_GNU_negative_offset_extended:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
	case DW_CFA_undefined:
	case DW_CFA_same_value:
	case DW_CFA_register:
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		run_register(p, op);
		break;
#if defined(__aarch64__)
	case DW_CFA_AARCH64_negate_ra_state:
		break;
#endif
	default:
		r->bad = true;
	}
}

/* 1 when op moves the address; then *to is where. */
static int run_advance(struct cfi_program *p, uint8_t op, uint64_t *to)
{
	struct cfi_reader *r = &p->code;
	uint64_t delta;

	switch (op) {
	case DW_CFA_set_loc:
		if (!cfi_read_pointer(r, p->encoding, p->section, p->section_vaddr, to))
			r->bad = true;
		return 1;
	case DW_CFA_advance_loc1:
		delta = cfi_read_uint(r, 1);
		break;
	case DW_CFA_advance_loc2:
		delta = cfi_read_uint(r, 2);
		break;
	case DW_CFA_advance_loc4:
		delta = cfi_read_uint(r, 4);
		break;
	case DW_CFA_MIPS_advance_loc8:
		delta = cfi_read_uint(r, 8);
		break;
	default:
		if ((op & 0xc0) != DW_CFA_advance_loc)
			return 0;
		delta = op & 0x3f;
	}
	if (__builtin_mul_overflow(delta, p->code_align, &delta) ||
	    __builtin_add_overflow(delta, p->pc, to))
		*to = UINT64_MAX - 1; /* beyond any function's end */
	return 1;
}

int cfi_program_run(struct cfi_program *p)
{
	struct cfi_reader *r = &p->code;

	while (r->at < r->end) {
		uint8_t op = *r->at++;
		uint64_t to;

		if (!*p->budget)
			return -E2BIG;
		--*p->budget;
		if (run_advance(p, op, &to)) {
			if (r->bad || to < p->pc || !p->initial)
				return -EINVAL;
			if (to == p->pc)
				continue;
			p->next_pc = to;
			return 1;
		}
		if ((op & 0xc0) == DW_CFA_offset)
			set(p, op & 0x3f,
			    (struct cfi_where){ .how = CFI_OFFSET,
						.offset = factored(p, cfi_read_uleb(r)) });
		else if ((op & 0xc0) == DW_CFA_restore)
			restore(p, op & 0x3f);
		else
			run_extended(p, op);
		if (r->bad)
			return -EINVAL;
	}
	p->next_pc = UINT64_MAX;
	return 0;
}
