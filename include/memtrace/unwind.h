/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * unwind.h - one frame of arithmetic: a row of the unwind table turns a frame into its caller's.
 *
 * The same lines run in BPF and on the host. They read the target's stack only through
 * MT_UNWIND_READ, which the includer of the step defines before including this file:
 *
 *	MT_UNWIND_READ(stack, addr, word)
 *		0 when the 8 bytes at addr are in *word, else anything. word is a __u64 *, which is
 *		not to be cast to a uint64_t * (another type on the host). addr can be any multiple
 *		of 8; stack is what mt_unwind_step() was given.
 *
 * Table. A file's rows, sorted by pc; each holds from its pc up to the next row's. Neighbours
 * differ, a gap is a row of its own (MT_ROW_NONE), and so is what follows the last function. pc is
 * a virtual address as the file has it: an address in the process less the load bias.
 *
 *	struct mt_row   | pc: 32 | rule: 32 |
 *
 *	rule             31              12 11       4 3      0
 *	                +------------------+----------+--------+
 *	                | cfa (signed)     | fp       | kind   |
 *	                +------------------+----------+--------+
 *
 * cfa and fp count words of 8 bytes. In 23 million rows of 780 files they lie in -5..131,090 and
 * 0..15. What they say depends on the kind, see MT_ROW_KINDS. The CFA is the stack pointer's value
 * before the call that made the frame: on x86-64 the return address is the word below it. Where fp
 * is 0 the function has not touched the frame pointer. A rule of 0 is NONE.
 *
 * Which row. A frame whose pc is a return address is inside the call before it, and that call may
 * be the last instruction of its function: its row is at pc - 1. Where a thread was interrupted, or
 * is at a probe, pc itself is meant (exact). mt_frame_lookup_pc() knows. A walk is
 *
 *	frame = { the thread's pc, sp, fp, exact = 1 }
 *	do	rule = the row at mt_frame_lookup_pc(&frame) - load bias
 *		GENERATED: rule = mt_generated_rule(the code at frame.pc)
 *	while	mt_unwind_step(stack, rule, &frame) is MT_STEP_CALLER; frame.pc is the next caller
 */
#ifndef MEMTRACE_UNWIND_H
#define MEMTRACE_UNWIND_H

#include <linux/types.h>

#define MT_ROW_KIND_BITS 4
#define MT_ROW_FP_BITS 8
#define MT_ROW_CFA_BITS 20
#define MT_ROW_FP_MAX ((1 << MT_ROW_FP_BITS) - 1)
#define MT_ROW_CFA_MAX ((1 << (MT_ROW_CFA_BITS - 1)) - 1)
#define MT_ROW_CFA_MIN (-MT_ROW_CFA_MAX - 1)

/* X(enum suffix, name, what it means; words of 8 bytes: N is cfa, F is fp) */
#define MT_ROW_KINDS(X)                                                                            \
	X(NONE, none, "no function is known here")                                                 \
	X(END, end, "the outermost function: there is no caller")                                  \
	X(SP, sp, "CFA = sp + N; fp saved at CFA - F")                                             \
	X(FP, fp, "CFA = fp + N; fp saved at CFA - F")                                             \
	X(FP_DEREF, fp_deref, "CFA = *(fp + N); fp saved at *fp if F is 1 (realigned stack)")      \
	X(PLT, plt, "CFA = sp + N, one word more from (pc & 15) >= F on; fp untouched")            \
	X(SIGNAL, signal, "sp saved at sp + N, pc a word above it, fp at sp + F; pc is exact")     \
	X(UNSUPPORTED, unsupported, "a rule that no row can say")                                  \
	X(GENERATED, generated, "made by a compiler that leaves no tables: mt_generated_rule()")

#define MT_ROW_ENUM(name, text, meaning) MT_ROW_##name,
enum mt_row_kind { MT_ROW_KINDS(MT_ROW_ENUM) MT_ROW_KIND_CNT };
#undef MT_ROW_ENUM

struct mt_row {
	__u32 pc;
	__u32 rule;
};

/* The caller sees to it that cfa and fp fit. */
#define MT_RULE(kind, cfa, fp)                                                                     \
	((__u32)(cfa) << (MT_ROW_KIND_BITS + MT_ROW_FP_BITS) | (__u32)(fp) << MT_ROW_KIND_BITS |   \
	 (__u32)(kind))
#define MT_RULE_KIND(rule) ((rule) & ((1U << MT_ROW_KIND_BITS) - 1))
#define MT_RULE_FP(rule) ((rule) >> MT_ROW_KIND_BITS & MT_ROW_FP_MAX)
#define MT_RULE_CFA(rule) ((__s32)(rule) >> (MT_ROW_KIND_BITS + MT_ROW_FP_BITS))

/*
 * The rule at an address in generated code (JIT, V8's builtins), from the 8 bytes of code there, lowest
 * address first. Where the function's epilogue is all that follows, that is proof of where its caller
 * is, as in CPython's perf trampolines. Else the code is taken to keep frame pointers, as most such
 * compilers do so as to walk their own stacks.
 */
static inline __attribute__((always_inline)) __u32 mt_generated_rule(__u64 code)
{
	__u32 frame_pointer = MT_RULE(MT_ROW_FP, 2, 2);
	__u64 bytes = 0, words;

	if ((code & 0xffff) == 0xc3c9) /* leave; ret */
		return frame_pointer;
	if ((code & 0xffffff) == 0xc48348) { /* add $imm8, %rsp */
		bytes = (__u64)(__s64)(signed char)(code >> 24);
		code >>= 32;
	} else if ((code & 0xffffff) == 0xc48148) { /* add $imm32, %rsp */
		bytes = code >> 24 & 0xffffffff;
		code >>= 56;
	}
	if (bytes & 7 || bytes >> 3 > MT_ROW_CFA_MAX - 2)
		return frame_pointer;
	words = bytes >> 3;
	if ((code & 0xff) == 0xc3) /* ret */
		return MT_RULE(MT_ROW_SP, words + 1, 0);
	if ((code & 0xffff) == 0xc35d) /* pop %rbp; ret */
		return MT_RULE(MT_ROW_SP, words + 2, 2);
	return frame_pointer;
}

/* Where a step finds the caller; scratch of mt_unwind_step(). */
struct mt_caller {
	__u64 cfa;
	__u64 pc_at;
	__u64 fp_at; /* 0: the frame pointer is as it was */
	__u64 exact;
};

/* A frame: where its code is, and its two registers that lead to the caller. */
struct mt_frame {
	__u64 pc;
	__u64 sp;
	__u64 fp;
	__u64 exact; /* 1: pc is where the thread was; 0: pc is a return address */
	struct mt_caller to;
};

/* What a step came to. Only after CALLER has the frame changed (but for .to). */
enum mt_step {
	MT_STEP_CALLER, /* the frame is the caller's now */
	MT_STEP_END,    /* there is no caller: the true root */
	MT_STEP_ZERO,   /* the return address is 0: the root of a stack that a program made */
	MT_STEP_NO_ROW,
	MT_STEP_READ_FAULT, /* MT_UNWIND_READ failed; a step with other memory may succeed */
	MT_STEP_UNSUPPORTED,
	MT_STEP_BROKEN, /* the stack does not grow, is misaligned, or leads out of user space */
	MT_STEP_CNT,
};

_Static_assert(sizeof(struct mt_row) == 8, "8 bytes a row in the kernel");
_Static_assert(MT_ROW_KIND_BITS + MT_ROW_FP_BITS + MT_ROW_CFA_BITS == 32, "a rule is one word");
_Static_assert(MT_ROW_KIND_CNT <= 1 << MT_ROW_KIND_BITS, "kinds fit");

/* Addresses that code can be called from. */
#define MT_USER_MIN 4096ULL
#define MT_USER_MAX (1ULL << 47)

/* The address whose row is the frame's. */
static inline __attribute__((always_inline)) __u64 mt_frame_lookup_pc(const struct mt_frame *frame)
{
	return frame->pc - 1 + frame->exact;
}

#endif /* MEMTRACE_UNWIND_H */

/* Apart, so that it does not matter whether a header included this file before. */
#if defined(MT_UNWIND_READ) && !defined(MEMTRACE_UNWIND_STEP)
#define MEMTRACE_UNWIND_STEP

/* Between finding the caller and reading it a step goes through memory, so that the kernel's verifier,
 * which follows registers, sees one path from there on and not one for each kind of row. */
#ifdef __bpf__
#define MT_UNWIND_FORGET() __asm__ volatile("" : : : "memory")
#else
#define MT_UNWIND_FORGET() (void)0
#endif

#if defined(__TARGET_ARCH_arm64) || defined(__aarch64__)
/* Return addresses are in a register until they are saved, so rows and frames need one more; until
 * there are such rows no rule is known. */
static inline __attribute__((always_inline)) int mt_unwind_step(void *stack, __u32 rule,
								struct mt_frame *frame)
{
	(void)stack;
	(void)frame;
	return MT_RULE_KIND(rule) == MT_ROW_NONE ? MT_STEP_NO_ROW : MT_STEP_UNSUPPORTED;
}
#else
/*
 * Turns frame into its caller's by the rule at mt_frame_lookup_pc(frame). Returns an enum mt_step;
 * unless that is MT_STEP_CALLER the frame is untouched, so a step that met a read fault can be
 * repeated once there is more memory. At most three reads.
 *
 * The stack must grow with each step, so a chain cannot be a circle; only a signal frame may lead
 * anywhere (the handler may have run on a stack of its own), so walks are to be bounded by depth.
 */
static inline __attribute__((always_inline)) int mt_unwind_step(void *stack, __u32 rule,
								struct mt_frame *frame)
{
	__u32 kind = MT_RULE_KIND(rule), saved = MT_RULE_FP(rule), exact = 0;
	__u64 offset = (__u64)(__s64)MT_RULE_CFA(rule) << 3;
	__u64 cfa, pc_at, fp_at, pc, fp;

	if (kind == MT_ROW_NONE)
		return MT_STEP_NO_ROW;
	if (kind == MT_ROW_END)
		return MT_STEP_END;
	if (kind >= MT_ROW_UNSUPPORTED)
		return MT_STEP_UNSUPPORTED;

	/* where the caller's registers are */
	cfa = (kind == MT_ROW_FP || kind == MT_ROW_FP_DEREF ? frame->fp : frame->sp) + offset;
	if (kind == MT_ROW_PLT) {
		cfa += (frame->pc & 15) >= saved ? 8 : 0;
		saved = 0;
	}
	if (cfa & 7)
		return MT_STEP_BROKEN;
	pc_at = cfa - 8;
	fp_at = cfa - ((__u64)saved << 3);
	if (kind == MT_ROW_FP_DEREF || kind == MT_ROW_SIGNAL) {
		__u64 slot = cfa;

		if (MT_UNWIND_READ(stack, slot, &cfa))
			return MT_STEP_READ_FAULT;
		if (cfa & 7)
			return MT_STEP_BROKEN;
		pc_at = cfa - 8;
		fp_at = frame->fp;
		if (kind == MT_ROW_SIGNAL) {
			pc_at = slot + 8;
			fp_at = frame->sp + ((__u64)saved << 3);
			exact = 1;
		}
	}
	if (cfa <= frame->sp && !exact)
		return MT_STEP_BROKEN;
	frame->to = (struct mt_caller){ cfa, pc_at, saved ? fp_at : 0, exact };
	MT_UNWIND_FORGET();

	pc_at = frame->to.pc_at;
	if (MT_UNWIND_READ(stack, pc_at, &pc))
		return MT_STEP_READ_FAULT;
	fp = frame->fp;
	fp_at = frame->to.fp_at;
	if (fp_at) {
		if (fp_at & 7)
			return MT_STEP_BROKEN;
		if (MT_UNWIND_READ(stack, fp_at, &fp))
			return MT_STEP_READ_FAULT;
	}
	if (!pc)
		return MT_STEP_ZERO;
	if (pc - MT_USER_MIN >= MT_USER_MAX - MT_USER_MIN)
		return MT_STEP_BROKEN;
	frame->pc = pc;
	frame->sp = frame->to.cfa;
	frame->fp = fp;
	frame->exact = frame->to.exact;
	return MT_STEP_CALLER;
}
#endif /* architecture */

#endif /* MT_UNWIND_READ */
