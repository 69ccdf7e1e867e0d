// SPDX-License-Identifier: MIT
#include "output/leak_text.h"

#include <math.h>
#include <string.h>

#include "analyze/verdict.h"
#include "base/units.h"
#include "model/snapshot.h"
#include "output/process_text.h"

#define NEARLY_ALL 0.95

/* "12.3 s (95 %: 11.9 s to 12.7 s)"; without the interval where all three read the same. */
static void put_with_interval(struct strbuf *out, struct units_text value, struct units_text low,
			      struct units_text high)
{
	strbuf_puts(out, value.text);
	if (strcmp(value.text, low.text) || strcmp(value.text, high.text))
		strbuf_printf(out, " (95 %%: %s to %s)", low.text, high.text);
}

static void put_rate(struct strbuf *out, const struct trend *trend)
{
	put_with_interval(out, units_byte_rate(trend->slope), units_byte_rate(fmax(trend->low, 0)),
			  units_byte_rate(trend->high));
}

static void put_steps(struct strbuf *out, const struct growth *growth)
{
	struct units_text bytes = units_bytes(growth->grown_bytes);
	struct units_text last = units_duration(growth->last_grown_s);

	if (growth->grown_cnt == 1)
		strbuf_printf(out, "grew once, by %s, at %s", bytes.text, last.text);
	else
		strbuf_printf(out,
			      "grew in %s of %s intervals, by %s in all, without a steady trend",
			      units_count(growth->grown_cnt).text,
			      units_count(growth->interval_cnt).text, bytes.text);
}

static void put_plateau(struct strbuf *out, const struct growth *growth)
{
	if (growth->trend.low > 0) {
		strbuf_printf(out, "levels off: in the last %s it grew by ",
			      units_duration(growth->trend_s).text);
		put_rate(out, &growth->trend);
		strbuf_puts(out, ", before by more than twice that");
	} else {
		strbuf_printf(out, "levelled off after it had grown by %s",
			      units_bytes(growth->grown_bytes).text);
	}
}

/* What its curve does. */
static bool put_shape(struct strbuf *out, const struct leaks_result *leaks, const struct leak *leak)
{
	const struct growth *growth = &leak->growth;

	switch (growth->shape) {
	case GROWTH_UNKNOWN:
		strbuf_puts(out, leaks->params.series ? "seen for too short a time to tell growth"
						      : "how it grew is not known");
		break;
	case GROWTH_FLAT:
		if (growth->largest_fall_bytes || growth->grown_cnt)
			strbuf_printf(out, "stays about the same for %s",
				      units_duration(growth->over_s).text);
		else
			strbuf_printf(out, "has not changed for %s",
				      units_duration(growth->over_s).text);
		break;
	case GROWTH_SAW_TOOTH:
		strbuf_printf(out, "goes up and down, by up to %s",
			      units_bytes(growth->largest_fall_bytes).text);
		break;
	case GROWTH_SHRINKING:
		strbuf_puts(out, "shrinks");
		break;
	case GROWTH_INIT:
		strbuf_printf(out, "grew at the start, by %s, and not since",
			      units_bytes(growth->grown_bytes).text);
		break;
	case GROWTH_STEP:
		put_steps(out, growth);
		break;
	case GROWTH_PLATEAU:
		put_plateau(out, growth);
		break;
	case GROWTH_STEADY:
		strbuf_printf(out, "grew in %s of %s intervals, ",
			      units_count(growth->grown_cnt).text,
			      units_count(growth->interval_cnt).text);
		put_rate(out, &growth->trend);
		break;
	}
	return true;
}

static bool put_too_little(struct strbuf *out, const struct leaks_result *leaks,
			   const struct leak *leak)
{
	uint64_t min_bytes = leaks->params.min_leak_bytes;

	if (leak->growth.shape != GROWTH_STEADY || leak->growth.grown_bytes >= min_bytes)
		return false;
	strbuf_printf(out, "by %s in all, less than %s", units_bytes(leak->growth.grown_bytes).text,
		      units_bytes(min_bytes).text);
	return true;
}

/* What the ages of its blocks say. */
static bool put_kept(struct strbuf *out, const struct leaks_result *leaks, const struct leak *leak)
{
	struct units_text from = units_duration(leak->kept_from_s);
	struct units_text to = units_duration(leak->kept_to_s);

	(void)leaks;
	if (leak->growth.shape != GROWTH_STEADY || !(leak->kept_share >= 0))
		return false;
	if (leak->kept_share >= NEARLY_ALL)
		strbuf_printf(out, "nothing was freed of what it added %s to %s ago", from.text,
			      to.text);
	else
		strbuf_printf(out, "%s of what it added %s to %s ago is left",
			      units_permille((uint64_t)(leak->kept_share * 1000)).text, from.text,
			      to.text);
	return true;
}

static bool put_made(struct strbuf *out, const struct leaks_result *leaks, const struct leak *leak)
{
	(void)leaks;
	if (leak->growth.shape != GROWTH_UNKNOWN)
		return false;
	switch (leak->made) {
	case LEAK_MADE_UNKNOWN:
		break;
	case LEAK_MADE_AT_START:
		strbuf_puts(out, "all made in the first fifth of the time");
		return true;
	case LEAK_MADE_THROUGHOUT:
		strbuf_puts(out, "made throughout the time");
		return true;
	case LEAK_MADE_AT_END:
		strbuf_puts(out, "all made in the last fifth of the time");
		return true;
	}
	return false;
}

