// SPDX-License-Identifier: MIT
#include "capture/overhead.h"

#include <math.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/median.h"
#include "capture/launch.h"
#include "capture/session.h"
#include "capture/widen.h"
#include "memtrace/preload.h"
#include "model/overhead.h"

#define WINDOW_NS 10000000ULL
#define GAP_MAX_NS 240000000ULL /* between windows */
#define CHECK_S 0.24 /* at least: an interval that is looked at */
#define IDLE_NS 1000000000ULL
#define IDLE_SHARE 0.001       /* of a CPU: hardly anything happens */
#define FEW_RUNS_PER_S 10000.0 /* the statistics may stay on: a thousandth of a CPU */
#define WINDOW_CALLS 100       /* fewer say nothing of what a call costs */
#define LEARNING_NS 500000000ULL /* processes learn which calls they may keep */
#define KEPT_NS 30 /* what the library does for such a call: 13 in a loop, 39 in sqlite3 */
#define READING_NS 500000ULL   /* what is read within may belong together */
#define READINGS 3
#define PASSED_TIMES 2

void overhead_init(struct overhead_meter *m)
{
	*m = (struct overhead_meter){ .timer_fd = -1, .stats_fd = -1, .gap_ns = WINDOW_NS };
	m->trap = trap_meter_new();
	m->known = m->trap != NULL;
}

void overhead_fini(struct overhead_meter *m)
{
	if (m->timer_fd > 0)
		close(m->timer_fd);
	if (m->stats_fd > 0)
		close(m->stats_fd);
	trap_meter_free(m->trap);
	cpu_time_fini(&m->cpu);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void add_account(struct overhead_gone *sum, const struct mt_acct *a)
{
	sum->live_blocks += a->live_blocks;
	sum->reallocs += a->reallocs;
	sum->failed += a->failed_allocs;
	sum->unknown += a->unknown_frees;
	sum->inherited += a->inherited_frees;
}

/* Accounts that are in their slots and in no sum yet. */
static bool is_in_use(const struct memtrace *s, uint32_t slot)
{
	uint32_t state = __atomic_load_n(&s->tables.accts[slot].state, __ATOMIC_ACQUIRE);

	return state == MT_ACCT_LIVE || (state == MT_ACCT_ENDED && !s->reported[slot]);
}

static uint32_t slot_end(const struct memtrace *s)
{
	uint32_t fresh = __atomic_load_n(&s->tables.control->accts.fresh, __ATOMIC_ACQUIRE);

	return fresh < s->tables.acct_cnt ? fresh : s->tables.acct_cnt;
}

/* As overhead_calls(), of the tables as they are. */
static uint64_t calls_now(const struct memtrace *s)
{
	int64_t unit = s->programs.want.weighted ? MT_PRELOAD_COUNT_ONE : 1;
	struct overhead_gone sum = s->overhead.gone;
	int64_t allocs = 0, frees, calls;
	struct mt_percpu counters;

	for (uint32_t slot = 1; slot < slot_end(s); slot++)
		if (is_in_use(s, slot))
			add_account(&sum, &s->tables.accts[slot]);
	tables_percpu(&s->tables, &counters);
	for (int i = 0; i < MT_SIZE_CLASSES; i++)
		allocs += counters.size_classes[i];
	frees = allocs - sum.live_blocks;
	calls = (allocs + frees + (int64_t)sum.failed) / unit;
	calls += sum.unknown + sum.inherited - sum.reallocs;
	return calls > 0 ? calls : 0;
}

/* Calls and runs should be of one moment; who waits for a CPU in between tries again. */
static void read_now(const struct memtrace *s, struct overhead_reading *r)
{
	uint64_t calls = 0;

	for (int i = 0; i < READINGS; i++) {
		r->at_ns = session_now_ns();
		if (s->overhead.stats_fd >= 0)
			programs_worked(&s->programs, &r->work);
		calls = calls_now(s);
		if (session_now_ns() - r->at_ns < READING_NS)
			break;
	}
	if (calls > r->calls)
		r->calls = calls;
}

/* ---- cost ----------------------------------------------------------------------------------- */

static double entry_ns(const struct overhead_meter *m, uint32_t calls)
{
	return m->stepped & calls ? m->costs.stepped : m->costs.entry;
}

struct window_cost {
	double runs;
	double ns; /* without what it costs to look */
};

/* Calls without a trap of their own: the preload library kept them, to tell many at once. */
static double kept_calls(const struct overhead_reading *from, const struct overhead_reading *to)
{
	static const enum program_kind traps[] = { PROGRAM_MALLOC, PROGRAM_FREE, PROGRAM_ENTER,
						   PROGRAM_SITE };
	double kept = (double)(to->calls - from->calls);

	for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++)
		kept -= (double)(to->work.runs[traps[i]] - from->work.runs[traps[i]]);
	return fmax(kept, 0);
}

