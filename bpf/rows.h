/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * rows.h - from an address in a process to the rule of its unwind row.
 *
 *	pc -> row_cache: one word, tag and rule together          (warm: one look-up)
 *	   -> the mapping that holds it -> the file -> its table -> binary search     (cold)
 *
 * The kernel itself is asked for the mapping, so there is no copy of the process's map that could lag
 * behind. Files are told apart by inode, device and time of change; user space puts their tables in.
 * The cache is shared by processes of one space: a number that forked children have from their
 * parent, and that changes when something new is mapped.
 */
#ifndef MEMTRACE_BPF_ROWS_H
#define MEMTRACE_BPF_ROWS_H

/* Rules no table has: why there is none. */
#define RULE_NO_TABLE 15U /* a file without a table, yet */
#define RULE_BUSY 14U	  /* the map of the process was locked: as good as no table */

#define RULE_GENERATED MT_RULE(MT_ROW_GENERATED, 0, 0)

#define MAP_TRIES 16 /* other threads hold the lock of the map for moments */
#define PAGE_SHIFT 12
#define VM_EXEC 4
#define CTIME_MASK 0x3fffffff /* above nanoseconds some kernels keep a flag */

/* The mapping that holds an address. */
struct mapping {
	struct mt_code_file file;
	u64 pc;
	u64 offset; /* of pc in the file */
	u32 has_file;
	u32 is_code;
};

struct inode___6_6 { /* to 6.10 */
	struct timespec64 __i_ctime;
} __attribute__((preserve_access_index));