bool leak_put_reason(struct strbuf *out, const struct leaks_result *leaks, const struct leak *leak,
		     size_t number)
{
	static bool (*const reasons[LEAK_REASONS])(struct strbuf *, const struct leaks_result *,
						   const struct leak *) = {
		put_shape,
		put_too_little,
		put_kept,
		put_made,
	};

	return number < LEAK_REASONS && reasons[number](out, leaks, leak);
}

void leak_put_verdict(struct page *page, const struct leaks_result *leaks, const struct leak *leak,
		      unsigned int indent)
{
	static const char *const words[] = {
		[LEAK_LEAKING] = "LEAKING",
		[LEAK_SUSPECT] = "suspect",
		[LEAK_STEADY] = "steady",
	};
	static const enum tone tones[] = {
		[LEAK_LEAKING] = TONE_ALARM,
		[LEAK_SUSPECT] = TONE_WARN,
		[LEAK_STEADY] = TONE_PLAIN,
	};
	struct strbuf *line = &page->line;
	const char *separator = ": ";

	strbuf_puts(line, words[leak->verdict]);
	if (leak_impact_name(leak->impact))
		strbuf_printf(line, ", impact %s", leak_impact_name(leak->impact));
	for (size_t i = 0; i < LEAK_REASONS; i++) {
		size_t len = line->len;

		strbuf_puts(line, separator);
		if (leak_put_reason(line, leaks, leak, i))
			separator = "; ";
		else
			strbuf_truncate(line, len);
	}
	if (leak->first_seen_s >= 0)
		strbuf_printf(line, "; first seen at %s", units_duration(leak->first_seen_s).text);
	if (leak->last_grown_s >= 0)
		strbuf_printf(line, ", last grown at %s", units_duration(leak->last_grown_s).text);
	page_paragraph(page, tones[leak->verdict], indent, indent);
}

void leak_put_counts(struct page *page, const struct leaks_result *leaks)
{
	static const enum leak_verdict told[] = { LEAK_LEAKING, LEAK_SUSPECT };

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (leaks->verdict_rows[told[i]])
			strbuf_printf(&page->line, ", %s %s",
				      units_count(leaks->verdict_rows[told[i]]).text,
				      leak_verdict_name(told[i]));
}

/* "cache_fill (cache.c:42)": where the worst one is. */
static void put_place(struct strbuf *line, const struct memtrace_site *site)
{
	const struct memtrace_frame *frame = site && site->frame_cnt ? site->frames : NULL;

	if (!frame || (!frame->symbol && !frame->module))
		return;
	strbuf_puts(line, ", most of it at ");
	strbuf_put_printable(line, frame->symbol ? frame->symbol : page_basename(frame->module));
	if (!frame->file)
		return;
	strbuf_puts(line, " (");
	strbuf_put_printable(line, page_basename(frame->file));
	if (frame->line)
		strbuf_printf(line, ":%u", frame->line);
	strbuf_puts(line, ")");
}

void leak_put_headline(struct page *page, const struct memtrace_snapshot *snapshot,
		       const struct leaks_result *leaks)
{
	size_t cnt = leaks->verdict_rows[LEAK_LEAKING];
	const struct leak *fastest = leaks->rows;

	if (!cnt)
		return;
	/* leaking rows come first, and the rows are all there, whatever is shown of them */
	for (size_t i = 1; i < cnt; i++)
		if (leak_rate(&leaks->rows[i]) > leak_rate(fastest))
			fastest = &leaks->rows[i];
	strbuf_printf(&page->line, "%s, %s in all", units_counted(cnt, "call path").text,
		      units_byte_rate(leaks->leaking_bytes_per_s).text);
	put_place(&page->line, snapshot_find_site(snapshot, fastest->site));
	page_item(page, TONE_ALARM, "leaking");
}

void forecast_put(struct page *page, const struct memtrace_snapshot *snapshot,
		  const struct forecast *forecast)
{
	const struct forecast_row *row = forecast->has_tree  ? &forecast->tree
					 : forecast->row_cnt ? forecast->rows
							     : NULL;
	const struct memtrace_process *process;
	struct strbuf *line = &page->line;

	if (!row)
		return;
	process = row->process ? snapshot_find_process(snapshot, row->process) : NULL;
	if (process && snapshot->process_cnt > 1) {
		process_put_name(page, process);
		strbuf_putc(line, ' ');
	}
	strbuf_printf(line, "reaches the %s limit in about ",
		      units_bytes(forecast->limit_bytes).text);
	put_with_interval(line, units_duration(row->reaches_in_s), units_duration(row->soonest_s),
			  units_duration(row->latest_s));
	strbuf_printf(line, ", growing by %s", units_byte_rate(row->bytes_per_s).text);
	if (!forecast->has_tree && forecast->row_cnt > 1)
		strbuf_printf(line, "; %s more later", units_count(forecast->row_cnt - 1).text);
	page_item(page, TONE_WARN, "forecast");
}
