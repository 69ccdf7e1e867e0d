/* SPDX-License-Identifier: MIT */
#include "output/text.h"

#include <string.h>

#include "base/units.h"
#include "model/snapshot.h"
#include "output/estimate_text.h"
#include "output/leak_text.h"
#include "output/overhead_text.h"
#include "output/page.h"
#include "output/peak_text.h"
#include "output/process_text.h"
#include "output/stack_text.h"

#define STACK_LINES 20

/* What every section needs. */
struct report {
	const struct memtrace_snapshot *snapshot;
	const struct analysis *analysis;
	struct text_options options;
	struct page page;
};

static void report_init(struct report *r, const struct memtrace_snapshot *snapshot,
			const struct analysis *analysis, const struct text_options *options,
			struct strbuf *out)
{
	*r = (struct report){ .snapshot = snapshot, .analysis = analysis };
	if (options)
		r->options = *options;
	if (!r->options.frames)
		r->options.frames = STACK_LINES;
	page_init(&r->page, out, r->options.width, r->options.color);
}

/* True when figures leave out what was allocated before the tracer came. */
static bool since_attach(const struct report *r)
{
	return r->analysis->ranking.attached_cnt > 0;
}

static bool sampling_is_off(const struct memtrace_snapshot *s)
{
	switch (s->sampling) {
	case MEMTRACE_SAMPLING_NONE:
		break;
	case MEMTRACE_SAMPLING_BYTES:
		return !s->sample_bytes;
	case MEMTRACE_SAMPLING_RATE:
		return !(s->sampling_rate > 0);
	}
	return false;
}

/* Behind what is only as certain as an estimate. */
static const char *by_estimate(const struct memtrace_snapshot *s)
{
	return s->estimated ? " by estimate" : "";
}

/* ---- head ------------------------------------------------------------------------------------ */

static void put_title(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;
	struct strbuf *line = &r->page.line;

	strbuf_puts(line, "memtrace");
	if (s->tool_version) {
		strbuf_putc(line, ' ');
		strbuf_put_printable(line, s->tool_version);
	}
	strbuf_puts(line, ": ");
	strbuf_put_printable(line, s->target ? s->target : "unknown target");
	if (s->lane) {
		strbuf_puts(line, ", ");
		strbuf_put_printable(line, s->lane);
		strbuf_puts(line, " lane");
	}
	strbuf_printf(line, "; %s after %s", s->final ? "final report" : "live report",
		      units_duration(s->duration_s).text);
	if (!s->final)
		strbuf_puts(line, ", a moving picture: figures were read while the program ran");
	if (s->estimated)
		strbuf_puts(line, "; figures are estimates from samples");
	page_paragraph(&r->page, TONE_STRONG, 0, 4);
}

/* "3 accounting events missed: table_full 3", on the line; how_far says which figures that
 * concerns. */
static void put_losses_line(struct page *page, const struct memtrace_snapshot *s,
			    const char *how_far)
{
	struct strbuf *line = &page->line;
	const char *separator = "";

	strbuf_printf(line, "LOSSES: %s missed: ",
		      units_counted(snapshot_losses(s), "accounting event").text);
	for (size_t i = 0; i < s->loss_cnt; i++) {
		if (!s->losses[i].value)
			continue;
		strbuf_printf(line, "%s%s %s", separator, s->losses[i].name,
			      units_count(s->losses[i].value).text);
		separator = ", ";
	}
	strbuf_printf(line, " - figures %sare too low or too high by these", how_far);
	page_paragraph(page, TONE_ALARM, 0, 4);
}

/* How the estimates were come by. */
static void put_sampling(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;
	const struct ranking *ranking = &r->analysis->ranking;
	struct strbuf *line = &r->page.line;

	if (s->sampling == MEMTRACE_SAMPLING_NONE && !s->estimated)
		return;
	if (sampling_is_off(s)) {
		strbuf_puts(line, "off: no allocation is taken");
	} else {
		estimate_put_sampling(line, s);
		strbuf_printf(line, "; estimated from at least %s",
			      units_counted(s->sampled_blocks, "block").text);
	}
	if (ranking->estimated_cnt < ranking->row_cnt)
		strbuf_printf(line, "; %s of %s processes counted exactly",
			      units_count(ranking->row_cnt - ranking->estimated_cnt).text,
			      units_count(ranking->row_cnt).text);
	if (ranking->filter_bytes)
		strbuf_printf(line, "; %s in the target, to know sampled blocks by",
			      units_bytes(ranking->filter_bytes).text);
	page_item(&r->page, TONE_PLAIN, "sampling");
}

