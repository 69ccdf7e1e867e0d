// SPDX-License-Identifier: MIT
/* One step of the unwinder: what each kind of row does to a frame, and each reason to stop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A small stack; what lies outside cannot be read. */
struct memory {
	uint64_t base;
	uint64_t words[16];
	unsigned reads;
	bool unaligned;
};

static int read_word(struct memory *m, uint64_t addr, __u64 *word)
{
	uint64_t at = (addr - m->base) / 8;

	m->reads++;
	m->unaligned |= addr & 7;
	if (at >= 16)
		return -EFAULT;
	*word = m->words[at];
	return 0;
}

#define MT_UNWIND_READ(stack, addr, word) read_word(stack, addr, word)
#include "memtrace/unwind.h"

#if defined(__x86_64__)

#define BASE 0x7ffd00001000ULL
#define CODE 0x555500001234ULL

static struct memory memory;
static struct mt_frame frame;

/* Words from BASE on; the frame's sp is there, its fp 6 words above. */
static void given(const uint64_t *words, size_t cnt)
{
	memory = (struct memory){ .base = BASE };
	for (size_t i = 0; i < cnt; i++)
		memory.words[i] = words[i];
	frame = (struct mt_frame){ .pc = 0x400100, .sp = BASE, .fp = BASE + 48 };
}

