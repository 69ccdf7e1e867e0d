// SPDX-License-Identifier: MIT
#include "output/peak_text.h"

#include <math.h>

#include "base/units.h"
#include "model/snapshot.h"
#include "output/process_text.h"
#include "output/stack_text.h"

static void put_bytes(struct strbuf *line, uint64_t bytes, bool estimated)
{
	if (estimated)
		strbuf_printf(line, "about %s", units_bytes(bytes).text);
	else
		strbuf_puts(line, units_bytes_exact(bytes).text);
}

/* "57.1 %"; never 0 of something, nor all of it but for something. */
static struct units_text share_text(double share)
{
	struct units_text under = { "under 0.1 %" };
	uint64_t permille = (uint64_t)lround(share * 1000);

	if (share < 1 && permille == 1000)
		permille = 999;
	return permille ? units_permille(permille) : under;
}

static void put_kept(struct strbuf *line, const struct peak_process *p)
{
	bool ended = p->process->ended_by != MEMTRACE_RUNNING;

	if (!p->kept_bytes_max)
		strbuf_printf(line, ", nothing of it %s", ended ? "left at the end" : "live now");
	else
		strbuf_printf(line, ", at most %s of it %s",
			      share_text((double)p->kept_bytes_max /
					 (double)p->process->peak_bytes)
				      .text,
			      ended ? "left at the end" : "still live");
}

static void put_own_header(struct page *page, const struct peak *peak)
{
	const struct peak_process *p = peak->processes;
	struct strbuf *line = &page->line;

	strbuf_puts(line, "peak: ");
	put_bytes(line, p->process->peak_bytes, p->process->estimates != NULL);
	if (p->process->peak_at_s >= 0)
		strbuf_printf(line, " at %s", units_duration(p->process->peak_at_s).text);
	put_kept(line, p);
}

static void put_tree_header(struct page *page, const struct peak *peak)
{
	const struct peak_process *whose =
		peak->process ? peak_find_process(peak, peak->process) : NULL;
	struct strbuf *line = &page->line;

	strbuf_printf(line, "peak: %s of %s processes held more at %s than last",
		      units_count(peak->over_processes).text, units_count(peak->process_cnt).text,
		      peak->over_processes == 1 ? "its peak" : "their peaks");
	if (whose) {
		strbuf_puts(line, "; of the peak of all ");
		process_put_name(page, whose->process);
		strbuf_printf(line, " held %s", share_text(peak->share).text);
	} else {
		strbuf_puts(line, "; what each held at the peak of all is not known");
	}
}

static void put_header(struct page *page, const struct peak *peak, size_t shown)
{
	struct strbuf *line = &page->line;

	if (peak->process_cnt == 1)
		put_own_header(page, peak);
	else
		put_tree_header(page, peak);
	strbuf_puts(line, "; largest first");
	if (shown < peak->over_rows)
		strbuf_printf(line, ", the first %s of %s shown", units_count(shown).text,
			      units_count(peak->over_rows).text);
	page_paragraph(page, TONE_STRONG, 0, 4);
}

/* The number of the leak that showed this call path; 0: none did. */
static size_t shown_as_leak(const struct leaks_result *leaks, size_t leaks_shown,
			    const struct peak_row *row)
{
	for (size_t i = 0; i < leaks_shown; i++)
		for (size_t j = 0; j < leaks->rows[i].site_cnt; j++)
			if (leaks->rows[i].sites[j] == row->site)
				return i + 1;
	return 0;
}

static void put_row(struct page *page, const struct peak *peak, const struct peak_row *row,
		    size_t number)
{
	const struct peak_process *p = peak_find_process(peak, row->process);
	struct strbuf *line = &page->line;

	strbuf_printf(line, "%zu. ", number);
	put_bytes(line, row->bytes_at_peak, row->estimated);
	if (!isnan(row->share))
		strbuf_printf(line, ", %s of the peak", share_text(row->share).text);
	if (p && peak->process_cnt > 1) {
		strbuf_puts(line, " of ");
		process_put_name(page, p->process);
		if (p->process->peak_at_s >= 0)
			strbuf_printf(line, " at %s", units_duration(p->process->peak_at_s).text);
	}
	if (row->site)
		strbuf_printf(line, "; %s%s %s", row->estimated && row->live_bytes ? "about " : "",
			      units_bytes(row->live_bytes).text,
			      p && p->process->ended_by != MEMTRACE_RUNNING ? "left at the end" :
									      "live now");
	page_paragraph(page, TONE_PLAIN, 2, 5);
}

void peak_put(struct page *page, const struct memtrace_snapshot *snapshot,
	      const struct analysis *analysis, size_t top, unsigned int frames, size_t leaks_shown)
{
	const struct peak *peak = &analysis->peak;
	size_t shown = top && top < peak->over_rows ? top : peak->over_rows;

	if (!peak->over_rows)
		return;
	page_gap(page);
	put_header(page, peak, shown);
	for (size_t i = 0; i < shown; i++) {
		const struct peak_row *row = &peak->rows[i];
		size_t leak = shown_as_leak(&analysis->leaks, leaks_shown, row);

		put_row(page, peak, row, i + 1);
		if (row->site && !leak) {
			stack_text(page, snapshot, snapshot_find_site(snapshot, row->site), 5,
				   frames);
			continue;
		}
		if (row->site)
			strbuf_printf(&page->line, "(the call path of leak %zu)", leak);
		else
			strbuf_puts(&page->line, "(of no certain call path: threads raced there)");
		page_paragraph(page, TONE_DIM, 5, 5);
	}
	if (shown < peak->over_rows) {
		strbuf_printf(&page->line, "... and %s more: %s (--top N shows more)",
			      units_count(peak->over_rows - shown).text,
			      units_bytes(peak_rest_bytes(peak, shown)).text);
		page_paragraph(page, TONE_DIM, 2, 4);
	}
}
