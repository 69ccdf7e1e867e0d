/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * otel.h - the programs on the sites that OpenTelemetry published and any allocator may have:
 *
 *	otel_memory:alloc(ptr, size, weighted_bytes)	otel_memory:free(ptr)
 *
 * An allocator that samples says by weighted_bytes what a block stands for; one that does not says
 * the size. Where the arguments are is the site's own matter: the attach cookie leads to struct
 * mt_otel_site. A realloc is a free and an alloc; calls that fail are not told.
 *
 * What probes on allocators counted before the first of these stays in the account until it is
 * freed. The block that the first one is about was counted by them a moment ago, if they see this
 * allocator too:
 *
 *	malloc of the library { libc's malloc, probed: counted } alloc(ptr): there already
 */
#ifndef MEMTRACE_BPF_OTEL_H
#define MEMTRACE_BPF_OTEL_H

#define REGISTER_MASK 63    /* more than there are */
#define ALLOCATOR_FRAMES 32 /* of its own, at most, above the caller */

static __always_inline struct mt_otel_site *otel_site(struct pt_regs *ctx)
{
	u32 number = bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&otel_sites, &number);
}

/* To where an argument can take them by number, which a program cannot from its context: the window
 * of the stack, which is not in use yet. */
static __always_inline void registers_copy(struct pt_regs *ctx, u64 *to)
{
#if defined(__TARGET_ARCH_x86)
	to[0] = ctx->ax;
	to[1] = ctx->dx;
	to[2] = ctx->cx;
	to[3] = ctx->bx;
	to[4] = ctx->si;
	to[5] = ctx->di;
	to[6] = ctx->bp;
	to[7] = ctx->sp;
	to[8] = ctx->r8;
	to[9] = ctx->r9;
	to[10] = ctx->r10;
	to[11] = ctx->r11;
	to[12] = ctx->r12;
	to[13] = ctx->r13;
	to[14] = ctx->r14;
	to[15] = ctx->r15;
#else
	const struct user_pt_regs *regs = (const void *)ctx;

#pragma clang loop unroll(full)
	for (int i = 0; i < 31; i++)
		to[i] = regs->regs[i];
	to[31] = regs->sp;
#endif
	to[MT_REG_NONE] = 0;
}

/* An argument; in *failed, that it was in memory and could not be read. */
static __always_inline u64 argument(const struct mt_arg *arg, const u64 *registers, bool *failed)
{
	u64 base = arg->base, index = arg->index, value, cut = arg->cut & 63;

	BOUND(base, REGISTER_MASK);
	BOUND(index, REGISTER_MASK);
	value = registers[base] + (registers[index] << (arg->shift & 3)) + arg->value;
	if (arg->in_memory && bpf_probe_read_user(&value, sizeof(value), (void *)value))
		*failed = true;
	value <<= cut;
	return arg->is_signed ? (u64)((s64)value >> cut) : value >> cut;
}

/* How many blocks it stands for. */
static __always_inline u64 count_of(u64 size, u64 weighted_bytes)
{
	u64 whole;

	if (!size || size >= ADDRESS_MAX)
		return MT_COUNT_ONE;
	whole = weighted_bytes / size;
	if (whole >= MT_COUNT_MAX >> MT_COUNT_SHIFT)
		return MT_COUNT_MAX;
	return (whole << MT_COUNT_SHIFT) + (weighted_bytes % size << MT_COUNT_SHIFT) / size;
}

/* Steps over the allocator's own frames: t->caller, which is at the site, becomes its caller. They
 * are those whose code begins at low and has that many bytes. What is left of them is shown where
 * they cannot be followed. */
GLOBAL int leave_allocator(struct mt_task *t, u64 low, u64 bytes)
{
	u32 rule;

	if (!t)
		return -1;
	t->frame.pc = t->caller.pc;
	t->frame.sp = t->caller.sp;
	t->frame.fp = t->caller.fp;
	t->frame.exact = 1;
	t->caller.pc++; /* the instruction itself is before what it returns to, as everywhere */
	for (int n = 0; n < ALLOCATOR_FRAMES; n++) {
		rule = rule_of_frame(t);
		if (mt_unwind_step(t, rule, &t->frame) != MT_STEP_CALLER)
			return -1;
		if (t->frame.pc - 1 - low >= bytes) {
			t->caller.pc = t->frame.pc;
			t->caller.sp = t->frame.sp;
			t->caller.fp = t->frame.fp;
			return 0;
		}
	}
	return -1;
}

/* The same along frame pointers. */
GLOBAL int leave_allocator_by_chain(struct mt_task *t, u64 low, u64 bytes)
{
	u64 words[2] = {}, fp;

	if (!t)
		return -1;
	fp = t->caller.fp;
	t->caller.pc++;
	for (int n = 0; n < ALLOCATOR_FRAMES; n++) {
		if (bpf_probe_read_user(words, sizeof(words), (void *)fp))
			return -1;
		if (words[1] - 1 - low >= bytes) {
			t->caller.pc = words[1];
			t->caller.sp = fp + sizeof(words);
			t->caller.fp = words[0];
			return 0;
		}
		fp = words[0];
	}
	return -1;
}

static __always_inline void stack_begin_at_site(struct pt_regs *ctx, struct mt_task *t,
						const struct mt_otel_site *site)
{
	u64 low = PT_REGS_IP(ctx) - site->before, bytes = site->before + site->after;

	stack_begin(ctx, t, false);
	if (control.stacks == MT_STACKS_DWARF)
		leave_allocator(t, low, bytes);
	else if (control.stacks == MT_STACKS_FP)
		leave_allocator_by_chain(t, low, bytes);
}

SEC("uprobe")
int otel_alloc(struct pt_regs *ctx)
{
	struct mt_otel_site *site = otel_site(ctx);
	struct mt_spill none = {};
	struct mt_acct *a = NULL;
	u64 addr, size, weighted_bytes, key;
	bool failed = false;
	struct mt_task *t;

	t = site ? claimed_task(ctx, &a, MT_LANE_OTEL) : NULL;
	if (!t || !a)
		return 0;
	registers_copy(ctx, t->window.words);
	addr = argument(&site->args[0], t->window.words, &failed);
	size = argument(&site->args[1], t->window.words, &failed);
	weighted_bytes = argument(&site->args[2], t->window.words, &failed);
	if (failed) {
		count_loss(MT_LOSS_READ_FAULT);
		return 0;
	}
	key = live_key(addr, t->acct);
	if (!addr || (key && live_find(key, &none, LIVE_LOOK)))
		return 0;
	none.born_ns = 0;
	if (weighted_bytes != size && !(a->flags & MT_ACCT_SAMPLED))
		__sync_fetch_and_or(&a->flags, MT_ACCT_SAMPLED);
	block_announced(t, size, count_of(size, weighted_bytes));
	stack_begin_at_site(ctx, t, site);
	charge(t, a, addr, t->weight, &none);
	return 0;
}

SEC("uprobe")
int otel_free(struct pt_regs *ctx)
{
	struct mt_otel_site *site = otel_site(ctx);
	struct mt_acct *a = NULL;
	bool failed = false;
	struct mt_task *t;
	u64 addr;

	t = site ? claimed_task(ctx, &a, MT_LANE_OTEL) : NULL;
	if (!t || !a)
		return 0;
	registers_copy(ctx, t->window.words);
	addr = argument(&site->args[0], t->window.words, &failed);
	if (failed) {
		count_loss(MT_LOSS_READ_FAULT);
		return 0;
	}
	if (addr)
		block_free(a, t->acct, addr);
	return 0;
}

#endif