#define GIVEN(...) \
	given((const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

static int step(uint32_t rule)
{
	int result;

	memory.reads = 0;
	result = mt_unwind_step(&memory, rule, &frame);
	cr_expect(!memory.unaligned);
	cr_expect_leq(memory.reads, 3);
	return result;
}

static void expect_caller(uint32_t rule, uint64_t pc, uint64_t sp, uint64_t fp, bool exact)
{
	cr_expect_eq(step(rule), MT_STEP_CALLER);
	cr_expect_eq(frame.pc, pc);
	cr_expect_eq(frame.sp, sp);
	cr_expect_eq(frame.fp, fp);
	cr_expect_eq(frame.exact, exact);
}

/* A step that is no step leaves the frame as it was. */
static void expect_stop(uint32_t rule, int result)
{
	struct mt_frame before = frame;

	cr_expect_eq(step(rule), result);
	cr_expect_eq(frame.pc, before.pc);
	cr_expect_eq(frame.sp, before.sp);
	cr_expect_eq(frame.fp, before.fp);
	cr_expect_eq(frame.exact, before.exact);
}

Test(unwind, a_function_without_a_frame_returns_to_the_word_at_sp)
{
	GIVEN(CODE);
	expect_caller(MT_RULE(MT_ROW_SP, 1, 0), CODE, BASE + 8, BASE + 48, false);
}

Test(unwind, a_saved_fp_is_taken_back)
{
	GIVEN(1, 2, 0xf00, 4, CODE);
	expect_caller(MT_RULE(MT_ROW_SP, 5, 3), CODE, BASE + 40, 0xf00, false);
}

Test(unwind, a_function_with_a_frame_pointer_needs_no_sp)
{
	GIVEN(1, 2, 3, 4, 5, 6, 0xf00, CODE);
	expect_caller(MT_RULE(MT_ROW_FP, 2, 2), CODE, BASE + 64, 0xf00, false);
}

Test(unwind, a_realigned_stack_keeps_its_cfa_below_fp)
{
	GIVEN(1, 2, 3, 4, 5, BASE + 96, 0xf00, 8, 9, 10, 11, CODE);
	expect_caller(MT_RULE(MT_ROW_FP_DEREF, -1, 1), CODE, BASE + 96, 0xf00, false);
	GIVEN(1, 2, 3, 4, 5, BASE + 96, 0xf00, 8, 9, 10, 11, CODE);
	expect_caller(MT_RULE(MT_ROW_FP_DEREF, -1, 0), CODE, BASE + 96, BASE + 48, false);
}

Test(unwind, a_plt_entry_has_pushed_a_word_in_its_second_half)
{
	GIVEN(0x77, CODE, CODE + 1);
	frame.pc = 0x40010a;
	cr_expect_eq(step(MT_RULE(MT_ROW_PLT, 2, 11)), MT_STEP_CALLER);
	cr_expect_eq(frame.sp, BASE + 16);
	GIVEN(0x77, CODE, CODE + 1);
	frame.pc = 0x40010b;
	expect_caller(MT_RULE(MT_ROW_PLT, 2, 11), CODE + 1, BASE + 24, BASE + 48, false);
}

Test(unwind, a_signal_frame_leads_to_exactly_where_the_thread_was)
{
	GIVEN(1, 0xf00, 3, 0x7fff00008000, CODE);
	expect_caller(MT_RULE(MT_ROW_SIGNAL, 3, 1), CODE, 0x7fff00008000, 0xf00, true);
	cr_expect_eq(mt_frame_lookup_pc(&frame), CODE);
}

Test(unwind, a_handler_may_have_run_on_a_stack_above_the_interrupted_one)
{
	GIVEN(1, 0xf00, 3, BASE - 4096, CODE);
	expect_caller(MT_RULE(MT_ROW_SIGNAL, 3, 1), CODE, BASE - 4096, 0xf00, true);
}

Test(unwind, a_return_address_is_looked_up_inside_the_call)
{
	GIVEN(CODE);
	cr_assert_eq(step(MT_RULE(MT_ROW_SP, 1, 0)), MT_STEP_CALLER);
	cr_expect_eq(mt_frame_lookup_pc(&frame), CODE - 1);
}

Test(unwind, the_outermost_function_ends_the_stack)
{
	GIVEN(CODE);
	expect_stop(MT_RULE(MT_ROW_END, 0, 0), MT_STEP_END);
	cr_expect_eq(memory.reads, 0);
}

Test(unwind, a_return_address_of_zero_is_an_end_of_its_own)
{
	GIVEN(0, 0);
	expect_stop(MT_RULE(MT_ROW_SP, 1, 0), MT_STEP_ZERO);
}

Test(unwind, what_no_row_says_is_a_reason)
{
	GIVEN(CODE);
	expect_stop(MT_RULE(MT_ROW_NONE, 0, 0), MT_STEP_NO_ROW);
	expect_stop(MT_RULE(MT_ROW_UNSUPPORTED, 0, 0), MT_STEP_UNSUPPORTED);
	for (unsigned kind = MT_ROW_KIND_CNT; kind < 1U << MT_ROW_KIND_BITS; kind++)
		expect_stop(MT_RULE(kind, 1, 1), MT_STEP_UNSUPPORTED);
}

Test(unwind, each_read_may_fault)
{
	GIVEN(CODE);
	expect_stop(MT_RULE(MT_ROW_SP, 17, 0), MT_STEP_READ_FAULT); /* pc */
	GIVEN(CODE);
	expect_stop(MT_RULE(MT_ROW_SP, 1, 3), MT_STEP_READ_FAULT);	   /* fp */
	expect_stop(MT_RULE(MT_ROW_FP_DEREF, 100, 1), MT_STEP_READ_FAULT); /* cfa */
	expect_stop(MT_RULE(MT_ROW_SIGNAL, 16, 1), MT_STEP_READ_FAULT);	   /* sp */
	GIVEN(CODE);
	memory.words[15] = BASE + 4096;
	expect_stop(MT_RULE(MT_ROW_SIGNAL, 15, 1), MT_STEP_READ_FAULT); /* pc */
}

Test(unwind, a_step_that_faulted_can_be_repeated_with_more_memory)
{
	GIVEN(CODE);
	memory.base = BASE + 16;
	expect_stop(MT_RULE(MT_ROW_SP, 1, 0), MT_STEP_READ_FAULT);
	memory.base = BASE;
	expect_caller(MT_RULE(MT_ROW_SP, 1, 0), CODE, BASE + 8, BASE + 48, false);
}

Test(unwind, a_stack_that_does_not_grow_is_broken)
{
	GIVEN(CODE, CODE, CODE, CODE, CODE, CODE, CODE, CODE);
	expect_stop(MT_RULE(MT_ROW_SP, 0, 0), MT_STEP_BROKEN);
	expect_stop(MT_RULE(MT_ROW_SP, -1, 0), MT_STEP_BROKEN);
	frame.fp = BASE - 16;
	expect_stop(MT_RULE(MT_ROW_FP, 2, 2), MT_STEP_BROKEN);
	frame.fp = 0;
	expect_stop(MT_RULE(MT_ROW_FP, 2, 2), MT_STEP_BROKEN);
}

Test(unwind, a_frame_pointer_that_leads_back_is_broken)
{
	/* two frames, each saved fp the other's */
	GIVEN(BASE + 32, CODE, 0, 0, BASE, CODE);
	frame.fp = BASE;
	expect_caller(MT_RULE(MT_ROW_FP, 2, 2), CODE, BASE + 16, BASE + 32, false);
	expect_caller(MT_RULE(MT_ROW_FP, 2, 2), CODE, BASE + 48, BASE, false);
	expect_stop(MT_RULE(MT_ROW_FP, 2, 2), MT_STEP_BROKEN);
}

Test(unwind, a_realigned_stack_that_leads_back_is_broken)
{
	GIVEN(1, 2, 3, 4, 5, BASE, CODE);
	expect_stop(MT_RULE(MT_ROW_FP_DEREF, -1, 1), MT_STEP_BROKEN);
}

Test(unwind, a_misaligned_stack_is_broken)
{
	GIVEN(CODE, CODE);
	frame.sp = BASE + 4;
	expect_stop(MT_RULE(MT_ROW_SP, 1, 0), MT_STEP_BROKEN);
	GIVEN(1, 2, 3, 4, 5, BASE + 97, CODE);
	expect_stop(MT_RULE(MT_ROW_FP_DEREF, -1, 1), MT_STEP_BROKEN);
	frame.fp++;
	expect_stop(MT_RULE(MT_ROW_FP, 2, 2), MT_STEP_BROKEN);
	expect_stop(MT_RULE(MT_ROW_FP_DEREF, -1, 1), MT_STEP_BROKEN);
}

Test(unwind, a_return_address_outside_user_space_is_broken)
{
	static const uint64_t addresses[] = { 1, 4095, 1ULL << 47, 0xffffffff81000000, UINT64_MAX };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		GIVEN(addresses[i]);
		expect_stop(MT_RULE(MT_ROW_SP, 1, 0), MT_STEP_BROKEN);
	}
	GIVEN(4096);
	cr_expect_eq(step(MT_RULE(MT_ROW_SP, 1, 0)), MT_STEP_CALLER);
	GIVEN((1ULL << 47) - 1);
	cr_expect_eq(step(MT_RULE(MT_ROW_SP, 1, 0)), MT_STEP_CALLER);
}

Test(unwind, an_address_that_wraps_around_is_broken)
{
	GIVEN(CODE);
	frame.sp = UINT64_MAX - 7;
	expect_stop(MT_RULE(MT_ROW_SP, 1, 0), MT_STEP_BROKEN);
	frame.sp = BASE;
	frame.fp = UINT64_MAX - 7;
	expect_stop(MT_RULE(MT_ROW_FP, 2, 2), MT_STEP_BROKEN);
}

#endif

Test(unwind, a_rule_holds_what_was_packed)
{
	static const int cfas[] = { MT_ROW_CFA_MIN, -1, 0, 1, MT_ROW_CFA_MAX };

	for (size_t i = 0; i < sizeof(cfas) / sizeof(cfas[0]); i++)
		for (unsigned fp = 0; fp <= MT_ROW_FP_MAX; fp++) {
			uint32_t rule = MT_RULE(MT_ROW_SIGNAL, cfas[i], fp);

			cr_assert_eq(MT_RULE_KIND(rule), MT_ROW_SIGNAL);
			cr_assert_eq(MT_RULE_CFA(rule), cfas[i]);
			cr_assert_eq(MT_RULE_FP(rule), fp);
		}
}

/* ---- generated code ---------------------------------------------------------------------------- */

#define BYTES(...)                                                                                 \
	({                                                                                         \
		const uint8_t bytes_[8] = { __VA_ARGS__ };                                         \
		uint64_t word_;                                                                    \
                                                                                                   \
		memcpy(&word_, bytes_, 8);                                                         \
		word_;                                                                             \
	})

Test(unwind, an_epilogue_behind_a_call_says_where_the_caller_is)
{
	cr_expect_eq(mt_generated_rule(BYTES(0xc3)), MT_RULE(MT_ROW_SP, 1, 0));
	cr_expect_eq(mt_generated_rule(BYTES(0x5d, 0xc3)), MT_RULE(MT_ROW_SP, 2, 2));
	cr_expect_eq(mt_generated_rule(BYTES(0xc9, 0xc3)), MT_RULE(MT_ROW_FP, 2, 2));
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x83, 0xc4, 0x18, 0xc3)),
		     MT_RULE(MT_ROW_SP, 4, 0));
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x83, 0xc4, 0x78, 0x5d, 0xc3)),
		     MT_RULE(MT_ROW_SP, 17, 2));
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x81, 0xc4, 0x08, 0x20, 0, 0, 0xc3)),
		     MT_RULE(MT_ROW_SP, 0x402, 0));
}

Test(unwind, generated_code_is_else_taken_to_keep_frame_pointers)
{
	uint32_t keeps = MT_RULE(MT_ROW_FP, 2, 2);

	cr_expect_eq(mt_generated_rule(0), keeps); /* could not be read */
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x89, 0xc7, 0xc3)), keeps);
	/* room that no epilogue gives back: not whole words, less than none, more than a row can say */
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x83, 0xc4, 0x07, 0xc3)), keeps);
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x83, 0xc4, 0xf8, 0xc3)), keeps);
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x81, 0xc4, 0, 0, 0, 0x70, 0xc3)), keeps);
	/* cut off by the end of what was read */
	cr_expect_eq(mt_generated_rule(BYTES(0x48, 0x81, 0xc4, 8, 0, 0, 0, 0x5d)), keeps);
}
