// SPDX-License-Identifier: MIT
/* What tracing costs: the arithmetic, by figures made by hand, and how it is said. */
#include <criterion/criterion.h>
#include <math.h>

#include "analyze/overhead.h"
#include "base/strbuf.h"
#include "model/overhead.h"
#include "output/overhead_text.h"

/* Two million calls that cost 1 s of the 4 s of CPU time that targets used in 5 s. */
static struct memtrace_overhead measured(void)
{
	return (struct memtrace_overhead){
		.time_s = 5,
		.calls = 2000000,
		.cost_s = 1,
		.cpu_s = 4,
		.wait_s = 1,
	};
}

#define expect_about(value, wanted)                                                       \
	cr_expect(fabs((value) - (wanted)) < 1e-9, "%.12g is not %.12g", (double)(value), \
		  (double)(wanted))

Test(overhead, is_a_part_of_the_cpu_time)
{
	struct memtrace_overhead o = measured();

	expect_about(overhead_share(&o), 0.25);
	expect_about(overhead_ns_per_call(&o), 500);
}

Test(overhead, who_never_sleeps_takes_longer_by_that_part)
{
	struct memtrace_overhead o = measured();

	expect_about(overhead_slowdown(&o), 4.0 / 3);
	expect_about(overhead_percent(&o), 100.0 / 3);
}

Test(overhead, on_a_cpu_that_is_shared_everything_takes_longer_by_the_same_factor)
{
	struct memtrace_overhead alone = measured(), shared = measured();

	alone.time_s = 4;
	alone.wait_s = 0;
	shared.time_s = 12;
	shared.wait_s = 8;
	expect_about(overhead_slowdown(&alone), overhead_slowdown(&shared));
}

Test(overhead, who_sleeps_most_of_the_time_is_hardly_late)
{
	struct memtrace_overhead o = measured();

	o.time_s = 1001;
	expect_about(overhead_slowdown(&o), 1000.0 / 999);
	expect_about(overhead_share(&o), 0.25);
}

Test(overhead, of_several_at_a_time_all_cpu_time_counts)
{
	struct memtrace_overhead o = measured();

	o.time_s = 1;
	o.wait_s = 0;
	expect_about(overhead_slowdown(&o), 4.0 / 3);
}

Test(overhead, without_a_call_is_none)
{
	struct memtrace_overhead o = { .time_s = 5, .cpu_s = 0.001 };

	expect_about(overhead_share(&o), 0);
	expect_about(overhead_slowdown(&o), 1);
	cr_expect(isnan(overhead_ns_per_call(&o)));
}

Test(overhead, beyond_ten_times_is_only_said_to_be_beyond)
{
	struct memtrace_overhead o = measured();

	o.cost_s = 3.99;
	expect_about(overhead_slowdown(&o), OVERHEAD_SLOWDOWN_MAX);
	o.cost_s = 4.2; /* the estimate is off by a little */
	expect_about(overhead_slowdown(&o), OVERHEAD_SLOWDOWN_MAX);
	expect_about(overhead_share(&o), 1);
}

Test(overhead, is_unknown_when_clocks_missed_a_part)
{
	struct memtrace_overhead o = measured();

	o.cost_s = 9;
	cr_expect(isnan(overhead_share(&o)));
	cr_expect(isnan(overhead_slowdown(&o)));
	o = measured();
	o.cost_s = NAN;
	cr_expect(isnan(overhead_share(&o)));
	cr_expect(isnan(overhead_slowdown(&o)));
	cr_expect(isnan(overhead_ns_per_call(&o)));
	o = measured();
	o.cpu_s = NAN;
	cr_expect(isnan(overhead_slowdown(&o)));
}

Test(overhead, a_realloc_is_one_call)
{
	/* malloc, realloc, free; a failure; two frees of others' blocks */
	struct memtrace_totals totals = { .allocs = 2,
					  .frees = 2,
					  .reallocs = 1,
					  .failed_allocs = 1,
					  .unknown_frees = 1,
					  .inherited_frees = 1 };

	cr_expect_eq(overhead_calls(&totals), 6);
}

Test(overhead, what_a_sample_does_not_know_is_left_out_of_the_calls)
{
	struct memtrace_totals totals = { .allocs = 200,
					  .frees = 100,
					  .reallocs = MEMTRACE_UNKNOWN,
					  .failed_allocs = MEMTRACE_UNKNOWN,
					  .unknown_frees = MEMTRACE_UNKNOWN,
					  .inherited_frees = MEMTRACE_UNKNOWN };

	cr_expect_eq(overhead_calls(&totals), 300);
}

Test(overhead, a_sample_is_widened_by_what_is_needed)
{
	/* blocks of 100 bytes, 8 times too dear: one in 16 is 1600 bytes, 4096 is enough */
	cr_expect_eq(overhead_sample_bytes(100, 8), 4096);
	cr_expect_eq(overhead_sample_bytes(1000, 8), 16384);
	/* at least 4 times, or it would take for ever */
	cr_expect_eq(overhead_sample_bytes(16384, 1.1), 65536);
	cr_expect_eq(overhead_sample_bytes(1e9, 1), OVERHEAD_SAMPLE_BYTES_MAX);
}

/* ---- words ---------------------------------------------------------------------------------- */

static struct strbuf line;

static void forget(void)
{
	strbuf_fini(&line);
}

TestSuite(overhead_text, .fini = forget);

static const char *slowdown(double times)
{
	strbuf_clear(&line);
	overhead_put_slowdown(&line, times);
	return strbuf_text(&line);
}

Test(overhead_text, is_in_times_or_per_cent)
{
	cr_expect_str_eq(slowdown(1), "0 % slower");
	cr_expect_str_eq(slowdown(1.001), "less than 1 % slower");
	cr_expect_str_eq(slowdown(1.124), "about 12 % slower");
	cr_expect_str_eq(slowdown(1.5), "about 1.5 times slower");
	cr_expect_str_eq(slowdown(9.94), "about 9.9 times slower");
	cr_expect_str_eq(slowdown(10), "more than 10 times slower");
}

Test(overhead_text, says_where_it_comes_from)
{
	struct memtrace_overhead m = measured();
	struct overhead o = overhead_of(&m);

	cr_expect(overhead_put(&line, &o));
	cr_expect_str_eq(strbuf_text(&line),
			 "about 33 % slower: 400,000 calls/s at 500 ns each, 25 % of the CPU time");
}

Test(overhead_text, says_nothing_that_is_not_known)
{
	struct memtrace_overhead m = measured();
	struct overhead o;

	m.cost_s = NAN;
	o = overhead_of(&m);
	cr_expect_not(overhead_put(&line, &o));
	cr_expect_not(overhead_put_end(&line, &o));
	cr_expect_not(overhead_put_widening(&line, &o));
	cr_expect_str_eq(strbuf_text(&line), "");
}

Test(overhead_text, says_why_tracing_ended)
{
	struct memtrace_overhead m = measured();
	struct overhead o;

	m.ended = true;
	m.max_percent = 50;
	m.ended_at_s = 1.3;
	m.ended_percent = 120;
	o = overhead_of(&m);
	cr_expect(overhead_put_end(&line, &o));
	cr_expect_str_eq(
		strbuf_text(&line),
		"tracing ended after 1.3 s: it made the targets about 2.2 times slower, more than "
		"--max-overhead 50 allows");
}
