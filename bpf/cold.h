/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * cold.h - stacks that end at code without an unwind table yet.
 *
 * Such a stack gets a site of its own, and its bytes go to user space, which loads the table, unwinds,
 * and writes the frames into that site. The next one is warm.
 */
#ifndef MEMTRACE_BPF_COLD_H
#define MEMTRACE_BPF_COLD_H

/* As much of the stack as there is, up to the buffer's size. */
static __always_inline u32 stack_copy(u8 *bytes, u64 sp)
{
	u32 left = PAGE_BYTES - (sp & (PAGE_BYTES - 1)), more = left + PAGE_BYTES;

	if (!bpf_probe_read_user(bytes, MT_COLD_BYTES, (void *)sp))
		return MT_COLD_BYTES;
	BOUND(more, MT_COLD_BYTES - 1);
	if (more && !bpf_probe_read_user(bytes, more, (void *)sp))
		return more;
	BOUND(left, PAGE_BYTES - 1);
	if (left && !bpf_probe_read_user(bytes, left, (void *)sp))
		return left;
	return 0;
}

/* A site for the stack in t, to be completed by user space; 0 when that cannot be asked. */
GLOBAL int site_send(struct mt_task *t)
{
	struct mt_acct *a;
	struct mt_cold *c;
	u32 site;

	if (!t)
		return 0;
	a = acct_at(t->acct);
	if (!a)
		return 0;
	c = bpf_ringbuf_reserve(&cold, sizeof(*c), 0);
	if (!c) {
		count_notice(MT_NOTICE_COLD_DROPPED);
		return 0;
	}
	site = site_create(t, t->acct, t->frame_cnt, t->hash, MT_END_NO_TABLE);
	if (!site) {
		bpf_ringbuf_discard(c, 0);
		return 0;
	}
	c->acct = t->acct;
	c->site = site;
	c->acct_id = a->id;
	c->time_ns = bpf_ktime_get_ns();
	c->tgid = a->tgid;
	c->pc = t->caller.pc;
	c->sp = t->caller.sp;
	c->fp = t->caller.fp;
	c->missing = t->missing;
	c->missing_pc = t->missing_pc;
	c->byte_cnt = stack_copy(c->bytes, c->sp);
	bpf_ringbuf_submit(c, 0);
	return site;
}

static __always_inline u32 site_cold(struct mt_task *t)
{
	u32 site = site_send(t);

	return site ? site & MT_SITE_MASK : site_intern(t, t->acct);
}

#endif
