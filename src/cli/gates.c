// SPDX-License-Identifier: MIT
/* gates.c - judges a final snapshot. */
#include "cli/gates.h"

#include "analyze/leaks.h"
#include "base/arena.h"
#include "base/units.h"

static bool limit_tripped(const struct memtrace_limit *limit, struct strbuf *why)
{
	if (!limit->exceeded)
		return false;
	strbuf_printf(why, "gate limit: %s of a limit of %s\n",
		      units_bytes_exact(limit->peak_bytes).text, units_bytes(limit->bytes).text);
	return true;
}

static int leak_tripped(uint64_t allowed_bytes, const struct memtrace_snapshot *snapshot,
			bool *tripped, struct strbuf *why)
{
	struct leaks_result leaks;
	struct arena arena;
	int err;

	arena_init(&arena);
	err = leaks_find(snapshot, NULL, &arena, &leaks);
	if (!err && leaks.total_bytes >= allowed_bytes) {
		*tripped = true;
		strbuf_printf(why, "gate leak: %s in %s from %s, --fail-on allows less than %s\n",
			      units_bytes_exact(leaks.total_bytes).text,
			      units_counted(leaks.total_blocks, "block").text,
			      units_counted(leaks.total_rows, "call path").text,
			      units_bytes(allowed_bytes).text);
	}
	arena_fini(&arena);
	return err;
}

int gates_check(const struct cli_options *options, const struct memtrace_snapshot *snapshot,
		bool *tripped, struct strbuf *why)
{
	bool any = false;
	int err = 0;

	if (options->fail_on_limit)
		any = limit_tripped(&snapshot->limit, why);
	if (options->fail_on_leak)
		err = leak_tripped(options->fail_leak_bytes, snapshot, &any, why);
	if (!err)
		*tripped = any;
	return err;
}
