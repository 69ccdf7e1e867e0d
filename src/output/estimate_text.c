/* SPDX-License-Identifier: MIT */
#include "output/estimate_text.h"

#include "base/units.h"

static void put_interval(struct strbuf *line, const struct memtrace_estimate *estimate,
			 struct units_text (*text)(uint64_t))
{
	if (!estimate || estimate->low == estimate->high)
		return;
	if (estimate->high == MEMTRACE_UNBOUNDED)
		strbuf_printf(line, " (95 %%: %s or more)", text(estimate->low).text);
	else
		strbuf_printf(line, " (95 %%: %s to %s)", text(estimate->low).text,
			      text(estimate->high).text);
}

void estimate_put_bytes(struct strbuf *line, const struct memtrace_estimate *estimate)
{
	put_interval(line, estimate, units_bytes);
}

void estimate_put_count(struct strbuf *line, const struct memtrace_estimate *estimate)
{
	put_interval(line, estimate, units_count);
}

void estimate_put_heap(struct strbuf *line, uint64_t bytes,
		       const struct memtrace_estimate *bytes_95, uint64_t blocks,
		       const struct memtrace_estimate *blocks_95)
{
	if (bytes_95)
		strbuf_printf(line, "about %s", units_bytes(bytes).text);
	else
		strbuf_puts(line, units_bytes_exact(bytes).text);
	estimate_put_bytes(line, bytes_95);
	strbuf_printf(line, " in %s", units_counted(blocks, "block").text);
	estimate_put_count(line, blocks_95);
}

/* With six decimals at most, whatever the locale. */
static void put_probability(struct strbuf *line, double probability)
{
	unsigned int millionths = (unsigned int)(probability * 1e6 + 0.5), digits = 6;

	if (!millionths) {
		strbuf_puts(line, "under 0.000001");
		return;
	}
	if (millionths >= 1000000) {
		strbuf_puts(line, "1");
		return;
	}
	for (; millionths % 10 == 0; millionths /= 10)
		digits--;
	strbuf_printf(line, "0.%0*u", (int)digits, millionths);
}

void estimate_put_sampling(struct strbuf *line, const struct memtrace_snapshot *snapshot)
{
	if (snapshot->sampling == MEMTRACE_SAMPLING_BYTES) {
		strbuf_printf(line, "a block every %s on average",
			      units_bytes(snapshot->sample_bytes).text);
	} else if (snapshot->sampling == MEMTRACE_SAMPLING_NONE) {
		strbuf_puts(line, "by the target's own allocator");
	} else {
		strbuf_puts(line, "each allocation with probability ");
		put_probability(line, snapshot->sampling_rate);
	}
}
