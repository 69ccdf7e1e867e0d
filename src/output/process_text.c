/* SPDX-License-Identifier: MIT */
#include "output/process_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define GAP 2

enum column {
	COL_PID,
	COL_LIVE,
	COL_BLOCKS,
	COL_PEAK,
	COL_ALLOCS,
	COL_FREES,
	COL_RSS,
	COL_STATE,
	COL_COMMAND,
	COL_CNT
};

static const struct {
	const char *title;
	bool right;
	unsigned int expendable; /* the highest goes first where the page is too narrow; 0: stays */
} columns[] = {
	[COL_PID] = { "pid", true, 0 },		 [COL_LIVE] = { "live", true, 0 },
	[COL_BLOCKS] = { "blocks", true, 2 },	 [COL_PEAK] = { "peak", true, 0 },
	[COL_ALLOCS] = { "allocs", true, 1 },	 [COL_FREES] = { "frees", true, 3 },
	[COL_RSS] = { "RSS", true, 0 },		 [COL_STATE] = { "state", false, 0 },
	[COL_COMMAND] = { "command", false, 0 },
};

/* The cells of a row but the last, which is as long as it is. */
struct row {
	struct units_text cell[COL_COMMAND];
};

static struct units_text state_of(const struct memtrace_process *process)
{
	struct units_text t = { "running" };
	const char *name;

	switch (process->ended_by) {
	case MEMTRACE_RUNNING:
		break;
	case MEMTRACE_ENDED_EXEC:
		strcpy(t.text, "exec");
		break;
	case MEMTRACE_ENDED_EXIT:
		snprintf(t.text, sizeof(t.text), "exit %d", process->exit_status);
		break;
	case MEMTRACE_ENDED_SIGNAL:
		name = sigabbrev_np(process->signal);
		if (name)
			snprintf(t.text, sizeof(t.text), "SIG%s", name);
		else
			snprintf(t.text, sizeof(t.text), "signal %d", process->signal);
		break;
	}
	return t;
}

void process_put_state(struct page *page, const struct memtrace_process *process)
{
	strbuf_puts(&page->line, state_of(process).text);
}

void process_put_name(struct page *page, const struct memtrace_process *process)
{
	strbuf_printf(&page->line, "pid %d", (int)process->pid);
	if (!process->comm || !*process->comm)
		return;
	strbuf_puts(&page->line, " (");
	strbuf_put_printable(&page->line, process->comm);
	strbuf_puts(&page->line, ")");
}

void process_put_missed(struct page *page, const struct memtrace_process *process,
			const char *separator)
{
	if (!ranking_incomplete(process))
		return;
	strbuf_puts(&page->line, separator);
	if (process->followed_after_s < 0)
		strbuf_puts(&page->line, "never followed");
	else
		strbuf_printf(&page->line, "missed its first %s",
			      units_duration(process->followed_after_s).text);
}

static void fill_row(struct row *row, const struct memtrace_process *process)
{
	snprintf(row->cell[COL_PID].text, sizeof(row->cell[COL_PID].text), "%d", (int)process->pid);
	row->cell[COL_LIVE] = units_bytes(process->live_bytes);
	row->cell[COL_BLOCKS] = units_count(process->live_blocks);
	row->cell[COL_PEAK] = units_bytes(process->peak_bytes);
	row->cell[COL_ALLOCS] = units_count(process->allocs);
	row->cell[COL_FREES] = units_count(process->frees);
	if (process->rss_bytes == MEMTRACE_UNKNOWN)
		strcpy(row->cell[COL_RSS].text, "-");
	else
		row->cell[COL_RSS] = units_bytes((uint64_t)process->rss_bytes);
	row->cell[COL_STATE] = state_of(process);
}

/* The width of each column, 0 for those left out. */
static void choose_columns(const struct page *page, const struct row *rows, size_t row_cnt,
			   bool rss, size_t *width)
{
	size_t sum = strlen(columns[COL_COMMAND].title) + 8;

	for (int c = 0; c < COL_COMMAND; c++) {
		width[c] = strlen(columns[c].title);
		for (size_t i = 0; i < row_cnt; i++) {
			size_t len = strlen(rows[i].cell[c].text);

			if (len > width[c])
				width[c] = len;
		}
		if (c == COL_RSS && !rss)
			width[c] = 0;
		sum += width[c] ? width[c] + GAP : 0;
	}
	for (unsigned int rank = 3; rank && page->width && sum > page->width; rank--) {
		for (int c = 0; c < COL_COMMAND; c++) {
			if (columns[c].expendable != rank)
				continue;
			sum -= width[c] + GAP;
			width[c] = 0;
		}
	}
}

static void put_cells(struct page *page, const struct row *row, const size_t *width)
{
	for (int c = 0; c < COL_COMMAND; c++) {
		const char *text = row ? row->cell[c].text : columns[c].title;

		strbuf_fill(&page->line, ' ', width[c] ? GAP : 0);
		if (width[c])
			page_cell(page, text, width[c], columns[c].right);
	}
	strbuf_fill(&page->line, ' ', GAP);
}

static bool is_in_lane(const struct memtrace_process *process, const char *lane)
{
	return process->lane && !strcmp(process->lane, lane);
}

void process_table(struct page *page, const struct ranking *ranking, size_t top)
{
	size_t cnt = top && top < ranking->row_cnt ? top : ranking->row_cnt;
	struct row *rows = calloc(cnt ? cnt : 1, sizeof(*rows));
	size_t width[COL_COMMAND];
	bool any_preloaded = false;

	if (!rows) {
		page->line.err = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < ranking->row_cnt; i++)
		any_preloaded |= is_in_lane(ranking->rows[i], "preload");
	for (size_t i = 0; i < cnt; i++)
		fill_row(&rows[i], ranking->rows[i]);
	choose_columns(page, rows, cnt, ranking->attached_cnt > 0, width);

	strbuf_printf(&page->line, "processes: %s", units_count(ranking->row_cnt).text);
	if (ranking->running_cnt)
		strbuf_printf(&page->line, ", %s running", units_count(ranking->running_cnt).text);
	strbuf_puts(&page->line, "; largest first");
	page_paragraph(page, TONE_STRONG, 0, 2);
	put_cells(page, NULL, width);
	strbuf_puts(&page->line, columns[COL_COMMAND].title);
	page_line(page, TONE_DIM);
	for (size_t i = 0; i < cnt; i++) {
		const struct memtrace_process *process = ranking->rows[i];

		put_cells(page, &rows[i], width);
		strbuf_put_printable(&page->line, process->comm ? process->comm : "?");
		process_put_missed(page, process, "  ");
		if (is_in_lane(process, "otel") || (any_preloaded && is_in_lane(process, "uprobe")))
			strbuf_printf(&page->line, "  %s lane", process->lane);
		if (ranking->estimated_cnt && !process->estimates)
			strbuf_puts(&page->line, "  exact");
		page_line(page, TONE_PLAIN);
	}
	if (cnt < ranking->row_cnt) {
		strbuf_printf(&page->line, "... and %s more (--top N shows more)",
			      units_count(ranking->row_cnt - cnt).text);
		page_paragraph(page, TONE_DIM, 2, 4);
	}
	free(rows);
}
