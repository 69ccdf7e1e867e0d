// SPDX-License-Identifier: MIT
#include "parts/grid.h"

#include <math.h>
#include <string.h>

void grid_init(struct grid *grid)
{
	memset(grid, 0, sizeof(*grid));
	for (size_t w = 0; w < GRID_WORKLOADS; w++) {
		for (size_t v = 0; v < GRID_VARIANTS; v++) {
			struct grid_cell *cell = &grid->cells[w][v];

			for (size_t round = 0; round < GRID_ROUNDS; round++)
				cell->ns[round] = cell->start_s[round] = cell->end_s[round] = NAN;
		}
	}
}

size_t grid_find_workload(const struct grid *grid, const char *name)
{
	for (size_t i = 0; i < grid->workload_cnt; i++)
		if (!strcmp(grid->workloads[i].name, name))
			return i;
	return SIZE_MAX;
}

size_t grid_find_variant(const struct grid *grid, const char *name)
{
	for (size_t i = 0; i < grid->variant_cnt; i++)
		if (!strcmp(grid->variants[i].name, name))
			return i;
	return SIZE_MAX;
}

struct spread grid_time(const struct grid *grid, size_t workload, size_t variant)
{
	return spread_of(grid->cells[workload][variant].ns, grid->round_cnt);
}

double grid_ratio(const struct grid *grid, size_t workload, size_t variant)
{
	return grid_time(grid, workload, variant).median / grid_time(grid, workload, 0).median;
}

struct spread grid_round_ratios(const struct grid *grid, size_t workload, size_t variant)
{
	const struct grid_cell *cells = grid->cells[workload];
	double ratios[GRID_ROUNDS];

	for (size_t round = 0; round < grid->round_cnt; round++)
		ratios[round] = cells[variant].ns[round] / cells[0].ns[round];
	return spread_of(ratios, grid->round_cnt);
}
