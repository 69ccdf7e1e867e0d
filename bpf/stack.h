/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * stack.h - the call path of an allocation by frame pointers, as return addresses, leaf first.
 *
 * Taken when the call returns: the caller is then the instruction pointer itself and the frame
 * pointer is the caller's, so no prologue of the allocator can hide the first frame. The stack is
 * copied one window at a time and walked inside the copy.
 *
 *	rbp -> | next rbp | return address | ...caller's frame... | next next rbp | ...
 */
#ifndef MEMTRACE_BPF_STACK_H
#define MEMTRACE_BPF_STACK_H

#define STACK_STEP_MAX (1 << 20) /* a frame larger than this is taken as a broken chain */
#define STACK_NEAR_BYTES 192 /* what is left of the 512 bytes of a probe's stack */
#define STACK_NEAR_FRAMES 16
#define PAGE_BYTES 4096
#define ADDRESS_MIN 4096ULL
#define ADDRESS_MAX (1ULL << 47)
#define HASH_PRIME 0x9e3779b97f4a7c15ULL
#define HASH_MIX(hash, word) (((hash) ^ (word) ^ (hash) >> 29) * HASH_PRIME)

/* Copies a window that starts at addr; its length, or 0 when not even one frame could be read. The
 * top of a stack can end before a window does: then what is left of the page is enough. */
GLOBAL int window_read(struct mt_window *window, u64 addr)
{
	u32 left = PAGE_BYTES - (addr & (PAGE_BYTES - 1));

	if (!window)
		return 0;
	if (!bpf_probe_read_user(window->words, MT_WINDOW_BYTES, (void *)addr))
		return MT_WINDOW_BYTES;
	if (left >= MT_WINDOW_BYTES || left < 16)
		return 0;
	if (bpf_probe_read_user(window->words, left & (MT_WINDOW_BYTES - 1), (void *)addr))
		return 0;
	return left;
}

/* One link of the chain at *fp: what it says is the n-th frame and where the next link is. Moves *fp
 * and *n; false when the stack ended here, with the reason in t (in memory: each value of a register
 * would be another path for the verifier). */
static __always_inline bool chain_step(struct mt_task *t, u64 next, u64 ret, u64 *fp, u32 *n, u64 *hash)
{
	u64 step;

	t->stack_end = MT_END_COMPLETE;
	if (!ret)
		return false;
	if (ret - ADDRESS_MIN >= ADDRESS_MAX - ADDRESS_MIN) {
		t->stack_end = MT_END_BROKEN;
		return false;
	}
	t->frames[*n] = ret;
	*hash = HASH_MIX(*hash, ret);
	*n += 1;
	if (!next)
		return false;
	step = next - *fp;
	t->stack_end = MT_END_BROKEN;
	if (step - 1 >= STACK_STEP_MAX || step & 7)
		return false;
	*fp = next;
	return true;
}

/* Walks the frame-pointer chain from fp; the first frame, pc, is given. Fills t->frames,
 * t->frame_cnt, t->hash, t->stack_end.
 *
 * A short stack is copied to the stack of the probe: copies from user space to anywhere else cost the
 * kernel a look at the page and the slab they go to, half of what the whole copy costs. t->far says
 * that the thread's last stack was longer than that, so the next one will be. */
GLOBAL int stack_walk(struct mt_task *t, u64 pc, u64 sp, u64 fp)
{
	u32 depth = control.stack_depth, n;
	u64 hash = HASH_PRIME, first = fp;
	u64 near[STACK_NEAR_BYTES / 8];

	if (!t)
		return 0;
	t->frames[0] = pc;
	hash = HASH_MIX(hash, pc);
	n = 1;
	if (fp < sp || fp - sp > STACK_STEP_MAX || fp & 7) {
		t->stack_end = fp ? MT_END_BROKEN : MT_END_COMPLETE;
		goto out;
	}
	if (!t->far && !bpf_probe_read_user(near, sizeof(near), (void *)fp)) {
		for (; n < STACK_NEAR_FRAMES && n < depth; ) {
			u64 off = fp - first;

			if (off > sizeof(near) - 16)
				break;
			BOUND(off, 0xf8);
			if (off > sizeof(near) - 16) /* the same again, where the verifier sees it */
				break;
			if (!chain_step(t, *(u64 *)((void *)near + off),
					*(u64 *)((void *)near + off + 8), &fp, &n, &hash))
				goto out;
		}
	}
	t->window_have = 0;
	while (n < MT_STACK_DEPTH_MAX && n < depth) {
		u64 off = fp - t->window_at;

		if (off + 16 > t->window_have) {
			t->window_at = fp;
			t->window_have = window_read(&t->window, fp);
			off = 0;
			if (!t->window_have) {
				t->stack_end = MT_END_READ_FAULT;
				goto out;
			}
		}
		BOUND(off, (MT_WINDOW_BYTES - 1) & ~7);
		if (!chain_step(t, *(u64 *)((void *)t->window.words + off),
				*(u64 *)((void *)t->window.words + off + 8), &fp, &n, &hash))
			goto out;
	}
	t->stack_end = MT_END_DEPTH;
out:
	t->far = fp - first > STACK_NEAR_BYTES - 16;
	t->hash = hash;
	t->frame_cnt = n;
	return 0;
}

#endif
