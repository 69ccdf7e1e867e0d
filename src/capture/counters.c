// SPDX-License-Identifier: MIT
/* counters.c - the part of a snapshot that costs next to nothing: figures that the tables hold. */
#include "capture/session.h"

#include <errno.h>
#include <stdlib.h>

#include "model/snapshot.h"

static int add_account(const struct memtrace *s, struct memtrace_snapshot *snap,
		       const struct account_record *r)
{
	const struct mt_acct *a = &r->acct;
	struct memtrace_process *p = snapshot_add_process(snap, a->id);

	if (!p)
		return -ENOMEM;
	p->pid = a->tgid;
	report_take_end(p, a);
	p->started_s = session_since_ready(s, a->start_ns);
	p->ended_s = a->end_ns ? session_since_ready(s, a->end_ns) : -1;
	p->since_attach = !(a->flags & MT_ACCT_FROM_START);
	p->live_bytes = a->live_bytes > 0 ? a->live_bytes : 0;
	p->alloc_bytes = r->alloc_bytes;
	for (uint32_t i = 0; i < r->site_cnt; i++) {
		const struct site_record *record = &r->sites[i];
		struct memtrace_site *site =
			snapshot_add_site(snap, session_site_id(a->id, record->number), a->id, 0);

		if (!site)
			return -ENOMEM;
		site->live_bytes = record->live_bytes;
		site->alloc_bytes = record->alloc_bytes;
	}
	return 0;
}

static int add_running(const struct memtrace *s, struct memtrace_snapshot *snap, uint64_t now_ns)
{
	struct gather_options options = { .now_ns = now_ns, .counters_only = true };
	bool *slots = calloc(s->tables.acct_cnt, sizeof(*slots));
	struct account_record *records = NULL;
	int cnt, err = 0;

	if (!slots)
		return -ENOMEM;
	report_mark_slots(s, slots);
	cnt = gather_accounts(&s->tables, slots, &options, &records);
	free(slots);
	for (int i = 0; i < cnt; i++) {
		records[i].acct.end_ns = 0; /* a death since is for the next time */
		records[i].acct.ended_by = MT_ENDED_NOT;
		if (!err)
			err = add_account(s, snap, &records[i]);
		account_record_fini(&records[i]);
	}
	free(records);
	return cnt < 0 ? cnt : err;
}

int counters_take(struct memtrace *s, struct memtrace_snapshot **out)
{
	struct memtrace_snapshot *snap = snapshot_new();
	uint64_t now_ns = report_time(s);
	int err = 0;

	if (!snap)
		return -ENOMEM;
	snap->duration_s = session_since_ready(s, now_ns);
	for (size_t i = s->past_counted; i < s->past_cnt && !err; i++)
		err = add_account(s, snap, &s->past[i].record);
	if (!err)
		err = add_running(s, snap, now_ns);
	if (err) {
		memtrace_snapshot_free(snap);
		return err;
	}
	s->past_counted = s->past_cnt;
	*out = snap;
	return 0;
}