static struct window_cost cost_between(const struct memtrace *s,
				       const struct overhead_reading *from,
				       const struct overhead_reading *to)
{
	const struct overhead_meter *m = &s->overhead;
	const double trap_ns[PROGRAM_KINDS] = {
		[PROGRAM_MALLOC] = entry_ns(m, 1U << MT_CALL_MALLOC),
		[PROGRAM_FREE] = entry_ns(m, 1U << MT_CALL_FREE),
		[PROGRAM_ENTER] = entry_ns(m, 1U << MT_CALL_CALLOC | 1U << MT_CALL_REALLOC),
		[PROGRAM_RETURN] = m->costs.returns,
		[PROGRAM_SITE] = m->costs.site,
		[PROGRAM_OTEL] = m->costs.entry, /* nops, as everybody's */
	};
	struct window_cost cost = { .ns = (double)(to->work.ns - from->work.ns) };

	for (int i = 0; i < PROGRAM_KINDS; i++) {
		double runs = (double)(to->work.runs[i] - from->work.runs[i]);

		cost.runs += runs;
		cost.ns += runs * (trap_ns[i] - m->costs.watched_inside);
	}
	if (s->programs.want.batches)
		cost.ns += kept_calls(from, to) * KEPT_NS;
	cost.ns = fmax(cost.ns, 0);
	return cost;
}

/* The median of the latest windows: what disturbs the machine disturbs some of them. */
static double call_ns(const struct overhead_meter *m)
{
	size_t cnt = m->window_cnt < OVERHEAD_WINDOWS ? m->window_cnt : OVERHEAD_WINDOWS;
	double ns[OVERHEAD_WINDOWS];

	memcpy(ns, m->per_call_ns, sizeof(ns));
	return cnt ? median(ns, cnt) : 0;
}

/* Calls between windows cost what they do in the windows before and after, so the price is kept
 * open until the next one. */
static double cost_now(const struct overhead_meter *m)
{
	return m->cost_ns + (double)m->unpriced_calls * call_ns(m);
}

/* Adds the cost of what happened since the last time. Returns that of a window, else nothing. */
static struct window_cost settle(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	struct overhead_reading now = m->from;
	struct window_cost cost = {};
	uint64_t calls;

	read_now(s, &now);
	calls = now.calls - m->from.calls;
	if (m->stats_fd >= 0) {
		cost = cost_between(s, &m->from, &now);
		if (calls >= WINDOW_CALLS)
			m->per_call_ns[m->window_cnt++ % OVERHEAD_WINDOWS] =
				cost.ns / (double)calls;
		m->cost_ns = cost_now(m) + cost.ns + cost.runs * m->costs.watched;
		m->unpriced_calls = 0;
	} else {
		m->unpriced_calls += calls;
	}
	m->from = now;
	return cost;
}

/* ---- windows -------------------------------------------------------------------------------- */

static void wake_after(const struct overhead_meter *m, uint64_t ns)
{
	struct itimerspec when = { .it_value = { .tv_sec = ns / 1000000000,
						 .tv_nsec = ns % 1000000000 } };

	timerfd_settime(m->timer_fd, 0, &when, NULL);
}

