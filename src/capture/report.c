// SPDX-License-Identifier: MIT
/* report.c - makes a snapshot of a session: ended accounts from memory, running ones from the
 * tables. */
#include "capture/session.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "capture/estimates.h"
#include "capture/names.h"
#include "capture/preload.h"
#include "capture/process.h"
#include "capture/records.h"
#include "capture/spaces.h"
#include "capture/symbols.h"
#include "capture/widen.h"
#include "model/snapshot.h"

static double age(uint64_t born_ns, uint64_t now_ns)
{
	if (!born_ns)
		return -1;
	return born_ns < now_ns ? (now_ns - born_ns) / 1e9 : 0;
}

void report_take_end(struct memtrace_process *p, const struct mt_acct *a)
{
	switch (a->ended_by) {
	case MT_ENDED_EXEC:
		p->ended_by = MEMTRACE_ENDED_EXEC;
		break;
	case MT_ENDED_EXIT:
		p->ended_by = MEMTRACE_ENDED_EXIT;
		p->exit_status = WEXITSTATUS(a->exit_code);
		break;
	case MT_ENDED_SIGNAL:
		p->ended_by = MEMTRACE_ENDED_SIGNAL;
		p->signal = WTERMSIG(a->exit_code);
		break;
	default:
		p->ended_by = MEMTRACE_RUNNING;
	}
}

static double followed_after(const struct memtrace *s, const struct mt_acct *a)
{
	if (a->flags & MT_ACCT_LATE)
		return a->followed_ns > a->start_ns ? (a->followed_ns - a->start_ns) / 1e9 : 0;
	if (a->flags & MT_ACCT_UNFOLLOWED)
		return -1;
	if (a->flags & (MT_ACCT_FROM_START | MT_ACCT_FORKED))
		return 0;
	(void)s;
	return NAN;
}

/* Calls that only concern blocks of no sample do not show. */
static int mark_estimated(const struct memtrace *s, struct memtrace_snapshot *snap,
			  const struct account_record *r, struct memtrace_process *p)
{
	p->reallocs = p->inherited_frees = p->unknown_frees = MEMTRACE_UNKNOWN;
	if (p->ended_by == MEMTRACE_RUNNING && s->preload)
		p->filter_bytes = preload_filter_bytes(s->preload, p->pid);
	return estimates_of_process(snap, p, r);
}

static const char *lane_name(uint32_t lane)
{
	return lane == MT_LANE_PRELOAD ? "preload" : lane == MT_LANE_OTEL ? "otel" : "uprobe";
}

/* Sites of "otel_memory" do not tell a realloc from a free and an alloc, nor calls that failed; and
 * which blocks they tell of is their allocator's affair. */
static void mark_otel(struct memtrace_process *p)
{
	p->reallocs = p->failed_allocs = p->unknown_frees = MEMTRACE_UNKNOWN;
}

static int add_process(const struct memtrace *s, struct memtrace_snapshot *snap,
		       const struct account_record *r, const char *exe, uint64_t at_peak_bytes)
{
	const struct mt_acct *a = &r->acct;
	struct memtrace_process *p = snapshot_add_process(snap, a->id);

	if (!p)
		return -ENOMEM;
	p->pid = a->tgid;
	p->ppid = a->ppid;
	p->comm = snapshot_intern(snap, a->comm);
	p->exe = snapshot_intern(snap, exe);
	p->lane = lane_name(a->lane);
	report_take_end(p, a);
	p->started_s = session_since_ready(s, a->start_ns);
	p->ended_s = a->end_ns ? session_since_ready(s, a->end_ns) : -1;
	p->allocs = r->allocs;
	p->frees = r->frees;
	p->reallocs = a->reallocs;
	p->alloc_bytes = r->alloc_bytes;
	p->live_bytes = a->live_bytes > 0 ? a->live_bytes : 0;
	p->freed_bytes = p->alloc_bytes > p->live_bytes ? p->alloc_bytes - p->live_bytes : 0;
	p->live_blocks = p->allocs > p->frees ? p->allocs - p->frees : 0;
	p->peak_bytes = a->peak_bytes;
	p->peak_blocks = a->peak_blocks;
	p->peak_at_s = a->peak_at_ns ? session_since_ready(s, a->peak_at_ns) : 0;
	p->peak_unattributed_bytes = (int64_t)(a->peak_bytes - at_peak_bytes);
	p->failed_allocs = a->failed_allocs;
	p->inherited_frees = a->inherited_frees;
	p->unknown_frees = a->unknown_frees;
	p->followed_after_s = followed_after(s, a);
	p->since_attach = !(a->flags & MT_ACCT_FROM_START);
	if (p->ended_by == MEMTRACE_RUNNING && process_rss_bytes(p->pid) >= 0)
		p->rss_bytes = process_rss_bytes(p->pid);
	if (a->lane == MT_LANE_OTEL)
		mark_otel(p);
	/* the library keeps frees of blocks it never saw to itself when it may have to sample */
	if (widen_possible(s) && a->lane == MT_LANE_PRELOAD)
		p->unknown_frees = MEMTRACE_UNKNOWN;
	return r->estimated ? mark_estimated(s, snap, r, p) : 0;
}

