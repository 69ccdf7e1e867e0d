// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <string.h>

#include "cli/gates.h"
#include "snapshot_fixture.h"

/* One ended process that left 3 blocks, 3000 bytes, in two call paths. */
static struct memtrace_snapshot *leaky(void)
{
	const struct memtrace_frame here = { .module = "/bin/leaky", .offset = 0x10 };
	const struct memtrace_frame there = { .module = "/bin/leaky", .offset = 0x20 };
	struct memtrace_snapshot *s = fixture_new("./leaky");

	fixture_process(s, 1, 42, "leaky");
	fixture_site(s, 1, 1, 2, 2000, 1, 2, &here, 1);
	fixture_site(s, 2, 1, 1, 1000, 1, 1, &there, 1);
	return s;
}

static bool trips(struct cli_options options, const struct memtrace_snapshot *s, const char *words)
{
	struct strbuf why = STRBUF_INIT;
	bool tripped = false;

	cr_assert_eq(gates_check(&options, s, &tripped, &why), 0);
	if (tripped)
		cr_expect(strstr(strbuf_text(&why), words), "%s", strbuf_text(&why));
	else
		cr_expect_str_empty(strbuf_text(&why));
	strbuf_fini(&why);
	return tripped;
}

Test(gates, nothing_trips_that_was_not_asked_for)
{
	struct memtrace_snapshot *s = leaky();

	s->limit.bytes = 1000;
	s->limit.exceeded = true;
	cr_expect_not(trips((struct cli_options){ .top = 10 }, s, ""));
	memtrace_snapshot_free(s);
}

Test(gates, leak_trips_at_its_bytes_and_not_below)
{
	struct memtrace_snapshot *s = leaky();

	cr_expect(trips((struct cli_options){ .fail_on_leak = true, .fail_leak_bytes = 3000 }, s,
			"gate leak: 2.9 KiB (3,000 bytes) in 3 blocks"));
	cr_expect_not(
		trips((struct cli_options){ .fail_on_leak = true, .fail_leak_bytes = 3001 }, s, ""));
	memtrace_snapshot_free(s);
}

Test(gates, leak_counts_what_the_report_leaves_out)
{
	struct memtrace_snapshot *s = leaky();

	cr_expect(trips((struct cli_options){ .fail_on_leak = true,
					      .fail_leak_bytes = 3000,
					      .top = 1,
					      .min_size_bytes = 1 << 20 },
			s, "3 blocks"));
	memtrace_snapshot_free(s);
}

Test(gates, what_trips_on_estimates_says_so)
{
	struct memtrace_snapshot *s = leaky();
	struct cli_options options = { .fail_on_leak = true, .fail_leak_bytes = 3000 };
	struct memtrace_estimates *e = fixture_estimates(s);

	s->estimated = true;
	e->aged_bytes = (struct memtrace_estimate){ .variance = 1e6, .skew = 1e9, .seen = 10 };
	s->sites[0].estimates = e;
	cr_expect(trips(options, s, "gate leak: about 2.9 KiB (95 %: "));
	options = (struct cli_options){ .fail_on_limit = true };
	s->limit = (struct memtrace_limit){ .bytes = 1 << 20, .peak_bytes = 1 << 21, .exceeded = true };
	cr_expect(trips(options, s, "gate limit: about 2.0 MiB by estimate of a limit of 1.0 MiB"));
	memtrace_snapshot_free(s);
}

Test(gates, limit_trips_on_a_crossing_long_past)
{
	struct memtrace_snapshot *s = leaky();
	struct cli_options options = { .fail_on_limit = true };

	s->limit.bytes = 1 << 20;
	s->limit.now_bytes = 0;
	s->limit.peak_bytes = 1 << 20;
	cr_expect_not(trips(options, s, ""), "full is not crossed");
	s->limit.exceeded = true;
	s->limit.peak_bytes = (1 << 20) + 8;
	cr_expect(trips(options, s, "gate limit: 1.0 MiB (1,048,584 bytes) of a limit of 1.0 MiB"));
	memtrace_snapshot_free(s);
}
