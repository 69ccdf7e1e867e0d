/* SPDX-License-Identifier: MIT */
#include "output/json.h"

#include <math.h>

#include "model/snapshot.h"
#include "output/json_writer.h"
#include "output/leak_json.h"

static void field_uint(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	json_uint(w, value);
}

/* MEMTRACE_UNKNOWN is null. */
static void field_int(struct json_writer *w, const char *key, int64_t value)
{
	json_key(w, key);
	if (value == MEMTRACE_UNKNOWN)
		json_null(w);
	else
		json_int(w, value);
}

static void field_bool(struct json_writer *w, const char *key, bool value)
{
	json_key(w, key);
	json_bool(w, value);
}

static void field_string(struct json_writer *w, const char *key, const char *value)
{
	json_key(w, key);
	json_string(w, value);
}

/* A time, an age or a rate: a negative one is unknown. */
static void field_seconds(struct json_writer *w, const char *key, double value)
{
	json_key(w, key);
	json_double(w, value >= 0 ? value : NAN);
}

/* A uint that is there only when known. */
static void field_uint_if(struct json_writer *w, const char *key, bool known, uint64_t value)
{
	json_key(w, key);
	if (known)
		json_uint(w, value);
	else
		json_null(w);
}

/* [low, high], high null where nobody knows. */
static void field_interval(struct json_writer *w, const char *key, const struct memtrace_estimate *e)
{
	json_key(w, key);
	json_array_begin(w);
	json_uint(w, e->low);
	if (e->high == MEMTRACE_UNBOUNDED)
		json_null(w);
	else
		json_uint(w, e->high);
	json_array_end(w);
}

/* Of an account's figures, or of a sum of accounts; nothing where they are exact. */
static void write_intervals(struct json_writer *w, const struct memtrace_estimates *e)
{
	if (!e)
		return;
	field_interval(w, "allocs_95", &e->alloc_blocks);
	field_interval(w, "frees_95", &e->freed_blocks);
	field_interval(w, "alloc_bytes_95", &e->alloc_bytes);
	field_interval(w, "freed_bytes_95", &e->freed_bytes);
	field_interval(w, "live_blocks_95", &e->live_blocks);
	field_interval(w, "live_bytes_95", &e->live_bytes);
}

static void write_site_intervals(struct json_writer *w, const struct memtrace_estimates *e)
{
	if (!e)
		return;
	field_interval(w, "live_blocks_95", &e->live_blocks);
	field_interval(w, "live_bytes_95", &e->live_bytes);
	field_interval(w, "alloc_blocks_95", &e->alloc_blocks);
	field_interval(w, "alloc_bytes_95", &e->alloc_bytes);
}

static void write_crossing(struct json_writer *w, const struct memtrace_crossing *crossing)
{
	json_object_begin(w);
	field_seconds(w, "at_s", crossing->at_s);
	field_uint_if(w, "process", crossing->process, crossing->process);
	field_uint_if(w, "site", crossing->site, crossing->site);
	field_uint(w, "usage_bytes", crossing->usage_bytes);
	json_object_end(w);
}

static void write_limit(struct json_writer *w, const struct memtrace_snapshot *snapshot)
{
	const struct memtrace_limit *limit = &snapshot->limit;
	bool crossed = limit->exceeded;

	json_key(w, "limit");
	json_object_begin(w);
	field_uint_if(w, "bytes", limit->bytes != 0, limit->bytes);
	field_string(w, "scope", limit->scope == MEMTRACE_LIMIT_TREE ? "tree" : "process");
	field_bool(w, "exceeded", crossed);
	field_seconds(w, "exceeded_at_s", crossed ? limit->exceeded_at_s : NAN);
	field_uint_if(w, "process", crossed && limit->process, limit->process);
	field_uint_if(w, "site", crossed && limit->site, limit->site);
	field_uint_if(w, "usage_bytes", crossed, limit->usage_bytes);
	json_key(w, "crossings");
	json_array_begin(w);
	for (size_t i = 0; i < snapshot->crossing_cnt; i++)
		write_crossing(w, &snapshot->crossings[i]);
	json_array_end(w);
	json_object_end(w);
}

/* Before the first allocation there was no peak, so no time of one. */
static double peak_at_s(uint64_t peak_bytes, double at_s)
{
	return peak_bytes ? at_s : NAN;
}