static void open_window(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	uint64_t calls = m->from.calls;

	m->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (m->stats_fd < 0)
		m->known = false;
	read_now(s, &m->from);
	m->unpriced_calls += m->from.calls - calls;
	wake_after(m, WINDOW_NS);
}

static void close_window(struct overhead_meter *m)
{
	if (m->stats_fd >= 0)
		close(m->stats_fd);
	m->stats_fd = -1;
}

/* Others run through the same probes: what these cost cannot be told from what the targets' cost.
 */
static bool is_shared(const struct memtrace *s)
{
	return s->target != TARGET_COMMAND && s->target != TARGET_ALL && !s->by_pid;
}

static int64_t cpu_now(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;

	for (uint32_t slot = 1; slot < slot_end(s); slot++)
		if (is_in_use(s, slot))
			cpu_time_see(&m->cpu, slot, &s->tables.accts[slot]);
	return cpu_time_sum(&m->cpu);
}

/* Sums; what they begin with says nothing, differences do. */
static struct memtrace_overhead sums_now(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;

	return (struct memtrace_overhead){
		.time_s = (double)m->from.at_ns / 1e9,
		.calls = m->from.calls,
		.cost_s = cost_now(m) / 1e9,
		.cpu_s = (double)cpu_now(s) / 1e9,
		.wait_s = (double)cpu_time_waited(&m->cpu) / 1e9,
	};
}

int overhead_start(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	int err = cpu_time_init(&m->cpu, s->tables.acct_cnt);

	if (s->launch && !err)
		err = cpu_time_add_root(&m->cpu, launch_pid(s->launch));
	for (size_t i = 0; i < s->root_cnt && !err; i++)
		err = cpu_time_add_root(&m->cpu, s->roots[i].pid);
	if (err)
		return err;
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->timer_fd < 0 || is_shared(s) || !m->trap || trap_meter_costs(m->trap, &m->costs))
		m->known = false;
	m->from.at_ns = session_now_ns();
	m->checked = sums_now(s); /* those who run already begin here */
	if (!m->known) {
		session_log(s,
			    s->options.max_overhead_percent ? MEMTRACE_LOG_WARN :
							      MEMTRACE_LOG_INFO,
			    "what tracing costs cannot be measured here%s",
			    is_shared(s) ? ": others run through the same probes" : "");
		return 0;
	}
	session_log(s, MEMTRACE_LOG_DEBUG,
		    "a trap costs %.0f ns (%.0f single-stepped, %.0f at a site of the "
		    "preload library), a return %.0f ns more",
		    m->costs.entry, m->costs.stepped, m->costs.site, m->costs.returns);
	open_window(s);
	return 0;
}

/* ---- the latest interval -------------------------------------------------------------------- */

/* Does it cost more than it may, and for longer than a moment? What takes hardly anything of a CPU
 * is no burden, whatever part it is of what the targets do. */
static void compare(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	double percent = overhead_percent(&m->recent);

	if (!s->options.max_overhead_percent || m->passed_percent)
		return;
	if (percent > s->options.max_overhead_percent &&
	    m->recent.cost_s > OVERHEAD_MATTERS * m->recent.time_s)
		m->passed_cnt++;
	else
		m->passed_cnt = 0;
	if (m->passed_cnt < PASSED_TIMES)
		return;
	m->passed_cnt = 0;
	if (!widen_sample(s, percent)) {
		m->passed_percent = percent;
		return;
	}
	m->widened_ns = session_now_ns();
	m->widened_percent = percent;
	m->window_cnt = 0; /* a call costs something else from now on */
}

static void check(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	struct memtrace_overhead sums = sums_now(s);

	m->recent = (struct memtrace_overhead){
		.time_s = sums.time_s - m->checked.time_s,
		.calls = sums.calls - m->checked.calls,
		.cost_s = sums.cost_s - m->checked.cost_s,
		.cpu_s = sums.cpu_s - m->checked.cpu_s,
		.wait_s = sums.wait_s - m->checked.wait_s,
	};
	m->checked = sums;
	compare(s);
}

