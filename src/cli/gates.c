// SPDX-License-Identifier: MIT
/* gates.c - judges a final snapshot. */
#include "cli/gates.h"

#include "analyze/leaks.h"
#include "base/arena.h"
#include "base/units.h"
#include "output/estimate_text.h"

static bool limit_tripped(const struct memtrace_snapshot *snapshot, struct strbuf *why)
{
	const struct memtrace_limit *limit = &snapshot->limit;

	if (!limit->exceeded)
		return false;
	if (snapshot->estimated)
		strbuf_printf(why, "gate limit: about %s by estimate",
			      units_bytes(limit->peak_bytes).text);
	else
		strbuf_printf(why, "gate limit: %s", units_bytes_exact(limit->peak_bytes).text);
	strbuf_printf(why, " of a limit of %s\n", units_bytes(limit->bytes).text);
	return true;
}

static void put_leaks(const struct leaks_result *leaks, uint64_t allowed_bytes, struct strbuf *why)
{
	strbuf_puts(why, "gate leak: ");
	estimate_put_heap(why, leaks->total_bytes, leaks->estimated ? &leaks->total_bytes_95 : NULL,
			  leaks->total_blocks, leaks->estimated ? &leaks->total_blocks_95 : NULL);
	strbuf_printf(why, " from %s, --fail-on allows less than %s\n",
		      units_counted(leaks->total_rows, "call path").text,
		      units_bytes(allowed_bytes).text);
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
		put_leaks(&leaks, allowed_bytes, why);
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
		any = limit_tripped(snapshot, why);
	if (options->fail_on_leak)
		err = leak_tripped(options->fail_leak_bytes, snapshot, &any, why);
	if (!err)
		*tripped = any;
	return err;
}
