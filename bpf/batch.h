/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * batch.h - accounts for the events that a process has kept (memtrace/batch.h), when it fires the site for
 * them and whenever the thread that keeps them is about to do something else.
 *
 * Events are read a few at a time into the thread's state, to a place of its own: the rest may be in use by a
 * program that this one interrupts. (Not to the program's stack: Linux 6.1 allows 512 bytes for a function and
 * all that it calls.) That one is never in the middle of the same account: a site is only fired when nothing is
 * kept, and while a batch is read k->busy is set.
 */
#ifndef MEMTRACE_BPF_BATCH_H
#define MEMTRACE_BPF_BATCH_H

#define BUSY_TRIES 512 /* of as many: some 100 us, longer than a batch takes */
#define ROOM_WAIT_NS 2000000
#define CHUNKS_MAX (MT_BATCH_EVENTS / MT_BATCH_CHUNK + 2)

/* The site that an event names, if it is one of that account. */
static __always_inline u32 batch_site(u32 slot, u64 site)
{
	struct mt_site *s = site >> MT_SITE_BITS ? NULL : site_at(site);

	if (s && s->acct == slot)
		return site;
	count_loss(MT_LOSS_LATE_SITE);
	return 0;
}

/* Allocated and freed before anyone could look: the table need not know. */
GLOBAL int batch_temporary(u32 slot, struct mt_batch_event *event)
{
	struct mt_spill block = {};
	struct mt_acct *a = acct_at(slot);
	bool threaded;

	if (!a || !event)
		return 0;
	threaded = a->threaded;
	block.size = event->size;
	block.site = batch_site(slot, event->site);
	block.born_ns = bpf_ktime_get_ns();
	site_add(a, &block, 1, block.size, threaded);
	size_count(block.size, 1);
	acct_change(a, slot, block.site, block.size, 1, block.born_ns, threaded);
	discharge(a, slot, &block);
	return 0;
}

GLOBAL int batch_free(u32 slot, struct mt_batch_event *event)
{
	struct mt_acct *a = acct_at(slot);

	if (a && event)
		block_free(a, slot, event->block);
	return 0;
}

/* An allocation; moved: what realloc took it from, or none. */
GLOBAL int batch_alloc(u32 slot, struct mt_batch_event *event, u64 moved)
{
	struct mt_acct *a = acct_at(slot);
	struct mt_spill block = {}, old = {};

	if (!a || !event)
		return 0;
	if (moved) {
		__sync_fetch_and_add(&a->reallocs, 1);
		if (!block_take(a, slot, moved, &old))
			unknown_free(a, slot, moved);
	}
	block.size = event->size;
	block.site = batch_site(slot, event->site);
	block.born_ns = bpf_ktime_get_ns();
	block_put(a, slot, event->block, &block, &old);
	return 0;
}

static __always_inline void batch_settle(struct batch_run *r)
{
	if (r->held.block)
		batch_alloc(r->slot, &r->held, r->moved);
	r->held.block = 0;
	r->moved = 0;
}

static __always_inline void batch_event(struct batch_run *r, struct mt_batch_event *event)
{
	switch (event->site) {
	case MT_BATCH_FREE:
		if (r->held.block == event->block && !r->moved) {
			batch_temporary(r->slot, &r->held);
			r->held.block = 0;
		} else {
			batch_settle(r);
			batch_free(r->slot, event);
		}
		break;
	case MT_BATCH_MOVED:
		batch_settle(r);
		r->moved = event->block;
		break;
	default:
		if (r->held.block)
			batch_settle(r);
		r->held = *event;
	}
}