/* The functions that every thread's stack begins with: nothing is missing above them, although
 * libc does not end the chain of frame pointers there. */
static bool is_root(const char *symbol)
{
	static const char *const roots[] = { "_start", "__libc_start_main", "__libc_start_call_main",
					     "start_thread", "clone", "clone3", "__clone", "__clone3" };

	for (size_t i = 0; symbol && i < sizeof(roots) / sizeof(roots[0]); i++)
		if (!strcmp(symbol, roots[i]))
			return true;
	return false;
}

static int add_site(struct memtrace *s, struct memtrace_snapshot *snap,
		    const struct account_record *r, const struct site_record *site,
		    struct space *space)
{
	uint64_t now = r->acct.end_ns ? r->acct.end_ns : r->taken_ns;
	struct names_frame *named = NULL;
	struct memtrace_site *out;
	int cnt;

	cnt = names_of_stack(s->symbols, space, r->acct.tgid, site->first_ns, site->pcs,
			     site->frame_cnt, s->options.stacks == MEMTRACE_STACKS_FP, &named);
	if (cnt < 0)
		return cnt;
	out = snapshot_add_site(snap, session_site_id(r->acct.id, site->number), r->acct.id, cnt);
	if (!out) {
		free(named);
		return -ENOMEM;
	}
	for (int i = 0; i < cnt; i++) {
		struct memtrace_frame *f = &out->frames[i];

		f->address = named[i].address;
		f->symbol = snapshot_intern(snap, named[i].symbol);
		f->module = snapshot_intern(snap, named[i].module);
		f->offset = named[i].offset;
		f->file = snapshot_intern(snap, named[i].file);
		f->line = named[i].line;
		f->inlined = named[i].inlined;
	}
	free(named);
	out->live_blocks = site->live_blocks;
	out->live_bytes = site->live_bytes;
	out->alloc_blocks = site->alloc_blocks;
	out->alloc_bytes = site->alloc_bytes;
	out->peak_bytes = site->peak_bytes;
	out->bytes_at_peak = site->bytes_at_peak;
	out->oldest_age_s = age(site->oldest_ns, now);
	out->youngest_age_s = age(site->youngest_ns, now);
	out->aged_blocks = site->aged_blocks;
	out->aged_bytes = site->aged_bytes;
	out->aged_youngest_s = age(site->aged_youngest_ns, now);
	out->stack_end = cnt && is_root(out->frames[cnt - 1].symbol) ? MT_END_COMPLETE : site->stack_end;
	if (site->ages) {
		struct memtrace_ages *ages = arena_alloc(snapshot_arena(snap), sizeof(*ages));

		if (!ages)
			return -ENOMEM;
		*ages = *site->ages;
		out->ages = ages;
	}
	return r->estimated ? estimates_of_site(snap, out, site) : 0;
}

/* Unknown as soon as any of them is. */
static void add_known(int64_t *sum, int64_t more)
{
	*sum = *sum == MEMTRACE_UNKNOWN || more == MEMTRACE_UNKNOWN ? MEMTRACE_UNKNOWN : *sum + more;
}

static void add_to_totals(struct memtrace_totals *t, const struct memtrace_process *p)
{
	t->allocs += p->allocs;
	t->frees += p->frees;
	add_known(&t->reallocs, p->reallocs);
	t->alloc_bytes += p->alloc_bytes;
	t->freed_bytes += p->freed_bytes;
	add_known(&t->failed_allocs, p->failed_allocs);
	add_known(&t->inherited_frees, p->inherited_frees);
	add_known(&t->unknown_frees, p->unknown_frees);
	t->live_blocks += p->live_blocks;
	t->live_bytes += p->live_bytes;
}

