// SPDX-License-Identifier: MIT
#include "parts/plot.h"

#include <math.h>
#include <stdio.h>

#define WIDTH (PLOT_AXIS_X + PLOT_AXIS_LEN + 80)
#define MARGIN 20
#define ROW 18 /* a bar and the gap below it */
#define BAR 12
#define HEAD 62 /* title, machine and legend */
#define GAP 14	/* between workloads */

/* Contrasts of 3.9 to 4.9 with white, and of 3.7 to 4.7 with #0d1117 */
#define INK "#767676"
#define GRID_LINE "#808080"

static const char *const colours[] = {
	[GRID_UNTRACED] = INK,
	[GRID_FLOOR] = "#8a8a8a",
	[GRID_OURS] = "#2f81c7",
	[GRID_PEER] = "#c9702a",
};

static void put_escaped(struct strbuf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			strbuf_puts(out, "&lt;");
			break;
		case '>':
			strbuf_puts(out, "&gt;");
			break;
		case '&':
			strbuf_puts(out, "&amp;");
			break;
		default:
			strbuf_putc(out, *text);
		}
	}
}

/* more: further attributes, "" or beginning with a space. */
static void put_text(struct strbuf *out, double x, double y, const char *more, const char *text)
{
	strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, more);
	put_escaped(out, text);
	strbuf_puts(out, "</text>\n");
}

static void put_line(struct strbuf *out, double x1, double y1, double x2, double y2,
		     const char *more)
{
	strbuf_printf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"%s/>\n", x1, y1,
		      x2, y2, more);
}

/* ---- the axis ------------------------------------------------------------------------------- */

static double largest_ratio(const struct grid *grid)
{
	double largest = 1;

	for (size_t w = 0; w < grid->workload_cnt; w++) {
		for (size_t v = 1; v < grid->variant_cnt; v++) {
			double ratio = grid_ratio(grid, w, v);

			if (ratio > largest) /* NAN is not */
				largest = ratio;
		}
	}
	return largest;
}

double plot_axis_end(const struct grid *grid)
{
	double largest = largest_ratio(grid), end = 10;

	while (end < largest)
		end *= 10;
	return end;
}

double plot_x(double ratio, double axis_end)
{
	double share = ratio > 1 ? log10(ratio) / log10(axis_end) : 0;

	return PLOT_AXIS_X + PLOT_AXIS_LEN * (share > 1 ? 1 : share);
}

/* A line for each power of ten, thin ones at 2 and 5 times that. */
static void put_axis(struct strbuf *out, double axis_end, double top, double bottom)
{
	static const int steps[] = { 1, 2, 5 };
	char label[32];

	for (double decade = 1; decade <= axis_end; decade *= 10) {
		for (size_t i = 0; i < 3 && decade * steps[i] <= axis_end; i++) {
			double x = plot_x(decade * steps[i], axis_end);

			put_line(out, x, top, x, bottom,
				 i ? " class=\"g\" stroke-opacity=\".25\""
				   : " class=\"g\" stroke-opacity=\".6\"");
			snprintf(label, sizeof(label), "%.0fx", decade * steps[i]);
			put_text(out, x, top - 4,
				 i ? " class=\"a\" fill-opacity=\".7\"" : " class=\"a\"", label);
		}
	}
}

/* ---- bars ----------------------------------------------------------------------------------- */

static size_t bar_cnt(const struct grid *grid, size_t w)
{
	size_t cnt = 0;

	for (size_t v = 1; v < grid->variant_cnt; v++)
		cnt += !isnan(grid_ratio(grid, w, v));
	return cnt;
}

static void put_bar(const struct grid *grid, size_t w, size_t v, double axis_end, double y,
		    struct strbuf *out)
{
	double ratio = grid_ratio(grid, w, v), end = plot_x(ratio, axis_end), far = end;
	struct spread rounds = grid_round_ratios(grid, w, v);
	double middle = y + BAR / 2.0, length = end - PLOT_AXIS_X;
	char label[32];

	put_text(out, PLOT_AXIS_X - 8, y + BAR - 2, " class=\"v\"", grid->variants[v].title);
	strbuf_printf(out, "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
		      PLOT_AXIS_X, y, length > 1 ? length : 1, BAR,
		      colours[grid->variants[v].kind]);
	if (rounds.cnt > 1) {
		double low = plot_x(rounds.q1, axis_end), high = plot_x(rounds.q3, axis_end);

		put_line(out, low, middle, high, middle, " class=\"q\"");
		if (high > far)
			far = high;
	}
	snprintf(label, sizeof(label), "%.*fx", ratio < 10 ? 2 + (ratio < 2) : ratio < 100, ratio);
	put_text(out, far + 5, y + BAR - 2, "", label);
}

/* Returns where the next workload begins. */
static double put_workload(const struct grid *grid, size_t w, double axis_end, double y,
			   struct strbuf *out)
{
	const struct grid_workload *row = &grid->workloads[w];
	double top = y + 36, bottom = top + (double)(ROW * bar_cnt(grid, w));

	put_text(out, MARGIN, y + 14, " font-weight=\"bold\"", row->title);
	if (bottom <= top)
		return y;
	put_axis(out, axis_end, top, bottom);
	for (size_t v = 1; v < grid->variant_cnt; v++) {
		if (isnan(grid_ratio(grid, w, v)))
			continue;
		put_bar(grid, w, v, axis_end, top + (ROW - BAR) / 2.0, out);
		top += ROW;
	}
	return bottom + GAP;
}

static double height_of(const struct grid *grid)
{
	double height = HEAD + MARGIN;

	for (size_t w = 0; w < grid->workload_cnt; w++)
		if (bar_cnt(grid, w))
			height += 36 + (double)(ROW * bar_cnt(grid, w)) + GAP;
	return height;
}

static void put_legend(struct strbuf *out)
{
	static const struct {
		enum grid_kind kind;
		const char *name;
	} keys[] = { { GRID_OURS, "memtrace" },
		     { GRID_PEER, "others" },
		     { GRID_FLOOR, "floor: empty probes" } };
	double x = MARGIN;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		strbuf_printf(
			out, "<rect x=\"%.1f\" y=\"42\" width=\"12\" height=\"12\" fill=\"%s\"/>\n",
			x, colours[keys[i].kind]);
		put_text(out, x + 18, 52, "", keys[i].name);
		x += 100;
	}
}

void plot_svg(const struct grid *grid, struct strbuf *out)
{
	double axis_end = plot_axis_end(grid), y = HEAD, height = height_of(grid);

	strbuf_printf(out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
		      "viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" font-size=\"12\" "
		      "fill=\"%s\">\n",
		      WIDTH, height, WIDTH, height, INK);
	strbuf_printf(out,
		      "<style>.v{text-anchor:end}.a{text-anchor:middle;font-size:10px}"
		      ".g{stroke:%s}.q{stroke:%s;stroke-width:2}</style>\n",
		      GRID_LINE, INK);
	put_text(out, MARGIN, 18, " font-size=\"14\" font-weight=\"bold\"",
		 "How many times slower than untraced (medians; lines: quartiles by round)");
	put_text(out, MARGIN, 35, "", grid->machine);
	put_legend(out);
	for (size_t w = 0; w < grid->workload_cnt; w++)
		if (bar_cnt(grid, w))
			y = put_workload(grid, w, axis_end, y, out);
	strbuf_puts(out, "</svg>\n");
}
