/* SPDX-License-Identifier: MIT */
#include "analyze/analysis.h"

#include <string.h>

int analysis_init(struct analysis *analysis, const struct memtrace_snapshot *snapshot,
		  const struct analysis_params *params)
{
	int err;

	memset(analysis, 0, sizeof(*analysis));
	arena_init(&analysis->arena);
	analysis->pressure = pressure_of(&snapshot->limit);
	analysis->rates = rates_of(snapshot);
	analysis->overhead = overhead_of(&snapshot->overhead);
	err = leaks_find(snapshot, params ? &params->leaks : NULL, &analysis->arena,
			 &analysis->leaks);
	if (!err)
		err = forecast_find(snapshot, &analysis->leaks, &analysis->arena,
				    &analysis->forecast);
	if (!err)
		err = peak_find(snapshot, &analysis->arena, &analysis->peak);
	if (!err)
		err = ranking_find(snapshot, &analysis->arena, &analysis->ranking);
	if (err)
		analysis_fini(analysis);
	return err;
}

void analysis_fini(struct analysis *analysis)
{
	arena_fini(&analysis->arena);
	memset(analysis, 0, sizeof(*analysis));
}