/* True when there are more. */
GLOBAL int batch_chunk(struct batch_run *r)
{
	u64 left, first, cnt;

	if (!r)
		return 0;
	left = r->head - r->at;
	first = r->at % MT_BATCH_EVENTS;
	cnt = MT_BATCH_EVENTS - first;
	if (cnt > left)
		cnt = left;
	if (cnt > MT_BATCH_CHUNK)
		cnt = MT_BATCH_CHUNK;
	BOUND(cnt, 2 * MT_BATCH_CHUNK - 1);
	if (cnt > MT_BATCH_CHUNK) /* the same again, where the verifier sees it */
		return 0;
	/* no more than was written: the next page may not be there */
	if (bpf_probe_read_user(r->events, cnt * sizeof(r->events[0]),
				(void *)(r->events_at + first * sizeof(r->events[0])))) {
		r->err = 1;
		return 0;
	}
#pragma clang loop unroll(full)
	for (u32 n = 0; n < MT_BATCH_CHUNK; n++)
		if (n < cnt)
			batch_event(r, &r->events[n]);
	r->at += cnt;
	return r->at != r->head;
}

/* Accounts for what is new in the pages. 0, or -1 when they cannot be read. */
static __always_inline int batch_read(struct mt_keeping *k, struct mt_task *t)
{
	struct mt_batch *pages = (void *)k->pages;
	struct batch_run *r = &t->run;
	u64 head, at = k->applied;

	if (bpf_probe_read_user(&head, sizeof(head), &pages->head))
		return -1;
	if (at == head)
		return 0;
	if (head - at > MT_BATCH_EVENTS) {
		__sync_fetch_and_add(&control.losses[MT_LOSS_BATCH_LOST], head - at - MT_BATCH_EVENTS);
		at = head - MT_BATCH_EVENTS;
	}
	r->head = head;
	r->at = at;
	r->events_at = (u64)pages->events;
	r->held.block = 0;
	r->moved = 0;
	r->slot = t->acct;
	r->err = 0;
	for (int i = 0; i < CHUNKS_MAX; i++)
		if (!batch_chunk(r))
			break;
	batch_settle(r);
	k->applied = r->at;
	return r->err ? -1 : 0;
}

/* For a thread that keeps events, at a moment when it does nothing itself. */
GLOBAL int batch_look(struct mt_task *t)
{
	struct mt_keeping *k;
	struct mt_acct *a;
	int err;

	if (!t || is_closed())
		return 0;
	a = acct_at(t->acct);
	k = keeping_of(t->acct);
	if (!a || a->id != t->acct_id || !k || !k->pages || __sync_val_compare_and_swap(&k->busy, 0, 1))
		return 0;
	err = batch_read(k, t);
	*(volatile u32 *)&k->busy = 0;
	return err;
}

static __always_inline struct mt_task *keeper(void)
{
	struct mt_task *t = with_batches ? task_get(0) : NULL;

	return t && t->keeps ? t : NULL;
}

/* Everywhere a thread that keeps events is about to do something else: raw tracepoints, before the programs
 * of life.h; and run by the session on one CPU after another, whatever that interrupts. */
SEC("raw_tp")
int batch_now(void *ctx)
{
	struct mt_task *t = keeper();

	if (t)
		batch_look(t);
	return 0;
}

/* The thread ends. Was all of it accounted for? Before Linux 6.16 its memory is gone by now. A child that shared
 * the memory (vfork) may have written there for its parent, who goes on. */
static __always_inline void batch_at_end(void)
{
	struct mt_task *t = keeper();
	struct mt_keeping *k = t ? keeping_of(t->acct) : NULL;
	struct mt_acct *a = t ? acct_at(t->acct) : NULL;
	struct mt_batch *pages;
	u64 head = 0;

	if (!k || !k->pages || !a || a->sharers > 1)
		return;
	pages = (void *)k->pages;
	if (!bpf_probe_read_user(&head, sizeof(head), &pages->head) && head == k->applied)
		k->pages = 0;
}