/* Of an account or a scope; usage is set last there, and 0 as long as there is no crossing. */
static int add_crossing(const struct memtrace *s, struct memtrace_snapshot *snap, uint64_t ns,
			uint64_t acct_id, uint32_t site, uint64_t usage_bytes)
{
	struct memtrace_crossing crossing = {
		.at_s = session_since_ready(s, ns),
		.process = acct_id,
		.site = site ? session_site_id(acct_id, site) : 0,
		.usage_bytes = usage_bytes,
	};

	return !usage_bytes || snapshot_add_crossing(snap, crossing) ? 0 : -ENOMEM;
}

static int add_account(struct memtrace *s, struct memtrace_snapshot *snap,
		       const struct account_record *r, struct space *space, const char *exe)
{
	uint64_t at_peak = 0;
	int err;

	for (uint32_t i = 0; i < r->site_cnt; i++)
		at_peak += r->sites[i].bytes_at_peak;
	err = add_process(s, snap, r, exe, at_peak);
	if (!err && s->tables.control->limit_per_process)
		err = add_crossing(s, snap, r->acct.exceeded_ns, r->acct.id, r->acct.exceeded_site,
				   r->acct.exceeded_usage);
	if (!err && space && !r->acct.end_ns)
		err = space_read_names(space, r->pcs, r->pc_cnt, false);
	for (uint32_t i = 0; i < r->site_cnt && !err; i++)
		err = add_site(s, snap, r, &r->sites[i], space);
	return err;
}

/* An account to report: ended or running. */
struct row {
	const struct account_record *record;
	struct space *space;
	const char *exe;
};

static int by_id(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->record->acct.id < y->record->acct.id ? -1 :
							 x->record->acct.id > y->record->acct.id;
}

/* Adds every account in the order of their ids, which is the order of their births. */
static int add_accounts(struct memtrace *s, struct memtrace_snapshot *snap,
			const struct account_record *running, char **exes, int cnt)
{
	struct row *rows = calloc(s->past_cnt + cnt + 1, sizeof(*rows));
	size_t n = 0;
	int err = 0;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < s->past_cnt; i++)
		rows[n++] = (struct row){ &s->past[i].record, s->past[i].space, s->past[i].exe };
	for (int i = 0; i < cnt; i++)
		rows[n++] = (struct row){ &running[i],
					  spaces_get(s->spaces, running[i].acct.tgid,
						     running[i].acct.start_ns),
					  exes[i] };
	qsort(rows, n, sizeof(*rows), by_id);
	for (size_t i = 0; i < n; i++) {
		if (!err)
			err = add_account(s, snap, rows[i].record, rows[i].space, rows[i].exe);
		if (!rows[i].record->acct.end_ns)
			space_put(rows[i].space);
	}
	free(rows);
	return err;
}

/* Those that run, with those that ended since they were harvested: a final report has no next one. */
void report_mark_slots(const struct memtrace *s, bool *slots)
{
	for (uint32_t slot = 1; slot < s->tables.acct_cnt; slot++) {
		uint32_t state = __atomic_load_n(&s->tables.accts[slot].state, __ATOMIC_ACQUIRE);

		slots[slot] = state == MT_ACCT_LIVE || (state == MT_ACCT_ENDED && !s->reported[slot]);
	}
}

static int add_processes(struct memtrace *s, struct memtrace_snapshot *snap, uint64_t now)
{
	struct gather_options options = {
		.now_ns = now,
		.min_age_ns = s->options.min_age_s * 1e9,
		.min_age_at_exit = s->options.min_age_at_exit,
	};
	bool *slots = calloc(s->tables.acct_cnt, sizeof(*slots));
	struct account_record *records = NULL;
	char **exes = NULL;
	int cnt, err = -ENOMEM;

	if (!slots)
		return -ENOMEM;
	report_mark_slots(s, slots);
	cnt = gather_accounts(&s->tables, slots, &options, &records);
	free(slots);
	if (cnt < 0)
		return cnt;
	exes = calloc(cnt + 1, sizeof(*exes));
	if (exes) {
		for (int i = 0; i < cnt; i++) {
			records[i].acct.end_ns = 0; /* a death since is for the next snapshot */
			records[i].acct.ended_by = MT_ENDED_NOT;
			exes[i] = process_exe(records[i].acct.tgid);
		}
		err = add_accounts(s, snap, records, exes, cnt);
	}
	for (int i = 0; i < cnt; i++) {
		if (exes)
			free(exes[i]);
		account_record_fini(&records[i]);
	}
	free(exes);
	free(records);
	return err;
}