static void put_max_overhead(struct report *r)
{
	if (overhead_put_end(&r->page.line, &r->analysis->overhead))
		page_paragraph(&r->page, TONE_WARN, 0, 4);
	if (overhead_put_widening(&r->page.line, &r->analysis->overhead))
		page_paragraph(&r->page, TONE_WARN, 0, 4);
}

static void put_losses_alarm(struct report *r)
{
	if (snapshot_losses(r->snapshot))
		put_losses_line(&r->page, r->snapshot, "below ");
}

static void put_process(struct report *r)
{
	const struct ranking *ranking = &r->analysis->ranking;
	const struct memtrace_process *process;
	bool incomplete = ranking->incomplete_cnt > 0;
	struct strbuf *line = &r->page.line;

	if (ranking->row_cnt == 1) {
		process = ranking->rows[0];
		process_put_name(&r->page, process);
		strbuf_puts(line, ", ");
		process_put_state(&r->page, process);
		process_put_missed(&r->page, process, "; ");
		page_item(&r->page, incomplete ? TONE_WARN : TONE_PLAIN, "process");
		return;
	}
	if (incomplete) {
		strbuf_printf(line,
			      "%s of %s processes followed late or never: "
			      "what they did before is not counted",
			      units_count(ranking->incomplete_cnt).text,
			      units_count(ranking->row_cnt).text);
		page_item(&r->page, TONE_WARN, "incomplete");
	}
}

static void put_live(struct report *r)
{
	const struct memtrace_totals *totals = &r->snapshot->totals;
	const struct ranking *ranking = &r->analysis->ranking;
	const struct memtrace_estimates *e = totals->estimates;
	struct strbuf *line = &r->page.line;

	/* what ended processes left behind is not live beside what runs */
	if (ranking->running_cnt && ranking->left_bytes)
		estimate_put_heap(line, ranking->running_bytes, e ? &ranking->running_bytes_95 : NULL,
				  ranking->running_blocks, e ? &ranking->running_blocks_95 : NULL);
	else
		estimate_put_heap(line, totals->live_bytes, e ? &e->live_bytes : NULL,
				  totals->live_blocks, e ? &e->live_blocks : NULL);
	if (since_attach(r)) {
		strbuf_puts(line, " since attach");
		if (ranking->row_cnt == 1 && ranking->rows[0]->rss_bytes != MEMTRACE_UNKNOWN)
			strbuf_printf(line, "; RSS %s, heap from before the attach included",
				      units_bytes((uint64_t)ranking->rows[0]->rss_bytes).text);
		else
			strbuf_puts(line, "; heap from before it is unknown");
	}
	if (!ranking->running_cnt && ranking->row_cnt == 1)
		strbuf_puts(line, ", at its end");
	/* what ended processes left behind was never live at one time */
	else if (!ranking->running_cnt && ranking->row_cnt > 1)
		strbuf_printf(line, ", the sum of what %s processes left at their ends",
			      units_count(ranking->row_cnt).text);
	else if (ranking->running_cnt && ranking->left_bytes)
		strbuf_printf(line, "; %s of %s processes ended and left %s",
			      units_count(ranking->row_cnt - ranking->running_cnt).text,
			      units_count(ranking->row_cnt).text, units_bytes(ranking->left_bytes).text);
	page_item(&r->page, TONE_PLAIN, "live heap");
}

