// SPDX-License-Identifier: MIT
/* cfi_rule.c - which row says what a state of the call frame program says, if any does. */
#include <dwarf.h>
#include <string.h>

#include "capture/cfi_program.h"
#include "memtrace/unwind.h"

#define UNSUPPORTED MT_RULE(MT_ROW_UNSUPPORTED, 0, 0)

#if defined(__aarch64__)
uint32_t cfi_state_rule(const struct cfi_state *state)
{
	(void)state;
	return UNSUPPORTED;
}
#else

enum { REG_PC = 16 };

/* op, then its operand: DW_OP_breg<reg> with any offset. */
static bool take_breg(struct cfi_reader *r, unsigned reg, int64_t *offset)
{
	if (cfi_read_uint(r, 1) != DW_OP_breg0 + reg)
		return false;
	*offset = cfi_read_sleb(r);
	return !r->bad;
}

static bool take_op(struct cfi_reader *r, uint8_t op)
{
	return cfi_read_uint(r, 1) == op && !r->bad;
}

static struct cfi_reader reader(const struct cfi_where *where)
{
	return (struct cfi_reader){ where->expr, where->expr + where->expr_len, false };
}

/* breg<reg> offset; deref */
static bool is_deref(const struct cfi_where *where, unsigned reg, int64_t *offset)
{
	struct cfi_reader r = reader(where);

	return where->how == CFI_EXPRESSION && take_breg(&r, reg, offset) &&
	       take_op(&r, DW_OP_deref) && r.at == r.end;
}

/* breg<reg> offset */
static bool is_at(const struct cfi_where *where, unsigned reg, int64_t *offset)
{
	struct cfi_reader r = reader(where);

	return where->how == CFI_EXPRESSION && take_breg(&r, reg, offset) && r.at == r.end;
}

/* What linkers write for a PLT, whose entries push a word on their way:
 * breg<sp> offset; breg<pc> 0; lit15; and; lit<threshold>; ge; lit3; shl; plus */
static bool is_plt(const struct cfi_where *where, int64_t *offset, unsigned *threshold)
{
	static const uint8_t tail[] = { DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus };
	struct cfi_reader r = reader(where);
	int64_t pc_offset;
	unsigned lit;

	if (where->how != CFI_EXPRESSION || !take_breg(&r, CFI_REG_SP, offset) ||
	    !take_breg(&r, REG_PC, &pc_offset) || pc_offset || !take_op(&r, DW_OP_lit15) ||
	    !take_op(&r, DW_OP_and))
		return false;
	lit = (unsigned)cfi_read_uint(&r, 1) - DW_OP_lit0;
	if (lit > 15 || (size_t)(r.end - r.at) != sizeof(tail) ||
	    memcmp(r.at, tail, sizeof(tail)) != 0)
		return false;
	*threshold = lit;
	return true;
}

static uint32_t pack(enum mt_row_kind kind, int64_t cfa, int64_t fp)
{
	if (cfa & 7 || cfa / 8 > MT_ROW_CFA_MAX || cfa / 8 < MT_ROW_CFA_MIN || fp < 0 ||
	    fp > MT_ROW_FP_MAX)
		return UNSUPPORTED;
	return MT_RULE(kind, cfa / 8, fp);
}

/* The kernel keeps the interrupted registers in one order: sp, then pc. */
static uint32_t signal_rule(const struct cfi_state *state, int64_t sp_at)
{
	int64_t pc_at, fp_at, again;

	if (!is_at(&state->pc, CFI_REG_SP, &pc_at) || pc_at != sp_at + 8 ||
	    !is_at(&state->fp, CFI_REG_SP, &fp_at) || fp_at & 7 || fp_at <= 0)
		return UNSUPPORTED;
	if (state->sp.how != CFI_UNSET &&
	    (!is_at(&state->sp, CFI_REG_SP, &again) || again != sp_at))
		return UNSUPPORTED;
	return pack(MT_ROW_SIGNAL, sp_at, fp_at / 8);
}

/* The return address is the word below the CFA, and the caller's sp is the CFA. */
static bool is_plain_call(const struct cfi_state *state)
{
	if (state->pc.how != CFI_OFFSET || state->pc.offset != -8)
		return false;
	return state->sp.how == CFI_UNSET || (state->sp.how == CFI_VAL_OFFSET && !state->sp.offset);
}

static bool fp_is_untouched(const struct cfi_state *state)
{
	return state->fp.how == CFI_UNSET || state->fp.how == CFI_SAME;
}

static uint32_t offset_rule(const struct cfi_state *state)
{
	enum mt_row_kind kind;
	int64_t fp = 0;

	if (state->cfa.reg == CFI_REG_SP)
		kind = MT_ROW_SP;
	else if (state->cfa.reg == CFI_REG_FP)
		kind = MT_ROW_FP;
	else
		return UNSUPPORTED;
	if (state->fp.how == CFI_OFFSET) {
		fp = -state->fp.offset;
		if (fp <= 0 || fp & 7)
			return UNSUPPORTED;
	} else if (!fp_is_untouched(state)) {
		return UNSUPPORTED;
	}
	return pack(kind, state->cfa.offset, fp / 8);
}

uint32_t cfi_state_rule(const struct cfi_state *state)
{
	unsigned threshold;
	int64_t offset, at;

	if (state->pc.how == CFI_UNDEFINED)
		return MT_RULE(MT_ROW_END, 0, 0);
	if (is_deref(&state->cfa, CFI_REG_SP, &offset))
		return signal_rule(state, offset);
	if (!is_plain_call(state))
		return UNSUPPORTED;
	if (state->cfa.how == CFI_OFFSET)
		return offset_rule(state);
	if (is_deref(&state->cfa, CFI_REG_FP, &offset)) {
		if (fp_is_untouched(state))
			return pack(MT_ROW_FP_DEREF, offset, 0);
		if (is_at(&state->fp, CFI_REG_FP, &at) && !at)
			return pack(MT_ROW_FP_DEREF, offset, 1);
	} else if (is_plt(&state->cfa, &offset, &threshold) && fp_is_untouched(state)) {
		return pack(MT_ROW_PLT, offset, threshold);
	}
	return UNSUPPORTED;
}
#endif
