/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * inherit.h - blocks a forked child got with its copy of the heap.
 *
 * They belong to the parent's account. When the child frees one, the parent's table (or, if the
 * parent freed its own copy in the meantime, the ghost it left) proves that the block was live at
 * the fork.
 *
 *	parent   alloc----------free
 *	               fork            -> child's free is inherited: born < fork <= died
 */
#ifndef MEMTRACE_BPF_INHERIT_H
#define MEMTRACE_BPF_INHERIT_H

#define ANCESTORS_MAX 16

/* The parent frees a block that a child may still hold: leave a ghost. */
static __always_inline void ghost_leave(const struct mt_acct *a, u64 key,
					const struct mt_spill *block, u64 now_ns)
{
	struct mt_ghost ghost = { .born_ns = block->born_ns, .died_ns = now_ns };
	long err;

	if (block->born_ns >= a->last_fork_ns)
		return;
	err = bpf_map_update_elem(&ghosts, &key, &ghost, BPF_NOEXIST);
	if (!err)
		__sync_fetch_and_add(&control.ghosts, 1);
	else /* no room, or an older ghost of the address is there, for an older child */
		count_notice(MT_NOTICE_GHOSTS_FULL);
}

/* Was addr live in an ancestor when this heap was copied from it? */
GLOBAL int block_is_inherited(u32 slot, u64 addr)
{
	struct mt_acct *a = acct_at(slot);

	for (int n = 0; n < ANCESTORS_MAX; n++) {
		struct mt_spill block = {};
		struct mt_ghost *ghost;
		u64 fork_ns, key;
		u32 parent;

		if (!a || !a->parent)
			return 0;
		parent = a->parent;
		fork_ns = a->fork_ns;
		key = live_key(addr, parent);
		if (!key)
			return 0;
		if (live_find(key, &block, LIVE_LOOK) && block.born_ns < fork_ns)
			return 1;
		ghost = bpf_map_lookup_elem(&ghosts, &key);
		if (ghost && ghost->born_ns < fork_ns && ghost->died_ns >= fork_ns)
			return 1;
		a = acct_at(parent);
	}
	return 0;
}

#endif
