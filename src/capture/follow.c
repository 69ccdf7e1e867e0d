// SPDX-License-Identifier: MIT
/* follow.c - acts on news from the probes: forks, execs, ends, limits. The tables hold the facts;
 * news only says that it is time to look. */
#include "capture/session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/modules.h"
#include "capture/process.h"
#include "capture/records.h"
#include "capture/spaces.h"
#include "capture/symbols.h"
#include "capture/unwind.h"
#include "memtrace.skel.h"

/* Probes are in place for a process that ran a while without them. */
static void mark_late(struct mt_acct *a)
{
	a->followed_ns = session_now_ns();
	__atomic_and_fetch(&a->flags, ~MT_ACCT_UNFOLLOWED, __ATOMIC_ACQ_REL);
	__atomic_or_fetch(&a->flags, MT_ACCT_LATE, __ATOMIC_ACQ_REL);
}

/* The account that news is about, if it is still that one. */
static struct mt_acct *news_acct(struct memtrace *s, const struct mt_news *news)
{
	struct mt_acct *a;

	if (!news->acct || news->acct >= s->tables.acct_cnt)
		return NULL;
	a = &s->tables.accts[news->acct];
	return a->id == news->acct_id ? a : NULL;
}

static void mark_followed(struct memtrace *s, const struct mt_news *news)
{
	struct mt_acct *a = news_acct(s, news);

	if (a)
		mark_late(a);
}

/* Files are kept open from when they are mapped on: by the time they are wanted for names they may be
 * deleted, or replaced, or the process may be gone and its mounts with it. */
static void keep_file(struct memtrace *s, uint32_t tgid, uint64_t address, uint64_t time_ns)
{
	struct space *space = spaces_get(s->spaces, tgid, time_ns);
	const struct module_range *range =
		space ? modules_find(space_modules(space), address) : NULL;

	if (range)
		symbols_meet(s->symbols, range, tgid);
	space_put(space);
}

void follow_load_maps(struct memtrace *s, pid_t pid)
{
	uint64_t now = session_now_ns();
	const struct modules *modules;
	struct space *space;

	if (spaces_load(s->spaces, pid, now))
		return;
	space = spaces_get(s->spaces, pid, now);
	modules = space ? space_modules(space) : NULL;
	for (size_t i = 0; modules && i < modules->cnt && s->target != TARGET_ALL; i++)
		symbols_meet(s->symbols, &modules->ranges[i], pid);
	space_put(space);
}

/* A traced process mapped code: a library by dlopen, perhaps with an allocator of its own. This comes
 * after the fact, so what is probed now marks the process as followed late. */
static void look_at_map(struct memtrace *s, const struct record *record)
{
	struct process_map map = {
		.start = record->start, .end = record->end, .pgoff = record->pgoff,
		.executable = true, .path = record->path,
	};
	struct mt_membership member;
	uint32_t tgid = record->tgid;
	struct mt_acct *a;

	if (!s->started || s->detached || record->path[0] != '/' ||
	    bpf_map_lookup_elem(bpf_map__fd(s->programs.skel->maps.members), &tgid, &member) ||
	    !member.acct || member.acct >= s->tables.acct_cnt)
		return;
	keep_file(s, tgid, record->start, record->time_ns);
	/* of the image before its exec, or what exec itself mapped, which was looked at then */
	a = &s->tables.accts[member.acct];
	if (a->flags & MT_ACCT_FROM_START && record->time_ns < a->start_ns)
		return;
	if (targets_attach_map(s, tgid, &map) <= 0)
		return;
	if (a->state != MT_ACCT_LIVE || a->tgid != tgid || a->flags & MT_ACCT_HELD)
		return;
	mark_late(a);
	__atomic_add_fetch(&s->tables.control->notices[MT_NOTICE_ALLOCATOR_LATE], 1,
			   __ATOMIC_RELAXED);
}

/* What the probes remember of addresses in this process holds no more where something else is mapped
 * now. */
static void forget_rules(struct memtrace *s, const struct record *record)
{
	struct space *space = spaces_get(s->spaces, record->tgid, record->time_ns);
	const struct modules *modules = space ? space_modules(space) : NULL;
	struct mt_membership member;
	uint32_t tgid = record->tgid;

	if (modules &&
	    (modules_find(modules, record->start) || modules_find(modules, record->end - 1)) &&
	    !bpf_map_lookup_elem(bpf_map__fd(s->programs.skel->maps.members), &tgid, &member) &&
	    member.acct && member.acct < s->tables.acct_cnt)
		__atomic_store_n(&s->tables.accts[member.acct].space,
				 MT_SPACE_CHANGED | s->spaces_changed++, __ATOMIC_RELEASE);
	space_put(space);
}

static void see_record(void *ctx, const struct record *record)
{
	struct memtrace *s = ctx;

	if (record->kind == RECORD_MAP && s->code)
		forget_rules(s, record);
	spaces_see(s->spaces, record);
	if (record->kind == RECORD_MAP)
		look_at_map(s, record);
}

