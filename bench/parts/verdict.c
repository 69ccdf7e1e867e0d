// SPDX-License-Identifier: MIT
#include "parts/verdict.h"

#include <math.h>

#define SAMPLED(workload)                                                                   \
	{                                                                                   \
		"sampled, 512 KiB, against untraced", workload, "sampled-512k", "untraced", \
			VERDICT_RATIO, 1.02                                                 \
	}

static const struct promise {
	const char *sentence, *workload, *variant, *against;
	enum verdict_figure figure;
	double most;
} promises[] = {
	{ "exact, against heaptrack", "pairs-16", "exact", "heaptrack", VERDICT_RATIO, 1.0 },
	{ "exact, against memleak", "pairs-16", "exact", "memleak", VERDICT_RATIO, 1.0 / 20 },
	{ "sampled, 512 KiB, added to untraced", "pairs-3", "sampled-512k", "untraced",
	  VERDICT_ADDED_NS, 5 },
	{ "sampled, 512 KiB, added to untraced", "pairs-16", "sampled-512k", "untraced",
	  VERDICT_ADDED_NS, 5 },
	SAMPLED("sqlite"),
	SAMPLED("python"),
	SAMPLED("larson"),
	SAMPLED("redis"),
	{ "sampled, 10 %, against untraced", "redis", "sampled-10", "untraced", VERDICT_RATIO,
	  1.05 },
};

const size_t verdict_cnt = sizeof(promises) / sizeof(promises[0]);

static double figure(enum verdict_figure what, double ns, double against_ns)
{
	return what == VERDICT_RATIO ? ns / against_ns : ns - against_ns;
}

static struct spread figure_of_rounds(const struct grid *grid, size_t w, size_t v, size_t against,
				      enum verdict_figure what)
{
	const struct grid_cell *cells = grid->cells[w];
	double values[GRID_ROUNDS];

	for (size_t round = 0; round < grid->round_cnt; round++)
		values[round] = figure(what, cells[v].ns[round], cells[against].ns[round]);
	return spread_of(values, grid->round_cnt);
}

void verdict_decide(const struct grid *grid, size_t i, struct verdict *out)
{
	const struct promise *promise = &promises[i];
	size_t w = grid_find_workload(grid, promise->workload);
	size_t v = grid_find_variant(grid, promise->variant);
	size_t against = grid_find_variant(grid, promise->against);

	*out = (struct verdict){ .sentence = promise->sentence,
				 .workload = promise->workload,
				 .variant = promise->variant,
				 .against = promise->against,
				 .figure = promise->figure,
				 .most = promise->most,
				 .outcome = VERDICT_UNDECIDED,
				 .value = NAN };
	if (w == SIZE_MAX || v == SIZE_MAX || against == SIZE_MAX)
		return;
	out->variant_ns = grid_time(grid, w, v).median;
	out->against_ns = grid_time(grid, w, against).median;
	out->rounds = figure_of_rounds(grid, w, v, against, promise->figure);
	out->value = figure(promise->figure, out->variant_ns, out->against_ns);
	if (!isnan(out->value))
		out->outcome = out->value <= promise->most ? VERDICT_MET : VERDICT_MISSED;
}