static void put_peak(struct report *r)
{
	const struct memtrace_totals *totals = &r->snapshot->totals;
	struct strbuf *line = &r->page.line;

	if (totals->estimates)
		strbuf_printf(line, "about %s", units_bytes(totals->peak_bytes).text);
	else
		strbuf_puts(line, units_bytes_exact(totals->peak_bytes).text);
	if (totals->peak_bytes) {
		if (totals->peak_blocks != MEMTRACE_UNKNOWN)
			strbuf_printf(line, " in %s",
				      units_counted(totals->peak_blocks, "block").text);
		if (totals->peak_at_s >= 0)
			strbuf_printf(line, ", at %s", units_duration(totals->peak_at_s).text);
	}
	strbuf_puts(line, since_attach(r) ? " (since attach)" : "");
	page_item(&r->page, TONE_PLAIN, "peak");
}

static enum tone pressure_tone(enum pressure_level level)
{
	if (level >= PRESSURE_CRITICAL)
		return TONE_ALARM;
	return level == PRESSURE_HIGH ? TONE_WARN : TONE_PLAIN;
}

/* "92.0 %"; never 0 of something. */
static struct units_text share_of_limit(uint64_t permille, uint64_t bytes)
{
	struct units_text under = { "under 0.1 %" };

	return bytes && !permille ? under : units_permille(permille);
}

/* What is alarming goes first. */
static void put_pressure(struct report *r, enum pressure_level level)
{
	const struct memtrace_limit *limit = &r->snapshot->limit;
	struct strbuf *line = &r->page.line;

	if (r->snapshot->crossing_cnt > 1)
		strbuf_printf(line, "EXCEEDED%s by %s %s, first at %s; ", by_estimate(r->snapshot),
			      units_count(r->snapshot->crossing_cnt).text,
			      limit->scope == MEMTRACE_LIMIT_TREE ? "trees" : "processes",
			      units_duration(limit->exceeded_at_s).text);
	else if (limit->exceeded)
		strbuf_printf(line, "EXCEEDED%s at %s; ", by_estimate(r->snapshot),
			      units_duration(limit->exceeded_at_s).text);
	else if (level >= PRESSURE_HIGH)
		strbuf_printf(line, "PRESSURE %u %% (%s)%s; ", pressure_percent(level),
			      pressure_name(level), by_estimate(r->snapshot));
}

static void put_headroom(struct strbuf *line, uint64_t headroom_bytes, uint64_t over_bytes)
{
	if (over_bytes)
		strbuf_printf(line, ", %s over", units_bytes(over_bytes).text);
	else
		strbuf_printf(line, ", headroom %s", units_bytes(headroom_bytes).text);
}

/* "5.0 MiB used (2.0 %), headroom 245.0 MiB; peak 92.0 %, PRESSURE 90 % (critical)" */
static void put_usage_now(struct report *r, const char *by)
{
	const struct memtrace_limit *limit = &r->snapshot->limit;
	const struct pressure *p = &r->analysis->pressure;
	struct strbuf *line = &r->page.line;

	strbuf_printf(line, "%s%s used (%s)%s", r->snapshot->estimated ? "about " : "",
		      units_bytes(limit->now_bytes).text,
		      share_of_limit(p->used_permille, limit->now_bytes).text, by);
	put_headroom(line, p->headroom_bytes, p->over_bytes);
	strbuf_printf(line, "; peak %s", share_of_limit(p->peak_permille, limit->peak_bytes).text);
	if (!limit->exceeded && p->peak > p->now && p->peak >= PRESSURE_HIGH)
		strbuf_printf(line, ", PRESSURE %u %% (%s)", pressure_percent(p->peak),
			      pressure_name(p->peak));
}

/* Of a target that has ended nothing is in use: what counts is how near it came. */
static void put_usage_at_peak(struct report *r, const char *by)
{
	const struct pressure *p = &r->analysis->pressure;
	struct strbuf *line = &r->page.line;

	strbuf_printf(line, "%s%s used at the peak (%s)%s", r->snapshot->estimated ? "about " : "",
		      units_bytes(p->peak_bytes).text,
		      share_of_limit(p->peak_permille, p->peak_bytes).text, by);
	put_headroom(line, p->peak_headroom_bytes, p->peak_over_bytes);
}