void follow_drain_maps(struct memtrace *s, bool settled_only)
{
	records_drain(s->records, settled_only, see_record, s);
}

/* A forked child runs what its parent ran; it may be gone by now, the parent's slot is kept. */
static void inherit_exe(struct memtrace *s, const struct mt_news *news)
{
	const struct mt_acct *a;

	if (!news->acct || news->acct >= s->tables.acct_cnt)
		return;
	a = &s->tables.accts[news->acct];
	if (a->id != news->acct_id || a->parent >= s->tables.acct_cnt || !s->exes[a->parent])
		return;
	free(s->exes[news->acct]);
	s->exes[news->acct] = strdup(s->exes[a->parent]);
}

static void on_fork(struct memtrace *s, const struct mt_news *news)
{
	bool any;

	inherit_exe(s, news);
	if (!s->by_pid)
		return;
	if (!targets_attach_process(s, news->tgid, &any) && any)
		mark_followed(s, news);
}

static void remember_exe(struct memtrace *s, const struct mt_news *news)
{
	follow_drain_maps(s, false); /* the new image's space begins with a record */
	spaces_look(s->spaces, news->tgid);
	if (!news->acct || news->acct >= s->tables.acct_cnt)
		return;
	free(s->exes[news->acct]);
	s->exes[news->acct] = process_exe(news->tgid);
}

static void on_exec(struct memtrace *s, const struct mt_news *news)
{
	uint32_t known = MT_FILE_PROBED;
	struct mt_acct *a = news_acct(s, news);
	bool any, otel = false, withheld;
	int err;

	remember_exe(s, news);
	if (!s->by_pid && !news->stopped && s->target == TARGET_COMMAND)
		return; /* the gate saw it, or a file that is known: its allocators are probed */
	withheld = news->stopped && lanes_withhold(s, news->tgid);
	err = targets_prepare_exec(s, news->tgid, &otel);
	if (a && otel)
		otel_lane_claim(a);
	if (news->stopped) {
		targets_attach_process(s, news->tgid, &any); /* a static program by what is mapped */
		if (!withheld)
			bpf_map_update_elem(bpf_map__fd(s->programs.skel->maps.known_files),
					    &news->file, &known, BPF_ANY);
		if (a)
			__atomic_and_fetch(&a->flags, ~MT_ACCT_HELD, __ATOMIC_ACQ_REL);
		kill(news->tgid, SIGCONT);
	}
	if (err >= 0 && s->by_pid)
		mark_followed(s, news);
}

/* A thread group that shares a traced address space: probes bound to a process do not cover it. What
 * it allocated before this is counted as a notice (sharers_followed_late) and nowhere else. */
static void on_share(struct memtrace *s, const struct mt_news *news)
{
	bool any;

	if (s->by_pid)
		targets_attach_process(s, news->tgid, &any);
}

static void on_adopt(struct memtrace *s, const struct mt_news *news)
{
	struct mt_acct *a = news_acct(s, news);

	follow_load_maps(s, news->tgid);
	remember_exe(s, news);
	if (a && otel_lane_takes(s, news->tgid))
		otel_lane_claim(a);
}

/* The probe has signalled the one that crossed; the rest of its tree follows. */
static void signal_tree(struct memtrace *s, const struct mt_news *news)
{
	int signal = s->options.on_limit == MEMTRACE_LIMIT_KILL ? SIGKILL : SIGSTOP;

	for (uint32_t slot = 1; slot < s->tables.acct_cnt; slot++) {
		const struct mt_acct *a = &s->tables.accts[slot];

		if (a->state == MT_ACCT_LIVE && a->scope == news->scope && a->tgid != news->tgid)
			kill(a->tgid, signal);
	}
}

static void on_limit(struct memtrace *s, const struct mt_news *news)
{
	s->crossings_heard++;
	if (s->options.on_limit != MEMTRACE_LIMIT_REPORT && !s->tables.control->limit_per_process)
		signal_tree(s, news);
}

int follow_news(void *ctx, void *data, size_t size)
{
	const struct mt_news *news = data;
	struct memtrace *s = ctx;

	if (size < sizeof(*news))
		return 0;
	switch (news->kind) {
	case MT_NEWS_FORK:
		on_fork(s, news);
		break;
	case MT_NEWS_EXEC:
		on_exec(s, news);
		break;
	case MT_NEWS_LIMIT:
		on_limit(s, news);
		break;
	case MT_NEWS_SHARE:
		on_share(s, news);
		break;
	case MT_NEWS_ADOPT:
		on_adopt(s, news);
		break;
	case MT_NEWS_END: /* follow_harvest finds it; but its clock goes with it, soon */
		if (news_acct(s, news))
			overhead_account_ends(s, news->acct);
		break;
	}
	return 0;
}