static void write_totals(struct json_writer *w, const struct memtrace_totals *totals)
{
	json_key(w, "totals");
	json_object_begin(w);
	field_uint(w, "allocs", totals->allocs);
	field_uint(w, "frees", totals->frees);
	field_int(w, "reallocs", totals->reallocs);
	field_uint(w, "alloc_bytes", totals->alloc_bytes);
	field_uint(w, "freed_bytes", totals->freed_bytes);
	field_uint(w, "live_blocks", totals->live_blocks);
	field_uint(w, "live_bytes", totals->live_bytes);
	field_uint(w, "peak_bytes", totals->peak_bytes);
	field_int(w, "peak_blocks", totals->peak_blocks);
	field_seconds(w, "peak_at_s", peak_at_s(totals->peak_bytes, totals->peak_at_s));
	field_int(w, "failed_allocs", totals->failed_allocs);
	field_int(w, "unknown_frees", totals->unknown_frees);
	field_int(w, "inherited_frees", totals->inherited_frees);
	write_intervals(w, totals->estimates);
	json_object_end(w);
}

static void write_rates(struct json_writer *w, const struct rates *rates)
{
	json_key(w, "rates");
	json_object_begin(w);
	field_seconds(w, "allocs_per_s", rates->allocs_per_s);
	field_seconds(w, "frees_per_s", rates->frees_per_s);
	field_seconds(w, "bytes_per_s", rates->bytes_per_s);
	field_seconds(w, "over_s", rates->over_s);
	json_object_end(w);
}

static void write_overhead(struct json_writer *w, const struct overhead *o)
{
	json_key(w, "overhead");
	json_object_begin(w);
	field_uint(w, "calls", o->calls);
	field_seconds(w, "calls_per_s", o->calls_per_s);
	field_seconds(w, "ns_per_call", o->ns_per_call);
	field_seconds(w, "cost_s", o->cost_s);
	field_seconds(w, "cpu_s", o->cpu_s);
	field_seconds(w, "share", o->share);
	field_seconds(w, "slowdown", o->slowdown);
	field_seconds(w, "max_percent", o->max_percent);
	field_bool(w, "ended", o->ended);
	field_seconds(w, "ended_at_s", o->ended_at_s);
	field_seconds(w, "ended_percent", o->ended_percent);
	field_seconds(w, "widened_at_s", o->widened_at_s);
	field_seconds(w, "widened_percent", o->widened_percent);
	json_object_end(w);
}

/* Members of the object that is open. */
static void write_counters(struct json_writer *w, const struct memtrace_counter *counters,
			   size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		field_uint(w, counters[i].name, counters[i].value);
}

static void write_quality(struct json_writer *w, const struct memtrace_snapshot *snapshot)
{
	json_key(w, "losses");
	json_object_begin(w);
	write_counters(w, snapshot->losses, snapshot->loss_cnt);
	field_uint(w, "total", snapshot_losses(snapshot));
	json_object_end(w);

	json_key(w, "notices");
	json_object_begin(w);
	write_counters(w, snapshot->notices, snapshot->notice_cnt);
	json_object_end(w);

	json_key(w, "stack_quality");
	json_object_begin(w);
	write_counters(w, snapshot->stack_quality, snapshot->stack_quality_cnt);
	json_object_end(w);
}

/* Only classes that were allocated from. Class i holds 2^i .. 2^(i+1)-1; class 0 holds 0 and 1,
 * the last everything from its beginning on. */
static void write_size_histogram(struct json_writer *w, const struct memtrace_snapshot *snapshot)
{
	const unsigned int cnt = sizeof(snapshot->size_classes) / sizeof(snapshot->size_classes[0]);

	json_key(w, "size_histogram");
	json_array_begin(w);
	for (unsigned int i = 0; i < cnt; i++) {
		if (!snapshot->size_classes[i])
			continue;
		json_object_begin(w);
		field_uint(w, "min_bytes", i ? 1ULL << i : 0);
		field_uint_if(w, "max_bytes", i + 1 < cnt, (2ULL << i) - 1);
		field_uint(w, "allocs", snapshot->size_classes[i]);
		json_object_end(w);
	}
	json_array_end(w);
}

static const char *ended_by_name(enum memtrace_ended_by ended_by)
{
	switch (ended_by) {
	case MEMTRACE_RUNNING:
		break;
	case MEMTRACE_ENDED_EXEC:
		return "exec";
	case MEMTRACE_ENDED_EXIT:
		return "exit";
	case MEMTRACE_ENDED_SIGNAL:
		return "signal";
	}
	return NULL;
}