static void put_limit(struct report *r)
{
	const struct memtrace_limit *limit = &r->snapshot->limit;
	const struct ranking *ranking = &r->analysis->ranking;
	const struct pressure *p = &r->analysis->pressure;
	bool ended = ranking->row_cnt && !ranking->running_cnt;
	bool each = limit->scope == MEMTRACE_LIMIT_PROCESS;
	const char *by = each ? " by the largest" : "";

	if (p->now == PRESSURE_NO_LIMIT) {
		strbuf_puts(&r->page.line, "none");
		page_item(&r->page, TONE_PLAIN, "limit");
		return;
	}
	put_pressure(r, ended ? p->peak : p->now);
	strbuf_printf(&r->page.line, "%s for %s: ", units_bytes(limit->bytes).text,
		      each ? "each process" : "the process tree");
	if (ended)
		put_usage_at_peak(r, by);
	else
		put_usage_now(r, by);
	page_item(&r->page, pressure_tone(p->peak > p->now ? p->peak : p->now), "limit");
}

static void put_rates(struct report *r)
{
	const struct rates *rates = &r->analysis->rates;
	struct strbuf *line = &r->page.line;

	if (!(rates->over_s > 0)) {
		strbuf_puts(line, "unknown");
	} else {
		strbuf_printf(
			line, "%s allocations/s, %s frees/s, %s, over the %s %s",
			units_rate(rates->allocs_per_s).text, units_rate(rates->frees_per_s).text,
			units_byte_rate(rates->bytes_per_s).text,
			rates->whole_run ? "whole" : "last", units_duration(rates->over_s).text);
	}
	page_item(&r->page, TONE_PLAIN, "rate");
}

static void put_overhead(struct report *r)
{
	if (overhead_put(&r->page.line, &r->analysis->overhead))
		page_item(&r->page, TONE_PLAIN, "overhead");
}

static void put_crossing(struct page *page, const struct memtrace_snapshot *s,
			 const struct memtrace_crossing *crossing,
			 const struct text_options *options)
{
	const struct memtrace_process *process = snapshot_find_process(s, crossing->process);

	strbuf_printf(&page->line, "LIMIT EXCEEDED%s at %s", by_estimate(s),
		      units_duration(crossing->at_s).text);
	if (process) {
		strbuf_puts(&page->line, " by ");
		process_put_name(page, process);
	}
	strbuf_printf(&page->line, ": %s%s after the allocation at:", s->estimated ? "about " : "",
		      s->estimated ? units_bytes(crossing->usage_bytes).text :
				     units_bytes_exact(crossing->usage_bytes).text);
	page_paragraph(page, TONE_ALARM, 0, 4);
	stack_text(page, s, crossing->site ? snapshot_find_site(s, crossing->site) : NULL, 4,
		   options->frames);
}

static void put_crossings(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;
	size_t top = r->options.top;
	size_t shown = top && top < s->crossing_cnt ? top : s->crossing_cnt;

	if (shown)
		page_gap(&r->page);
	for (size_t i = 0; i < shown; i++)
		put_crossing(&r->page, s, &s->crossings[i], &r->options);
	if (shown < s->crossing_cnt) {
		strbuf_printf(&r->page.line, "... and %s more exceeded it (--top N shows more)",
			      units_count(s->crossing_cnt - shown).text);
		page_paragraph(&r->page, TONE_DIM, 0, 4);
	}
}

/* ---- leaks ----------------------------------------------------------------------------------- */

