// SPDX-License-Identifier: MIT
#include "output/leak_json.h"

#include <math.h>

#include "analyze/verdict.h"
#include "base/strbuf.h"
#include "output/leak_text.h"

static void field_double(struct json_writer *w, const char *key, double value)
{
	json_key(w, key);
	json_double(w, value);
}

/* Of times and rates that cannot be negative: a negative one is unknown. */
static void field_known(struct json_writer *w, const char *key, double value)
{
	field_double(w, key, value >= 0 ? value : NAN);
}

static void field_string(struct json_writer *w, const char *key, const char *value)
{
	json_key(w, key);
	json_string(w, value);
}

static void field_uint(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	json_uint(w, value);
}

/* [low, high]; null when that is not known */
static void field_interval(struct json_writer *w, const char *key, double low, double high)
{
	json_key(w, key);
	if (!isfinite(low) || !isfinite(high)) {
		json_null(w);
		return;
	}
	json_array_begin(w);
	json_double(w, low);
	json_double(w, high);
	json_array_end(w);
}

void ages_json(struct json_writer *w, const struct memtrace_ages *ages)
{
	json_key(w, "ages");
	if (!ages) {
		json_null(w);
		return;
	}
	json_array_begin(w);
	for (int bin = 0; bin < MEMTRACE_AGE_BINS; bin++) {
		if (!ages->blocks[bin] && !ages->bytes[bin])
			continue;
		json_object_begin(w);
		field_double(w, "min_age_s", bin ? ldexp(1.0 / 64, bin - 1) : 0);
		field_double(w, "max_age_s",
			     bin + 1 < MEMTRACE_AGE_BINS ? ldexp(1.0 / 64, bin) : NAN);
		field_uint(w, "live_blocks", ages->blocks[bin]);
		field_uint(w, "live_bytes", ages->bytes[bin]);
		json_object_end(w);
	}
	json_array_end(w);
}

static void write_reasons(struct json_writer *w, const struct leaks_result *leaks,
			  const struct leak *leak)
{
	struct strbuf reason = STRBUF_INIT;

	json_key(w, "reasons");
	json_array_begin(w);
	for (size_t i = 0; i < LEAK_REASONS; i++) {
		strbuf_clear(&reason);
		if (leak_put_reason(&reason, leaks, leak, i))
			json_string(w, strbuf_text(&reason));
	}
	json_array_end(w);
	strbuf_fini(&reason);
}

void leak_json_verdict(struct json_writer *w, const struct leaks_result *leaks,
		       const struct leak *leak)
{
	const struct growth *growth = &leak->growth;
	bool known = growth->shape != GROWTH_UNKNOWN;

	field_string(w, "verdict", leak_verdict_name(leak->verdict));
	field_string(w, "impact", leak_impact_name(leak->impact));
	write_reasons(w, leaks, leak);
	field_string(w, "shape", known ? growth_name(growth->shape) : NULL);
	field_double(w, "growth_bytes_per_s", growth->trend.slope);
	field_interval(w, "growth_bytes_per_s_95", growth->trend.low, growth->trend.high);
	json_key(w, "grown_bytes");
	if (known)
		json_uint(w, growth->grown_bytes);
	else
		json_null(w);
	field_known(w, "kept_share", leak->kept_share);
	field_string(w, "made", leak_made_name(leak->made));
	field_known(w, "first_seen_s", leak->first_seen_s);
	field_known(w, "last_grown_s", leak->last_grown_s);
}

static void write_row(struct json_writer *w, const struct forecast_row *row)
{
	json_object_begin(w);
	if (row->process)
		field_uint(w, "process", row->process);
	field_uint(w, "live_bytes", row->live_bytes);
	field_double(w, "growth_bytes_per_s", row->bytes_per_s);
	field_interval(w, "growth_bytes_per_s_95", row->low_bytes_per_s, row->high_bytes_per_s);
	field_double(w, "reaches_limit_in_s", row->reaches_in_s);
	field_interval(w, "reaches_limit_in_s_95", row->soonest_s, row->latest_s);
	field_double(w, "over_s", row->trend_s);
	json_object_end(w);
}

void forecast_json(struct json_writer *w, const struct forecast *forecast)
{
	json_key(w, "forecast");
	json_object_begin(w);
	json_key(w, "limit_bytes");
	if (forecast->limit_bytes)
		json_uint(w, forecast->limit_bytes);
	else
		json_null(w);
	json_key(w, "tree");
	if (forecast->has_tree)
		write_row(w, &forecast->tree);
	else
		json_null(w);
	json_key(w, "processes");
	json_array_begin(w);
	for (size_t i = 0; i < forecast->row_cnt; i++)
		write_row(w, &forecast->rows[i]);
	json_array_end(w);
	json_object_end(w);
}
