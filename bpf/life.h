/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* life.h - the programs on process life: fork, exec, exit. */
#ifndef MEMTRACE_BPF_LIFE_H
#define MEMTRACE_BPF_LIFE_H

#define CLONE_VM 0x00000100
#define CLONE_THREAD 0x00010000

/* Probes bound to a process do not fire for another thread group in its address space. */
static __always_inline void share_news(const struct mt_acct *a, u32 slot, u32 tgid)
{
	struct mt_news item = {};

	item.kind = MT_NEWS_SHARE;
	item.tgid = tgid;
	item.time_ns = bpf_ktime_get_ns();
	item.acct = slot;
	item.acct_id = a->id;
	count_notice(MT_NOTICE_SHARER_LATE);
	news_send(&item);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child, u64 clone_flags)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, child_tgid;
	struct mt_membership *parent, m = {};
	struct mt_acct *a, *forked;
	u64 now;

	parent = bpf_map_lookup_elem(&members, &tgid);
	if (!parent || !parent->acct || is_closed())
		return 0;
	a = acct_at(parent->acct);
	if (!a)
		return 0;
	if (clone_flags & CLONE_VM) /* before the newcomer can run */
		__sync_fetch_and_or(&a->threaded, MT_THREADED_SEEN);
	if (clone_flags & CLONE_THREAD)
		return 0;
	child_tgid = BPF_CORE_READ(child, tgid);
	if (clone_flags & CLONE_VM) {
		m = *parent;
		__sync_fetch_and_add(&a->sharers, 1);
		bpf_map_update_elem(&members, &child_tgid, &m, BPF_ANY);
		if (control.follow == MT_FOLLOW_BY_PID)
			share_news(a, m.acct, child_tgid);
		return 0;
	}
	if (control.follow == MT_FOLLOW_NONE)
		return 0;
	forked = acct_create(&m.acct, child_tgid, tgid, a->scope);
	if (!forked)
		return 0;
	m.scope = a->scope;
	forked->space = a->space;
	forked->lane = a->lane;
	forked->exec_pages = a->exec_pages;
	forked->removals = a->removals;
	now = forked->start_ns;
	forked->flags = MT_ACCT_FORKED | (a->flags & MT_ACCT_FROM_START);
	if (control.follow == MT_FOLLOW_BY_PID)
		forked->flags |= MT_ACCT_UNFOLLOWED;
	forked->parent = parent->acct;
	forked->parent_id = a->id;
	forked->fork_ns = now;
	a->last_fork_ns = now;
	__sync_fetch_and_add(&a->heirs, 1);
	bpf_map_update_elem(&members, &child_tgid, &m, BPF_ANY);
	acct_news(MT_NEWS_FORK, forked, m.acct);
	return 0;
}

static __always_inline void exec_file(struct linux_binprm *bprm, struct mt_file_id *id)
{
	id->ino = BPF_CORE_READ(bprm, file, f_inode, i_ino);
	id->dev = BPF_CORE_READ(bprm, file, f_inode, i_sb, s_dev);
}

/* The gate at open stands on the mounts of the tree's own namespace only. */
static __always_inline bool left_the_tree(struct task_struct *task)
{
	u32 home = control.tree_mnt_ns;

	return home && BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum) != home;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, old, *known;
	struct mt_membership *m = bpf_map_lookup_elem(&members, &tgid), fresh = {};
	struct mt_news item = {};
	struct mt_task *t;
	struct mt_acct *a;

	if (is_closed())
		return 0;
	exec_file(bprm, &item.file);
	known = bpf_map_lookup_elem(&known_files, &item.file);
	item.kind = MT_NEWS_EXEC;
	item.tgid = tgid;
	item.time_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(item.comm, sizeof(item.comm));
	if (!m && (tgid == control.self_tgid || !adopt_wants()))
		return 0;
	old = m ? m->acct : 0;
	fresh.scope = m ? m->scope : 0;
	a = acct_create(&fresh.acct, tgid, parent_tgid(task), fresh.scope);
	t = task_get(0);
	if (t) {
		task_abandon(t);
		t->epoch = 0;
		t->keeps = 0;
		t->trampoline = 0;
	}
	acct_leave(old, MT_ENDED_EXEC, 0);
	if (m) /* in place: that cannot fail, and leave the old account to the new program */
		*m = fresh;
	else
		bpf_map_update_elem(&members, &tgid, &fresh, BPF_ANY);
	if (!a)
		return 0;
	a->flags = MT_ACCT_FROM_START;
	a->lane = known && *known == MT_FILE_OWN ? MT_LANE_UPROBE : MT_LANE_OPEN;
	if (control.follow == MT_FOLLOW_BY_PID || (known && *known == MT_FILE_REFUSED))
		a->flags |= MT_ACCT_UNFOLLOWED;
	if ((control.stop_at_exec && !known) || left_the_tree(task))
		item.stopped = !bpf_send_signal(SIGNAL_STOP);
	if (item.stopped)
		a->flags |= MT_ACCT_HELD;
	item.acct = fresh.acct;
	item.acct_id = a->id;
	item.scope = fresh.scope;
	news_send(&item);
	return 0;
}

/* The last thread of a group is gone when signal->live reached 0; that is counted down before this
 * point on every kernel, while the address space may or may not be there still. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, slot;
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct mt_membership *m;
	struct mt_task *t;
	s32 code;

	batch_at_end();
	t = task_get(0);
	if (t)
		task_abandon(t);
	if (control.task_spilled)
		bpf_map_delete_elem(&task_spill, &tid);
	/* the tracer itself ends, perhaps killed: from here on nobody would let go who is stopped; this
	 * comes before its files are closed, so before the gate opens */
	if (tgid == control.self_tgid && BPF_CORE_READ(task, signal, live.counter) <= 0)
		__sync_fetch_and_or(&control.epoch, MT_EPOCH_CLOSED);
	m = bpf_map_lookup_elem(&members, &tgid);
	if (!m || BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	slot = m->acct;
	if (bpf_map_delete_elem(&members, &tgid))
		return 0; /* two threads left at once: the other one does it */
	code = BPF_CORE_READ(task, signal, group_exit_code);
	if (!code)
		code = BPF_CORE_READ(task, group_leader, exit_code);
	acct_leave(slot, code & 0x7f ? MT_ENDED_SIGNAL : MT_ENDED_EXIT, code);
	return 0;
}

/* Read once when the probes are gone: threads that were inside realloc then will not be seen to come
 * back. */
SEC("iter/task")
int settle_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct mt_task *t;
	u32 tid;

	if (!task)
		return 0;
	t = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!t) {
		tid = task->pid;
		t = bpf_map_lookup_elem(&task_spill, &tid);
	}
	if (t)
		task_abandon(t);
	return 0;
}

#endif