/* ---- the rest of a snapshot ----------------------------------------------------------------------- */

static int add_counters(struct memtrace *s, struct memtrace_snapshot *snap)
{
	const struct mt_control *c = s->tables.control;
	uint64_t ends[MT_END_CNT] = {};
	struct mt_percpu sum;
	uint64_t value;

	/* each site knows how its stack ended, and how often it was taken */
	for (size_t i = 0; i < snap->site_cnt; i++)
		if (snap->sites[i].stack_end < MT_END_CNT)
			ends[snap->sites[i].stack_end] += snap->sites[i].alloc_blocks;

	tables_percpu(&s->tables, &sum);
	for (int i = 0; i < MT_SIZE_CLASSES && i < (int)(sizeof(snap->size_classes) / 8); i++)
		snap->size_classes[i] = gather_whole_blocks(&s->tables, sum.size_classes[i]);
#define LOSS(cause, json, text)                                                                    \
	value = c->losses[MT_LOSS_##cause];                                                        \
	if (MT_LOSS_##cause == MT_LOSS_PROBE_MISSED)                                               \
		value += programs_missed(&s->programs);                                            \
	if (!snapshot_add_counter(snap, SNAPSHOT_LOSSES, #json, text, value))                      \
		return -ENOMEM;
#define NOTICE(what, json, text)                                                                   \
	value = c->notices[MT_NOTICE_##what];                                                      \
	if (MT_NOTICE_##what == MT_NOTICE_MMAP_LOST)                                               \
		value += records_lost(s->records);                                                 \
	if (!snapshot_add_counter(snap, SNAPSHOT_NOTICES, #json, text, value))                     \
		return -ENOMEM;
#define END(cause, json, text)                                                                     \
	if (!snapshot_add_counter(snap, SNAPSHOT_STACK_QUALITY, #json, text,                       \
				  ends[MT_END_##cause]))                                 \
		return -ENOMEM;
	MT_LOSSES(LOSS)
	MT_NOTICES(NOTICE)
	MT_STACK_ENDS(END)
#undef LOSS
#undef NOTICE
#undef END
	return 0;
}

static int take_limit(const struct memtrace *s, struct memtrace_snapshot *snap)
{
	struct memtrace_limit *limit = &snap->limit;
	uint32_t first = s->target == TARGET_PIDS && s->root_cnt > 1 ? 1 : 0, last = first;

	limit->bytes = s->options.limit_bytes;
	limit->scope = s->tables.control->limit_per_process ? MEMTRACE_LIMIT_PROCESS :
							      MEMTRACE_LIMIT_TREE;
	if (first)
		last = s->root_cnt;
	limit->tree_cnt = last - first + 1;
	if (limit->scope == MEMTRACE_LIMIT_PROCESS) {
		for (size_t i = 0; i < snap->process_cnt; i++) {
			const struct memtrace_process *p = &snap->processes[i];

			if (p->ended_by == MEMTRACE_RUNNING && p->live_bytes > limit->now_bytes)
				limit->now_bytes = p->live_bytes;
			if (p->peak_bytes > limit->peak_bytes)
				limit->peak_bytes = p->peak_bytes;
		}
	} else {
		for (uint32_t i = first; i <= last; i++) {
			const struct mt_scope *scope = &s->tables.scopes[i];

			if (scope->live_bytes > (int64_t)limit->now_bytes)
				limit->now_bytes = scope->live_bytes;
			if (scope->peak_bytes > limit->peak_bytes)
				limit->peak_bytes = scope->peak_bytes;
		}
	}
	for (uint32_t i = 0; i <= s->root_cnt && i < MT_SCOPES; i++) {
		const struct mt_scope *scope = &s->tables.scopes[i];

		if (scope->exceeded_acct_id &&
		    add_crossing(s, snap, scope->exceeded_ns, scope->exceeded_acct_id,
				 scope->exceeded_site, scope->exceeded_usage))
			return -ENOMEM;
	}
	return 0;
}

static void take_rates(struct memtrace *s, struct memtrace_snapshot *snap, uint64_t now)
{
	const struct memtrace_totals *t = &snap->totals;
	double interval = now > s->previous_ns ? (now - s->previous_ns) / 1e9 : 0;

	snap->interval_s = interval;
	if (interval > 0) {
		snap->alloc_rate = (t->allocs - s->previous_allocs) / interval;
		snap->free_rate = (t->frees - s->previous_frees) / interval;
		snap->alloc_bytes_rate = (t->alloc_bytes - s->previous_bytes) / interval;
	}
	s->previous_ns = now;
	s->previous_allocs = t->allocs;
	s->previous_frees = t->frees;
	s->previous_bytes = t->alloc_bytes;
}

static int take_totals(const struct memtrace *s, struct memtrace_snapshot *snap)
{
	const struct mt_scope *all = &s->tables.scopes[0];

	for (size_t i = 0; i < snap->process_cnt; i++)
		add_to_totals(&snap->totals, &snap->processes[i]);
	/* what was live when a process ended is no longer part of the tree's heap, but stays part of
	 * what it allocated and never freed: totals are sums over rows */
	snap->totals.peak_bytes = all->peak_bytes;
	snap->totals.peak_at_s = all->peak_at_ns ? session_since_ready(s, all->peak_at_ns) : 0;
	if (snap->process_cnt == 1) { /* the same heap: then also the same order of events */
		snap->totals.peak_bytes = snap->processes[0].peak_bytes;
		snap->totals.peak_at_s = snap->processes[0].peak_at_s;
	}
	snap->totals.peak_blocks = snap->process_cnt == 1 ? (int64_t)snap->processes[0].peak_blocks :
							     MEMTRACE_UNKNOWN;
	return estimates_of_totals(snap);
}

/* That of the processes, where they were all told of by their own sites. */
static const char *common_lane(const struct memtrace *s, const struct memtrace_snapshot *snap)
{
	const char *otel = lane_name(MT_LANE_OTEL);

	if (s->preload)
		return lane_name(MT_LANE_PRELOAD);
	for (size_t i = 0; i < snap->process_cnt; i++)
		if (strcmp(snap->processes[i].lane, otel))
			return lane_name(MT_LANE_UPROBE);
	return snap->process_cnt ? otel : lane_name(MT_LANE_UPROBE);
}

/* Now; or when tracing ended, by detaching or because nothing was left to trace. */
uint64_t report_time(const struct memtrace *s)
{
	uint64_t last = 0;

	if (follow_running(s) || !s->past_cnt)
		return s->detached ? s->detached_ns : session_now_ns();
	for (size_t i = 0; i < s->past_cnt; i++)
		if (s->past[i].record.acct.end_ns > last)
			last = s->past[i].record.acct.end_ns;
	return last;
}

int report_take(struct memtrace *s, struct memtrace_snapshot **out)
{
	struct memtrace_snapshot *snap = snapshot_new();
	struct timespec wall;
	uint64_t now;
	int err;

	if (!snap)
		return -ENOMEM;
	now = report_time(s);
	snap->tool_version = memtrace_version();
	snap->target = snapshot_intern(snap, s->target_text);
	snap->sampling = s->options.sampling;
	snap->sample_bytes = s->options.sample_bytes;
	snap->sampling_rate = s->options.sampling_rate;
	snap->min_age_s = s->options.min_age_s;
	snap->duration_s = session_since_ready(s, now);
	clock_gettime(CLOCK_REALTIME, &wall);
	snap->unix_time_ms = wall.tv_sec * 1000LL + wall.tv_nsec / 1000000;
	/* in the last report names may take a while; until then the targets would be kept waiting */
	snap->final = s->detached || !follow_running(s);
	symbols_wait(s->symbols, snap->final);
	err = add_processes(s, snap, now);
	snap->lane = common_lane(s, snap);
	if (!err)
		err = add_counters(s, snap);
	if (!err)
		err = take_limit(s, snap);
	if (!err)
		err = take_totals(s, snap);
	if (err) {
		memtrace_snapshot_free(snap);
		return err;
	}
	take_rates(s, snap, now);
	overhead_take(s, snap);
	snap->tracer_bytes = s->tables.memory.bytes + records_bytes(s->records);
	*out = snap;
	return 0;
}