struct inode___6_11 { /* and on */
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

static __always_inline u64 change_time(struct inode *inode)
{
	struct inode___6_11 *newest = (void *)inode;
	struct inode___6_6 *newer = (void *)inode;
	u64 sec, nsec;

	if (bpf_core_field_exists(newest->i_ctime_sec)) {
		sec = BPF_CORE_READ(newest, i_ctime_sec);
		nsec = BPF_CORE_READ(newest, i_ctime_nsec);
	} else if (bpf_core_field_exists(newer->__i_ctime)) {
		sec = BPF_CORE_READ(newer, __i_ctime.tv_sec);
		nsec = BPF_CORE_READ(newer, __i_ctime.tv_nsec);
	} else {
		sec = BPF_CORE_READ(inode, i_ctime.tv_sec);
		nsec = BPF_CORE_READ(inode, i_ctime.tv_nsec);
	}
	return MT_CODE_VERSION(sec, nsec & CTIME_MASK);
}

static __always_inline void code_file(struct inode *inode, struct mt_code_file *file)
{
	file->ino = BPF_CORE_READ(inode, i_ino);
	file->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	file->version = change_time(inode);
}

static long see_mapping(struct task_struct *task, struct vm_area_struct *vma, struct mapping *m)
{
	struct inode *inode = BPF_CORE_READ(vma, vm_file, f_inode);

	m->is_code = BPF_CORE_READ(vma, vm_flags) & VM_EXEC;
	if (!inode)
		return 0;
	m->has_file = 1;
	m->offset = m->pc - BPF_CORE_READ(vma, vm_start) +
		    ((u64)BPF_CORE_READ(vma, vm_pgoff) << PAGE_SHIFT);
	code_file(inode, &m->file);
	return 0;
}

/* Tells a process's mappings of files as the probes see them: some file systems (overlay, btrfs) tell
 * user space another device or inode. */
SEC("iter/task_vma")
int list_code(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct mt_code_mapping item = {};
	struct inode *inode;

	if (!vma || !task || (u32)task->tgid != control.listed_tgid)
		return 0;
	inode = BPF_CORE_READ(vma, vm_file, f_inode);
	if (!inode)
		return 0;
	item.start = BPF_CORE_READ(vma, vm_start);
	code_file(inode, &item.file);
	bpf_seq_write(ctx->meta->seq, &item, sizeof(item));
	return 0;
}

#define NOTHING_MAPPED (-2) /* -ENOENT */

static long see_place(struct task_struct *task, struct vm_area_struct *vma, struct mt_place *p)
{
	struct inode *inode = BPF_CORE_READ(vma, vm_file, f_inode);
	u64 what;

	p->start = BPF_CORE_READ(vma, vm_start);
	p->end = BPF_CORE_READ(vma, vm_end);
	if (!inode)
		return 0;
	what = p->start - ((u64)BPF_CORE_READ(vma, vm_pgoff) << PAGE_SHIFT);
	what = HASH_MIX(what, BPF_CORE_READ(inode, i_ino));
	what = HASH_MIX(what, (u64)BPF_CORE_READ(inode, i_sb, s_dev));
	p->what = HASH_MIX(what, change_time(inode));
	return 0;
}

/* Looks at what is mapped at an address, unless it is what was looked at last. */
GLOBAL int place_move(struct mt_task *t, u64 pc)
{
	struct mt_place p = {};
	long err;

	if (!t)
		return -1;
	if (pc - t->place.start < t->place.end - t->place.start)
		return 0;
	err = bpf_find_vma(bpf_get_current_task_btf(), pc, see_place, &p, 0);
	t->place = p;
	return err == NOTHING_MAPPED ? 0 : err;
}

/* A hash of what is mapped at the frames in t, in t->places; 0 when the map of the process was locked. */
GLOBAL int stack_places(struct mt_task *t)
{
	u64 hash = HASH_PRIME;

	if (!t)
		return 0;
	t->places = t->place.start = t->place.end = 0;
	for (u32 i = 0; i < MT_STACK_DEPTH_MAX; i++) {
		if (i >= t->frame_cnt)
			break;
		if (place_move(t, MT_PC(t->frames[i]) - 1))
			return 0;
		hash = HASH_MIX(hash, t->place.what);
	}
	t->places = hash | 1;
	return 0;
}

static __always_inline struct mt_row *row_at(u32 row)
{
	u32 segment = row / MT_ROW_SEGMENT, slot = row % MT_ROW_SEGMENT;
	void *inner = bpf_map_lookup_elem(&rows, &segment);

	return inner ? bpf_map_lookup_elem(inner, &slot) : NULL;
}

/* The rule of the last of cnt rows from first on that is not behind offset. */
GLOBAL int rows_search(u32 first, u32 cnt, u32 offset)
{
	u32 low = 0, high = cnt, rule = MT_ROW_NONE;

	for (int step = 0; step < 32; step++) {
		u32 middle = low + (high - low) / 2;
		struct mt_row *row;

		if (low >= high)
			break;
		row = row_at(first + middle);
		if (!row)
			return RULE_NO_TABLE;
		if (row->pc <= offset) {
			rule = row->rule;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return rule;
}

/* The rule at pc, the long way. */
GLOBAL int rule_find(struct mt_task *t, u64 pc)
{
	struct mapping m = { .pc = pc };
	struct mt_code_table *table;
	long err = -1;

	if (!t)
		return RULE_NO_TABLE;
	t->missing.ino = 0;
	for (int try = 0; try < MAP_TRIES && err; try++)
		err = bpf_find_vma(bpf_get_current_task_btf(), pc, see_mapping, &m, 0);
	if (err)
		return RULE_BUSY;
	if (!m.is_code)
		return MT_ROW_NONE;
	if (!m.has_file)
		return RULE_GENERATED;
	table = bpf_map_lookup_elem(&code_files, &m.file);
	if (!table) {
		t->missing = m.file;
		t->missing_pc = pc;
		return RULE_NO_TABLE;
	}
	if (m.offset >> 32)
		return MT_ROW_NONE;
	return rows_search(table->first, table->cnt, m.offset);
}

GLOBAL u32 rule_generated(u64 pc)
{
	u64 code = 0;

	bpf_probe_read_user(&code, sizeof(code), (void *)pc);
	return mt_generated_rule(code);
}

/* The rule at pc. */
static __always_inline u32 rule_at(struct mt_task *t, u64 pc)
{
	u64 hash = (pc ^ (u64)*(volatile u32 *)&t->space << 32) * HASH_PRIME;
	u32 at = hash >> 48 & (MT_ROW_CACHE - 1), tag = hash >> 16, rule;
	u64 *word = bpf_map_lookup_elem(&row_cache, &at), seen;

	if (!word)
		return RULE_NO_TABLE;
	seen = *(volatile u64 *)word;
	if (seen >> 32 == tag)
		return seen;
	rule = rule_find(t, pc);
	if (MT_RULE_KIND(rule) < MT_ROW_KIND_CNT)
		*(volatile u64 *)word = (u64)tag << 32 | rule;
	return rule;
}

/* The rule for the frame in t, ready for a step. What generated code is can change at any time, so it is
 * looked at each time. */
static __always_inline u32 rule_of_frame(struct mt_task *t)
{
	u32 rule = rule_at(t, mt_frame_lookup_pc(&t->frame));

	if (rule == RULE_GENERATED)
		rule = rule_generated(t->frame.pc);
	return rule;
}

#endif