/* A stack that met code without a table: unwound here, and written into its site. */
int follow_cold_stack(void *ctx, void *data, size_t size)
{
	const struct mt_cold *cold = data;
	struct memtrace *s = ctx;
	uint64_t pcs[MT_STACK_DEPTH_MAX];
	struct mt_site *site = size < sizeof(*cold) ? NULL : tables_site(&s->tables, cold->site);
	enum mt_stack_end end;
	struct space *space;
	uint32_t cnt;

	if (!site || site->acct != cold->acct || cold->acct >= s->tables.acct_cnt ||
	    s->tables.accts[cold->acct].id != cold->acct_id)
		return 0;
	follow_drain_maps(s, false);
	space = spaces_get(s->spaces, cold->tgid, cold->time_ns);
	cnt = unwind_cold(s->code, space, cold, s->options.stack_depth, pcs, &end);
	if (cnt > site->frame_cnt)
		tables_complete_site(&s->tables, site, pcs, cnt, end);
	space_put(space);
	return 0;
}

size_t follow_running(const struct memtrace *s)
{
	size_t cnt = 0;

	for (uint32_t slot = 1; slot < s->tables.acct_cnt; slot++)
		if (__atomic_load_n(&s->tables.accts[slot].state, __ATOMIC_ACQUIRE) == MT_ACCT_LIVE)
			cnt++;
	return cnt;
}

/* A process that was gone before its /proc could be read: its executable is what is mapped lowest. */
static char *mapped_exe(const struct space *space)
{
	const struct modules *modules = space ? space_modules(space) : NULL;

	if (!modules || !modules->cnt || modules->ranges[0].module->id.path[0] != '/')
		return NULL;
	return strdup(modules->ranges[0].module->id.path);
}

static int keep_past(struct memtrace *s, struct account_record *record)
{
	struct past_account *grown = realloc(s->past, (s->past_cnt + 1) * sizeof(*grown)), *p;

	if (!grown)
		return -ENOMEM;
	s->past = grown;
	p = &grown[s->past_cnt++];
	p->record = *record;
	memset(record, 0, sizeof(*record));
	p->space = spaces_get(s->spaces, p->record.acct.tgid, p->record.acct.start_ns);
	if (p->space)
		space_read_names(p->space, p->record.pcs, p->record.pc_cnt, true);
	p->exe = s->exes[p->record.slot] ? strdup(s->exes[p->record.slot]) : mapped_exe(p->space);
	overhead_account_ended(s, p->record.slot);
	s->reported[p->record.slot] = true;
	if (p->record.acct.ended_by != MT_ENDED_EXEC)
		targets_detach_pid(s, p->record.acct.tgid);
	return 0;
}

static void forget_slot(struct memtrace *s, uint32_t slot)
{
	s->reported[slot] = false;
	free(s->exes[slot]);
	s->exes[slot] = NULL;
}

/* Everything that ended is copied once, and its slots taken back when no child needs them more. */
int follow_harvest(struct memtrace *s)
{
	struct gather_options options = {
		.now_ns = session_now_ns(),
		.min_age_ns = s->options.min_age_s * 1e9,
		.min_age_at_exit = s->options.min_age_at_exit,
	};
	bool *fresh = calloc(s->tables.acct_cnt, sizeof(*fresh)), *over, any_fresh = false, any_over = false;
	struct account_record *records = NULL;
	int cnt = 0;

	over = calloc(s->tables.acct_cnt, sizeof(*over));
	if (!fresh || !over) {
		cnt = -ENOMEM;
		goto out;
	}
	for (uint32_t slot = 1; slot < s->tables.acct_cnt; slot++) {
		const struct mt_acct *a = &s->tables.accts[slot];

		uint32_t state = __atomic_load_n(&a->state, __ATOMIC_ACQUIRE);

		if (state != MT_ACCT_ENDED && state != MT_ACCT_VOID)
			continue;
		fresh[slot] = !s->reported[slot] && state == MT_ACCT_ENDED;
		over[slot] = !__atomic_load_n(&a->heirs, __ATOMIC_ACQUIRE);
		any_fresh |= fresh[slot];
		any_over |= over[slot];
	}
	if (any_fresh) {
		/* stacks they sent before they ended, which may have come since the rings were read */
		ring_buffer__consume(s->news);
		follow_drain_maps(s, false);
		cnt = gather_accounts(&s->tables, fresh, &options, &records);
		if (cnt < 0)
			goto out;
		for (int i = 0; i < cnt; i++)
			if (keep_past(s, &records[i]))
				account_record_fini(&records[i]);
		free(records);
	}
	if (any_over) {
		tables_release(&s->tables, over);
		for (uint32_t slot = 1; slot < s->tables.acct_cnt; slot++)
			if (over[slot])
				forget_slot(s, slot);
	}
out:
	free(fresh);
	free(over);
	return cnt < 0 ? cnt : 0;
}