/* Why there is nothing to list. */
static void put_no_leaks(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;
	const struct leaks_result *leaks = &r->analysis->leaks;
	struct strbuf *line = &r->page.line;
	bool attached = since_attach(r);

	if (leaks->small_rows) {
		strbuf_printf(line, "no leaks of %s or more; smaller ones left out: %s in %s",
			      units_bytes(leaks->params.min_bytes).text,
			      units_bytes(leaks->small_bytes).text,
			      units_counted(leaks->small_blocks, "block").text);
	} else if (sampling_is_off(s)) {
		strbuf_puts(line, "no leaks are looked for: sampling is off");
	} else if (s->estimated && !s->totals.live_blocks) {
		strbuf_puts(line, "no leaks found: no block of the sample is left");
	} else if (!s->totals.allocs) {
		strbuf_printf(line, "no leaks: nothing was allocated%s",
			      attached ? " since attach" : "");
	} else if (!s->totals.live_blocks) {
		strbuf_printf(line, "no leaks: every block %swas freed",
			      attached ? "allocated since attach " : "");
	} else {
		strbuf_printf(line, "no leaks%s: of %s none is older than %s",
			      s->estimated ? " found" : "",
			      units_counted(s->totals.live_blocks, "live block").text,
			      units_duration(s->min_age_s).text);
	}
	if (snapshot_losses(s) || r->analysis->ranking.incomplete_cnt)
		strbuf_puts(line, ", as far as was counted");
	page_paragraph(&r->page, TONE_STRONG, 0, 4);
}

static void put_leaks_header(struct report *r, size_t shown)
{
	const struct leaks_result *leaks = &r->analysis->leaks;
	struct strbuf *line = &r->page.line;

	strbuf_puts(line, "leaks: ");
	estimate_put_heap(line, leaks->total_bytes, leaks->estimated ? &leaks->total_bytes_95 : NULL,
			  leaks->total_blocks, leaks->estimated ? &leaks->total_blocks_95 : NULL);
	strbuf_printf(line, " from %s", units_counted(leaks->total_rows, "call path").text);
	leak_put_counts(&r->page, leaks);
	strbuf_printf(line, "; %slargest first, then oldest",
		      leaks->verdict_rows[leaks->rows[0].verdict] < leaks->total_rows ?
			      "by verdict, " :
			      "");
	if (leaks->small_rows)
		strbuf_printf(line, "; %s with less than %s left out: %s in %s",
			      units_counted(leaks->small_rows, "call path").text,
			      units_bytes(leaks->params.min_bytes).text,
			      units_bytes(leaks->small_bytes).text,
			      units_counted(leaks->small_blocks, "block").text);
	if (shown < leaks->total_rows)
		strbuf_printf(line, "; the first %s shown", units_count(shown).text);
	page_paragraph(&r->page, TONE_STRONG, 0, 4);
}

/* "3 s to 12.1 s", or one figure when both read the same. */
static void put_ages(struct strbuf *line, double youngest_s, double oldest_s)
{
	struct units_text youngest = units_duration(youngest_s);
	struct units_text oldest = units_duration(oldest_s);

	if (youngest_s >= 0 && strcmp(youngest.text, oldest.text))
		strbuf_printf(line, "%s to ", youngest.text);
	strbuf_puts(line, oldest.text);
}

static void put_why_leaked(struct report *r, const struct leak *leak)
{
	double min_age_s = r->snapshot->min_age_s;
	bool aged = leak->oldest_age_s >= 0;
	struct strbuf *line = &r->page.line;

	if (leak->ended) {
		strbuf_puts(line, "never freed");
		if (!aged)
			return;
		strbuf_puts(line, ", allocated ");
		put_ages(line, leak->youngest_age_s, leak->oldest_age_s);
		strbuf_puts(line, " before the end");
		return;
	}
	if (min_age_s > 0)
		strbuf_printf(line, "older than %s", units_duration(min_age_s).text);
	else
		strbuf_puts(line, "not freed so far");
	if (!aged)
		return;
	strbuf_puts(line, " (");
	put_ages(line, leak->youngest_age_s, leak->oldest_age_s);
	strbuf_puts(line, ")");
}

static void put_leak(struct report *r, size_t number, const struct leak *leak)
{
	const struct memtrace_snapshot *s = r->snapshot;
	const struct memtrace_process *process = snapshot_find_process(s, leak->process);
	struct strbuf *line = &r->page.line;

	strbuf_printf(line, "%zu. ", number);
	estimate_put_heap(line, leak->live_bytes, leak->estimated ? &leak->bytes_95 : NULL,
			  leak->live_blocks, leak->estimated ? &leak->blocks_95 : NULL);
	strbuf_puts(line, ", ");
	put_why_leaked(r, leak);
	if (process && s->process_cnt > 1) {
		strbuf_puts(line, ", ");
		process_put_name(&r->page, process);
	}
	page_paragraph(&r->page, TONE_PLAIN, 2, 5);
	leak_put_verdict(&r->page, &r->analysis->leaks, leak, 5);
	stack_text(&r->page, s, snapshot_find_site(s, leak->site), 5, r->options.frames);
}

