/* SPDX-License-Identifier: MIT */
/*
 * plot.h - a grid as a picture: for each workload, how many times slower than untraced each variant
 * is.
 *
 *	pairs-16                  1x        10x       100x
 *	  preload, exact          |#########-|          142x     a bar, and its quartiles by round
 *	  heaptrack               |##########--|        181x
 *
 * The axis is logarithmic, begins at 1x and is the same for all workloads. Nothing is drawn behind,
 * and every colour is of a middle lightness, so that it can be read on a light page and on a dark
 * one.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "base/strbuf.h"
#include "parts/grid.h"

#define PLOT_AXIS_X 250 /* where 1x is, and how long the axis is */
#define PLOT_AXIS_LEN 540

/* The axis ends at this power of ten: the first that no ratio passes, 10 at least. */
double plot_axis_end(const struct grid *grid);

/* Where a ratio is on the axis; below 1x is 1x. */
double plot_x(double ratio, double axis_end);

/* A whole SVG file. Variants without a figure are left out; the table says why. */
void plot_svg(const struct grid *grid, struct strbuf *out);

#endif
