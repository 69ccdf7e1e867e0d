// SPDX-License-Identifier: MIT
#include "cli/crossings.h"

#include <stdbool.h>
#include <stdlib.h>

/* True the first time. */
static bool is_news(struct crossings *crossings, uint64_t process)
{
	uint64_t *grown;

	for (size_t i = 0; i < crossings->cnt; i++)
		if (crossings->said[i] == process)
			return false;
	grown = realloc(crossings->said, (crossings->cnt + 1) * sizeof(*grown));
	if (grown) { /* better said twice than not at all */
		crossings->said = grown;
		grown[crossings->cnt++] = process;
	}
	return true;
}

void crossings_say(struct crossings *crossings, const struct report *report,
		   const struct memtrace_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->crossing_cnt; i++)
		if (is_news(crossings, snapshot->crossings[i].process))
			report_crossing(report, snapshot, &snapshot->crossings[i]);
}

void crossings_fini(struct crossings *crossings)
{
	free(crossings->said);
	*crossings = (struct crossings){ 0 };
}