/* A program's beginning is like nothing else in it, and it may be short: windows come close at
 * first. */
static uint64_t next_gap(struct overhead_meter *m)
{
	uint64_t gap_ns = m->gap_ns;

	m->gap_ns = 2 * gap_ns < GAP_MAX_NS ? 2 * gap_ns : GAP_MAX_NS;
	return gap_ns;
}

/* What a call costs changes twentyfold in between, so no window can stand for another one. */
static bool is_learning(const struct memtrace *s)
{
	return s->programs.want.batches && s->overhead.from.at_ns < s->ready_ns + LEARNING_NS;
}

void overhead_poll(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;
	uint64_t expired, before_ns = m->from.at_ns;
	struct window_cost cost;
	double passed_ns;

	if (!m->known || m->stopped ||
	    read(m->timer_fd, &expired, sizeof(expired)) != sizeof(expired))
		return;
	if (m->stats_fd < 0) {
		open_window(s);
		return;
	}
	cost = settle(s);
	passed_ns = (double)(m->from.at_ns - before_ns);
	if ((double)m->from.at_ns / 1e9 - m->checked.time_s >= CHECK_S)
		check(s);
	if (cost.runs / passed_ns >= FEW_RUNS_PER_S / 1e9 && !is_learning(s))
		close_window(m);
	if (cost.ns < IDLE_SHARE * passed_ns && m->gap_ns == GAP_MAX_NS)
		wake_after(m, IDLE_NS);
	else
		wake_after(m, next_gap(m));
}

/* What was done because of the maximum. */
static void tell_reactions(const struct memtrace *s, struct memtrace_overhead *o)
{
	const struct overhead_meter *m = &s->overhead;

	o->max_percent = s->options.max_overhead_percent;
	o->ended = m->stopped && m->passed_percent;
	o->ended_percent = m->passed_percent;
	if (o->ended)
		o->ended_at_s = (double)(m->stopped_ns - s->ready_ns) / 1e9;
	o->widened = m->widened_ns != 0;
	o->widened_percent = m->widened_percent;
	if (o->widened)
		o->widened_at_s = (double)(m->widened_ns - s->ready_ns) / 1e9;
}

bool overhead_recent(const struct memtrace *s, struct memtrace_overhead *recent)
{
	if (!(s->overhead.recent.time_s > 0))
		return false;
	*recent = s->overhead.recent;
	tell_reactions(s, recent);
	return true;
}

void overhead_account_ends(struct memtrace *s, uint32_t slot)
{
	if (slot < s->tables.acct_cnt)
		cpu_time_see(&s->overhead.cpu, slot, &s->tables.accts[slot]);
}

void overhead_account_ended(struct memtrace *s, uint32_t slot)
{
	overhead_account_ends(s, slot);
	add_account(&s->overhead.gone, &s->tables.accts[slot]);
}

void overhead_stop(struct memtrace *s)
{
	struct overhead_meter *m = &s->overhead;

	if (m->stopped || !s->started)
		return;
	if (m->known)
		settle(s);
	m->checked = sums_now(s);
	m->stopped = true;
	m->stopped_ns = session_now_ns();
	close_window(m);
}

void overhead_take(struct memtrace *s, struct memtrace_snapshot *snap)
{
	struct overhead_meter *m = &s->overhead;
	int64_t used_ns;

	if (s->launch && !launch_used_ns(s->launch, &used_ns))
		cpu_time_root_ended(&m->cpu, launch_pid(s->launch), used_ns);
	if (m->known && !m->stopped)
		settle(s);
	snap->overhead = m->stopped ? m->checked : sums_now(s);
	snap->overhead.time_s = snap->duration_s;
	snap->overhead.calls = overhead_calls(&snap->totals);
	if (!m->known)
		snap->overhead.cost_s = NAN;
	tell_reactions(s, &snap->overhead);
}