static void write_process(struct json_writer *w, const struct memtrace_process *p)
{
	json_object_begin(w);
	field_uint(w, "id", p->id);
	field_int(w, "pid", p->pid);
	field_int(w, "ppid", p->ppid);
	field_string(w, "comm", p->comm);
	field_string(w, "exe", p->exe);
	field_string(w, "lane", p->lane);
	field_string(w, "ended_by", ended_by_name(p->ended_by));
	field_int(w, "exit_status",
		  p->ended_by == MEMTRACE_ENDED_EXIT ? p->exit_status : MEMTRACE_UNKNOWN);
	field_int(w, "signal", p->ended_by == MEMTRACE_ENDED_SIGNAL ? p->signal : MEMTRACE_UNKNOWN);
	field_uint(w, "allocs", p->allocs);
	field_uint(w, "frees", p->frees);
	field_int(w, "reallocs", p->reallocs);
	field_uint(w, "alloc_bytes", p->alloc_bytes);
	field_uint(w, "freed_bytes", p->freed_bytes);
	field_uint(w, "live_blocks", p->live_blocks);
	field_uint(w, "live_bytes", p->live_bytes);
	field_uint(w, "peak_bytes", p->peak_bytes);
	field_uint(w, "peak_blocks", p->peak_blocks);
	field_seconds(w, "peak_at_s", peak_at_s(p->peak_bytes, p->peak_at_s));
	field_int(w, "peak_unattributed_bytes", p->peak_unattributed_bytes);
	field_int(w, "failed_allocs", p->failed_allocs);
	field_int(w, "unknown_frees", p->unknown_frees);
	field_int(w, "inherited_frees", p->inherited_frees);
	field_seconds(w, "followed_after_s", p->followed_after_s);
	field_bool(w, "since_attach", p->since_attach);
	field_int(w, "rss_bytes", p->rss_bytes);
	field_bool(w, "estimated", p->estimates != NULL);
	field_int(w, "filter_bytes", p->filter_bytes);
	write_intervals(w, p->estimates);
	json_object_end(w);
}

static void write_frame(struct json_writer *w, const struct memtrace_frame *frame)
{
	json_object_begin(w);
	field_string(w, "symbol", frame->symbol);
	field_string(w, "module", frame->module);
	field_uint(w, "offset", frame->offset);
	field_string(w, "file", frame->file);
	field_uint_if(w, "line", frame->line != 0, frame->line);
	field_bool(w, "inlined", frame->inlined);
	json_object_end(w);
}

static void write_site(struct json_writer *w, const struct memtrace_snapshot *snapshot,
		       const struct memtrace_site *site)
{
	const struct memtrace_counter *end = snapshot_stack_end(snapshot, site);

	json_object_begin(w);
	field_uint(w, "id", site->id);
	field_uint(w, "process", site->process);
	field_uint(w, "live_blocks", site->live_blocks);
	field_uint(w, "live_bytes", site->live_bytes);
	field_uint(w, "alloc_blocks", site->alloc_blocks);
	field_uint(w, "alloc_bytes", site->alloc_bytes);
	field_uint(w, "peak_bytes", site->peak_bytes);
	field_uint(w, "bytes_at_peak", site->bytes_at_peak);
	field_seconds(w, "oldest_age_s", site->oldest_age_s);
	write_site_intervals(w, site->estimates);
	ages_json(w, site->ages);
	json_key(w, "stack");
	json_array_begin(w);
	for (uint32_t i = 0; i < site->frame_cnt; i++)
		write_frame(w, &site->frames[i]);
	json_array_end(w);
	field_string(w, "stack_end", end ? end->name : NULL);
	json_object_end(w);
}

static void write_leak(struct json_writer *w, const struct leaks_result *leaks,
		       const struct leak *leak)
{
	json_object_begin(w);
	field_uint(w, "site", leak->site);
	field_uint(w, "process", leak->process);
	field_uint(w, "live_blocks", leak->live_blocks);
	field_uint(w, "live_bytes", leak->live_bytes);
	field_seconds(w, "oldest_age_s", leak->oldest_age_s);
	field_seconds(w, "youngest_age_s", leak->youngest_age_s);
	field_bool(w, "ended", leak->ended);
	json_key(w, "sites");
	json_array_begin(w);
	for (size_t i = 0; i < leak->site_cnt; i++)
		json_uint(w, leak->sites[i]);
	json_array_end(w);
	if (leak->estimated) {
		field_interval(w, "live_blocks_95", &leak->blocks_95);
		field_interval(w, "live_bytes_95", &leak->bytes_95);
	}
	leak_json_verdict(w, leaks, leak);
	json_object_end(w);
}

static void write_peak_process(struct json_writer *w, const struct peak_process *p)
{
	json_object_begin(w);
	field_uint(w, "process", p->process->id);
	field_uint(w, "bytes", p->process->peak_bytes);
	field_uint(w, "blocks", p->process->peak_blocks);
	field_seconds(w, "at_s", peak_at_s(p->process->peak_bytes, p->process->peak_at_s));
	field_int(w, "unattributed_bytes", p->process->peak_unattributed_bytes);
	field_uint(w, "kept_bytes_max", p->kept_bytes_max);
	json_object_end(w);
}