static size_t leaks_shown(const struct report *r)
{
	size_t top = r->options.top, cnt = r->analysis->leaks.row_cnt;

	return top && top < cnt ? top : cnt;
}

static void put_leaks(struct report *r)
{
	const struct leaks_result *leaks = &r->analysis->leaks;
	size_t shown = leaks_shown(r);

	page_gap(&r->page);
	if (!leaks->total_rows) {
		put_no_leaks(r);
		return;
	}
	put_leaks_header(r, shown);
	for (size_t i = 0; i < shown; i++)
		put_leak(r, i + 1, &leaks->rows[i]);
	if (shown < leaks->total_rows) {
		strbuf_printf(&r->page.line, "... and %s more (--top N shows more)",
			      units_counted(leaks->total_rows - shown, "call path").text);
		page_paragraph(&r->page, TONE_DIM, 2, 4);
	}
}

/* ---- foot ------------------------------------------------------------------------------------ */

/* Figures are exact, but allocators' own sites do not tell everything. */
static bool untold(const struct report *r)
{
	return !r->snapshot->estimated && r->snapshot->totals.failed_allocs == MEMTRACE_UNKNOWN;
}

/* "3 unknown frees", or that nobody knows. */
static void put_known(struct report *r, int64_t cnt, const char *noun, const char *separator)
{
	struct strbuf *line = &r->page.line;

	if (cnt == MEMTRACE_UNKNOWN)
		strbuf_printf(line, "%s%ss not known (%s)", separator, noun,
			      untold(r) ? "otel lane" : "sampled");
	else
		strbuf_printf(line, "%s%s", separator, units_counted((uint64_t)cnt, noun).text);
}

static void put_total(struct strbuf *line, uint64_t cnt, const char *noun,
		      const struct memtrace_estimate *cnt_95, uint64_t bytes,
		      const struct memtrace_estimate *bytes_95)
{
	strbuf_puts(line, units_counted(cnt, noun).text);
	estimate_put_count(line, cnt_95);
	strbuf_printf(line, bytes_95 ? " of %s" : " (%s)", units_bytes(bytes).text);
	estimate_put_bytes(line, bytes_95);
	strbuf_puts(line, ", ");
}

static void put_totals(struct report *r)
{
	const struct memtrace_totals *t = &r->snapshot->totals;
	const struct memtrace_estimates *e = t->estimates;
	struct strbuf *line = &r->page.line;

	strbuf_puts(line, e ? "totals: about " : "totals: ");
	put_total(line, t->allocs, "alloc", e ? &e->alloc_blocks : NULL, t->alloc_bytes,
		  e ? &e->alloc_bytes : NULL);
	put_total(line, t->frees, "free", e ? &e->freed_blocks : NULL, t->freed_bytes,
		  e ? &e->freed_bytes : NULL);
	put_known(r, t->reallocs, "realloc", "");
	if (t->failed_allocs == MEMTRACE_UNKNOWN)
		strbuf_puts(line, ", failures not known (otel lane);");
	else
		strbuf_printf(line, ", %s failed;", units_count((uint64_t)t->failed_allocs).text);
	put_known(r, t->unknown_frees, "unknown free", " ");
	put_known(r, t->inherited_frees, "inherited free", ", ");
	page_paragraph(&r->page, TONE_PLAIN, 0, 4);
}

/* One line for each counter that is not 0. */
static void put_counters(struct report *r, const char *title,
			 const struct memtrace_counter *counters, size_t cnt)
{
	struct strbuf *line = &r->page.line;

	strbuf_puts(line, title);
	page_paragraph(&r->page, TONE_PLAIN, 0, 4);
	for (size_t i = 0; i < cnt; i++) {
		if (!counters[i].value)
			continue;
		strbuf_printf(line, "%s %s", counters[i].name, units_count(counters[i].value).text);
		if (counters[i].text)
			strbuf_printf(line, ": %s", counters[i].text);
		page_paragraph(&r->page, TONE_PLAIN, 4, 8);
	}
}

