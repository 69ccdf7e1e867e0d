/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * member.h - which address space a thread group runs in, and how accounts begin and end.
 *
 * An account is an address space. Thread groups join it (the first, and CLONE_VM children) and
 * leave it by exec or exit; the last to leave ends it. A forked child holds a reference on the
 * account it was copied from, because it may free blocks of it.
 */
#ifndef MEMTRACE_BPF_MEMBER_H
#define MEMTRACE_BPF_MEMBER_H

static __always_inline void acct_news(u32 kind, const struct mt_acct *a, u32 slot)
{
	struct mt_news item = {};

	item.kind = kind;
	item.tgid = a->tgid;
	item.time_ns = bpf_ktime_get_ns();
	item.acct = slot;
	item.scope = a->scope;
	item.acct_id = a->id;
	news_send(&item);
}

static __always_inline struct mt_keeping *keeping_of(u32 slot)
{
	return bpf_map_lookup_elem(&keeping, &slot);
}

static __always_inline void keeping_end(u32 slot)
{
	struct mt_keeping *k = with_batches ? keeping_of(slot) : NULL;

	if (k)
		k->pages = 0;
}

/* A new account in *slot, or NULL (counted). */
static __always_inline struct mt_acct *acct_create(u32 *slot, u32 tgid, u32 ppid, u32 scope)
{
	u32 got = acct_pop();
	struct mt_acct *a = got ? acct_at(got) : NULL;

	if (!a) {
		count_loss(MT_LOSS_ACCT_TABLE_FULL);
		return NULL;
	}
	__builtin_memset(a, 0, sizeof(*a));
	keeping_end(got);
	a->id = __sync_fetch_and_add(&control.next_acct_id, 1);
	a->tgid = tgid;
	a->ppid = ppid;
	a->scope = scope;
	a->sharers = 1;
	a->space = a->id;
	a->start_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(a->comm, sizeof(a->comm));
	*(volatile u32 *)&a->state = MT_ACCT_LIVE;
	*slot = got;
	return a;
}

static __always_inline void scope_leave(u32 scope, s64 bytes)
{
	struct mt_scope *s = bpf_map_lookup_elem(&scopes, &scope);

	if (s)
		__sync_fetch_and_add(&s->live_bytes, -bytes);
}

static __always_inline void acct_end(struct mt_acct *a, u32 slot, u32 why, s32 exit_code)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	struct mt_keeping *k = with_batches ? keeping_of(slot) : NULL;

	if (k && k->pages)
		count_loss(MT_LOSS_BATCH_UNREAD);
	a->ended_by = why;
	a->exit_code = exit_code;
	a->end_ns = bpf_ktime_get_ns();
	if (why != MT_ENDED_EXEC) /* else it has its successor's name already */
		BPF_CORE_READ_STR_INTO(&a->comm, task, group_leader, comm);
	scope_leave(0, a->live_bytes);
	if (a->scope)
		scope_leave(a->scope, a->live_bytes);
	/* its reference on the account it was copied from goes when it is released: a child of its own
	 * may still free blocks of that one */
	*(volatile u32 *)&a->state = MT_ACCT_ENDED;
	acct_news(MT_NEWS_END, a, slot);
}

/* A thread group leaves an account. */
static __always_inline void acct_leave(u32 slot, u32 why, s32 exit_code)
{
	struct mt_acct *a = slot ? acct_at(slot) : NULL;

	if (!a || a->state != MT_ACCT_LIVE)
		return;
	if (__sync_fetch_and_add(&a->sharers, -1) == 1)
		acct_end(a, slot, why, exit_code);
}

static __always_inline u32 parent_tgid(struct task_struct *task)
{
	return BPF_CORE_READ(task, real_parent, tgid);
}

static __always_inline bool adopt_wants(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	char comm[MT_COMM_LEN] = {};

	switch (control.adopt) {
	case MT_ADOPT_ALL:
		return true;
	case MT_ADOPT_CGROUP:
		return bpf_current_task_under_cgroup(&cgroups, 0) == 1;
	case MT_ADOPT_COMM:
		BPF_CORE_READ_STR_INTO(&comm, task, group_leader, comm);
		for (int i = 0; i < MT_COMM_LEN; i++) {
			if (comm[i] != control.adopt_comm[i])
				return false;
			if (!comm[i])
				break;
		}
		return true;
	}
	return false;
}

/* With inode-wide probes: takes a process in at its first call. */
static __noinline u32 member_adopt(u32 tgid)
{
	struct mt_membership m = {};
	struct mt_acct *a;

	if (tgid == control.self_tgid || !adopt_wants())
		return 0;
	a = acct_create(&m.acct, tgid, parent_tgid((void *)bpf_get_current_task()), 0);
	if (!a)
		return 0;
	a->threaded = MT_THREADED_ASSUMED;
	if (bpf_map_update_elem(&members, &tgid, &m, BPF_NOEXIST)) {
		/* another thread of it was first */
		struct mt_membership *other = bpf_map_lookup_elem(&members, &tgid);

		*(volatile u32 *)&a->state = MT_ACCT_VOID;
		return other ? other->acct : 0;
	}
	acct_news(MT_NEWS_ADOPT, a, m.acct);
	return m.acct;
}

/* Slot of the current thread group's account, or 0. */
static __always_inline u32 member_slot(u32 tgid)
{
	struct mt_membership *m = bpf_map_lookup_elem(&members, &tgid);

	if (m)
		return m->acct;
	return control.adopt_at_call ? member_adopt(tgid) : 0;
}

/* Tracing ends at one point in time, while the probes go one after another: a free that is missed
 * after an allocation that was not would leave a block that is none. */
static __always_inline bool is_closed(void)
{
	return *(volatile u32 *)&control.epoch & MT_EPOCH_CLOSED;
}

/* The current thread's state when it is traced, else NULL. Threads nobody traces get none. */
static __always_inline struct mt_task *member_task(void)
{
	struct mt_task *t = task_get(0);
	u32 epoch = control.epoch, slot;
	struct mt_acct *a;

	if (t && t->epoch == epoch)
		return t->acct ? t : NULL;
	if (epoch & MT_EPOCH_CLOSED)
		return NULL;
	slot = member_slot(bpf_get_current_pid_tgid() >> 32);
	if (!t) {
		if (!slot)
			return NULL;
		t = task_create();
		if (!t) {
			count_loss(MT_LOSS_ENTRY_LOST);
			return NULL;
		}
	}
	if (t->acct != slot) {
		t->acct = slot;
		t->call = MT_CALL_NONE;
	}
	a = acct_at(slot);
	t->acct_id = a ? a->id : 0;
	t->epoch = epoch;
	return slot ? t : NULL;
}

#endif