static void write_peak_row(struct json_writer *w, const struct peak_row *row)
{
	json_object_begin(w);
	field_uint(w, "site", row->site);
	field_uint(w, "process", row->process);
	field_uint(w, "bytes_at_peak", row->bytes_at_peak);
	field_seconds(w, "share", row->share);
	field_uint(w, "live_bytes", row->live_bytes);
	json_key(w, "sites");
	json_array_begin(w);
	for (size_t i = 0; i < row->site_cnt; i++)
		json_uint(w, row->sites[i]);
	json_array_end(w);
	json_object_end(w);
}

static void write_peak(struct json_writer *w, const struct peak *peak)
{
	json_key(w, "peak");
	json_object_begin(w);
	field_uint(w, "bytes", peak->bytes);
	field_int(w, "blocks", peak->blocks);
	field_seconds(w, "at_s", peak_at_s(peak->bytes, peak->at_s));
	field_uint_if(w, "process", peak->process, peak->process);
	field_seconds(w, "share", peak->share);
	json_key(w, "processes");
	json_array_begin(w);
	for (size_t i = 0; i < peak->process_cnt; i++)
		write_peak_process(w, &peak->processes[i]);
	json_array_end(w);
	json_key(w, "sites");
	json_array_begin(w);
	for (size_t i = 0; i < peak->row_cnt; i++)
		if (peak->rows[i].site) /* what is nobody's is in its process's row */
			write_peak_row(w, &peak->rows[i]);
	json_array_end(w);
	json_object_end(w);
}

static void write_sampling(struct json_writer *w, const struct memtrace_snapshot *s)
{
	json_key(w, "sampling");
	if (s->sampling == MEMTRACE_SAMPLING_NONE && !s->estimated) {
		json_null(w);
		return;
	}
	json_object_begin(w);
	field_uint_if(w, "sample_bytes", s->sampling == MEMTRACE_SAMPLING_BYTES, s->sample_bytes);
	json_key(w, "sampling_rate");
	json_double(w, s->sampling == MEMTRACE_SAMPLING_RATE ? s->sampling_rate : NAN);
	field_uint(w, "sampled_blocks_min", s->sampled_blocks);
	json_object_end(w);
}

static void write_head(struct json_writer *w, const struct memtrace_snapshot *snapshot)
{
	field_string(w, "schema", JSON_SCHEMA);
	json_key(w, "tool");
	json_object_begin(w);
	field_string(w, "name", "memtrace");
	field_string(w, "version", snapshot->tool_version);
	json_object_end(w);
	field_string(w, "target", snapshot->target);
	field_string(w, "lane", snapshot->lane);
	field_bool(w, "estimated", snapshot->estimated);
	write_sampling(w, snapshot);
	field_bool(w, "final", snapshot->final);
	field_seconds(w, "duration_s", snapshot->duration_s);
	/* the first snapshot has none before it */
	field_seconds(w, "interval_s", snapshot->interval_s > 0 ? snapshot->interval_s : NAN);
}

int json_report(const struct memtrace_snapshot *snapshot, const struct analysis *analysis,
		struct strbuf *out)
{
	struct json_writer w;

	json_init(&w, out);
	json_object_begin(&w);
	write_head(&w, snapshot);
	write_limit(&w, snapshot);
	write_totals(&w, &snapshot->totals);
	write_rates(&w, &analysis->rates);
	write_overhead(&w, &analysis->overhead);
	write_quality(&w, snapshot);
	write_size_histogram(&w, snapshot);

	json_key(&w, "processes");
	json_array_begin(&w);
	for (size_t i = 0; i < snapshot->process_cnt; i++)
		write_process(&w, &snapshot->processes[i]);
	json_array_end(&w);

	json_key(&w, "sites");
	json_array_begin(&w);
	for (size_t i = 0; i < snapshot->site_cnt; i++)
		write_site(&w, snapshot, &snapshot->sites[i]);
	json_array_end(&w);

	json_key(&w, "leaks");
	json_array_begin(&w);
	for (size_t i = 0; i < analysis->leaks.row_cnt; i++)
		write_leak(&w, &analysis->leaks, &analysis->leaks.rows[i]);
	json_array_end(&w);
	write_peak(&w, &analysis->peak);
	forecast_json(&w, &analysis->forecast);

	json_object_end(&w);
	strbuf_putc(out, '\n');
	return strbuf_error(out);
}