/* Only a thread that nobody announced can come while another one's events are read. */
GLOBAL int keeping_claim(u32 slot)
{
	struct mt_keeping *k = keeping_of(slot);

	for (int try = 0; k && try < BUSY_TRIES; try++)
		if (!__sync_val_compare_and_swap(&k->busy, 0, 1))
			return 1;
	return 0;
}

GLOBAL int room_wait(u64 until_ns)
{
	for (int try = 0; try < BUSY_TRIES; try++)
		if (!*(volatile u32 *)&control.want_live || bpf_ktime_get_ns() > until_ns)
			return 1;
	return 0;
}

/* While the table grows, fewer blocks come than one by one, or it would be full before. */
static __always_inline void room_let_come(void)
{
	u64 until_ns;

	if (!*(volatile u32 *)&control.want_live)
		return;
	until_ns = bpf_ktime_get_ns() + ROOM_WAIT_NS;
	for (int try = 0; try < BUSY_TRIES; try++)
		if (room_wait(until_ns))
			break;
}

/* batch(pages, stays) */
SEC("uprobe")
int preload_batch(struct pt_regs *ctx)
{
	u64 pages = PT_REGS_PARM1(ctx), stays = PT_REGS_PARM2(ctx), head = 0;
	struct mt_acct *a = NULL;
	struct mt_task *t = lane_task(&a, MT_LANE_PRELOAD);
	struct mt_keeping *k = t ? keeping_of(t->acct) : NULL;
	bool claimed = false;

	if (!k || !a)
		return 0;
	if (k->pages) {
		for (int try = 0; try < BUSY_TRIES && !claimed; try++)
			claimed = keeping_claim(t->acct);
		if (!claimed)
			return 0; /* what is there stays, to be read later */
		/* what cannot be read now may be later, or is written over, or was the last */
		if (batch_read(k, t) && !stays)
			count_loss(MT_LOSS_BATCH_UNREAD);
		*(volatile u32 *)&k->busy = 0;
		room_let_come();
	} else if (stays && !bpf_probe_read_user(&head, sizeof(head), &((struct mt_batch *)pages)->head)) {
		k->applied = head;
		k->pages = pages;
	}
	t->keeps = stays != 0;
	if (!stays)
		k->pages = 0;
	return 0;
}

/* ---- call paths ------------------------------------------------------------------------------------ */

static __always_inline u32 path_end(const struct mt_task *t)
{
	return t->stack_end == MT_END_COMPLETE ? MT_PATH_COMPLETE :
	       t->stack_end == MT_END_DEPTH    ? MT_PATH_DEPTH :
						 MT_PATH_GOES_ON;
}

/* Answers a ticket: the path that was walked just now, and the rules on it. */
GLOBAL int path_tell(struct mt_task *t, u32 site, u64 ticket)
{
	struct mt_acct *a;
	struct mt_path *p;
	u32 kind;

	if (!t)
		return 0;
	a = acct_at(t->acct);
	p = a ? bpf_ringbuf_reserve(&paths, sizeof(*p), 0) : NULL;
	if (!p)
		return 0;
	p->acct = t->acct;
	p->site = site;
	p->acct_id = a->id;
	p->ticket = ticket;
	p->tgid = a->tgid;
	p->end = site ? path_end(t) : MT_PATH_GOES_ON;
	p->frame_cnt = t->frame_cnt;
	p->pad = 0;
	for (u32 n = 0; n < MT_STACK_DEPTH_MAX; n++) {
		if (n >= t->frame_cnt)
			break;
		p->pcs[n] = t->frames[n];
		p->rules[n] = rule_at(t, MT_PC(t->frames[n]) - 1);
		kind = MT_RULE_KIND(p->rules[n]);
		if (t->frames[n] & MT_PC_EXACT || kind == MT_ROW_NONE || kind == MT_ROW_SIGNAL ||
		    kind >= MT_ROW_UNSUPPORTED)
			p->end = MT_PATH_GOES_ON;
	}
	bpf_ringbuf_submit(p, 0);
	return 0;
}

#endif