static bool any(const struct memtrace_counter *counters, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (counters[i].value)
			return true;
	return false;
}

static void put_stack_quality(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;
	struct strbuf *line = &r->page.line;
	const char *separator = "stacks: ";

	for (size_t i = 0; i < s->stack_quality_cnt; i++) {
		if (!s->stack_quality[i].value)
			continue;
		strbuf_printf(line, "%s%s %s", separator, s->stack_quality[i].name,
			      units_count(s->stack_quality[i].value).text);
		separator = ", ";
	}
	if (!line->len)
		strbuf_puts(line, "stacks: none recorded");
	page_paragraph(&r->page, TONE_PLAIN, 0, 4);
}

static void put_trust(struct report *r)
{
	const struct memtrace_snapshot *s = r->snapshot;

	if (snapshot_losses(s)) {
		put_counters(r, "losses:", s->losses, s->loss_cnt);
	} else {
		strbuf_puts(&r->page.line, "losses: none counted");
		page_paragraph(&r->page, TONE_PLAIN, 0, 4);
	}
	if (any(s->notices, s->notice_cnt))
		put_counters(r, "notices:", s->notices, s->notice_cnt);
	put_stack_quality(r);
}

int text_report(const struct memtrace_snapshot *snapshot, const struct analysis *analysis,
		const struct text_options *options, struct strbuf *out)
{
	struct report r;

	report_init(&r, snapshot, analysis, options, out);
	put_title(&r);
	put_losses_alarm(&r);
	put_sampling(&r);
	put_max_overhead(&r);
	put_process(&r);
	put_live(&r);
	put_peak(&r);
	put_limit(&r);
	put_rates(&r);
	put_overhead(&r);
	leak_put_headline(&r.page, snapshot, &analysis->leaks);
	forecast_put(&r.page, snapshot, &analysis->forecast);
	put_crossings(&r);
	put_leaks(&r);
	peak_put(&r.page, snapshot, analysis, r.options.top, r.options.frames, leaks_shown(&r));
	if (analysis->ranking.row_cnt > 1) {
		page_gap(&r.page);
		process_table(&r.page, &analysis->ranking, r.options.top);
	}
	page_gap(&r.page);
	put_totals(&r);
	put_trust(&r);
	page_fini(&r.page);
	return strbuf_error(out);
}

int text_limit_news(const struct memtrace_snapshot *snapshot,
		    const struct memtrace_crossing *crossing, const struct text_options *options,
		    struct strbuf *out)
{
	struct report r;

	report_init(&r, snapshot, NULL, options, out);
	put_crossing(&r.page, snapshot, crossing, &r.options);
	page_fini(&r.page);
	return strbuf_error(out);
}

int text_leak_news(const struct memtrace_snapshot *snapshot, const struct leaks_result *leaks,
		   const struct leak *leak, const struct text_options *options, struct strbuf *out)
{
	struct report r;

	report_init(&r, snapshot, NULL, options, out);
	estimate_put_heap(&r.page.line, leak->live_bytes, leak->estimated ? &leak->bytes_95 : NULL,
			  leak->live_blocks, leak->estimated ? &leak->blocks_95 : NULL);
	strbuf_puts(&r.page.line, ", ");
	leak_put_verdict(&r.page, leaks, leak, 0);
	stack_text(&r.page, snapshot, snapshot_find_site(snapshot, leak->site), 4,
		   r.options.frames);
	page_fini(&r.page);
	return strbuf_error(out);
}

int text_losses_news(const struct memtrace_snapshot *snapshot, const struct text_options *options,
		     struct strbuf *out)
{
	struct report r;

	report_init(&r, snapshot, NULL, options, out);
	if (snapshot_losses(snapshot))
		put_losses_line(&r.page, snapshot, "");
	page_fini(&r.page);
	return strbuf_error(out);
}
