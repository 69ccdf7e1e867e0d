/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/* count.h - the one place where something missed or odd is counted, and news is sent. */
#ifndef MEMTRACE_BPF_COUNT_H
#define MEMTRACE_BPF_COUNT_H

static __always_inline void count_loss(enum mt_loss cause)
{
	__sync_fetch_and_add(&control.losses[cause], 1);
}

static __always_inline void count_notice(enum mt_notice what)
{
	__sync_fetch_and_add(&control.notices[what], 1);
}

static __always_inline struct mt_percpu *percpu_counters(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&percpu, &zero);
}

/* News is a hint: a dropped one changes no figure, user space finds the facts in the tables. */
static __always_inline void news_send(struct mt_news *item)
{
	if (bpf_ringbuf_output(&news, item, sizeof(*item), 0))
		count_notice(MT_NOTICE_NEWS_DROPPED);
}

enum { WANT_LIVE, WANT_INDEX };

/* Asks once for room; user space clears the flag when it has added some. */
GLOBAL int want_room(u32 which)
{
	u32 *flag = which == WANT_LIVE ? &control.want_live : &control.want_index;

	if (*(volatile u32 *)flag || __sync_lock_test_and_set(flag, 1))
		return 0;
	bpf_ringbuf_output(&growth, &which, sizeof(which), 0);
	return 0;
}

#endif
