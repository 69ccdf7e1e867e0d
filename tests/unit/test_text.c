/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "output/text.h"
#include "snapshot_fixture.h"

static const struct memtrace_frame path[] = {
	{ .symbol = "cache_fill",
	  .module = "/usr/bin/bench",
	  .offset = 0x1149,
	  .file = "/home/u/src/bench.c",
	  .line = 42 },
	{ .symbol = "main",
	  .module = "/usr/bin/bench",
	  .offset = 0x1200,
	  .file = "/home/u/src/bench.c",
	  .line = 80,
	  .inlined = true },
	{ .symbol = "start_call", .module = "/lib/x86_64-linux-gnu/libc.so.6", .offset = 0x27249 },
	{ .module = "/usr/bin/bench", .offset = 0x1031 },
	{ .address = 0x7f00, .offset = 0x7f00 },
};

static struct strbuf out;
static struct memtrace_snapshot *s;

static void set_up(void)
{
	strbuf_init(&out);
	s = fixture_new("./bench -n 3");
}

static void tear_down(void)
{
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

TestSuite(text, .init = set_up, .fini = tear_down);

/* The report, checked for what holds of each: no blank at the end of a line, nothing too long. */
static const char *report(const struct text_options *options)
{
	struct analysis analysis;
	const char *text;

	strbuf_clear(&out);
	cr_assert_eq(analysis_init(&analysis, s, NULL), 0);
	cr_assert_eq(text_report(s, &analysis, options, &out), 0);
	analysis_fini(&analysis);
	text = strbuf_text(&out);
	cr_assert_null(strstr(text, " \n"), "a line ends in a blank:\n%s", text);
	cr_assert_null(strstr(text, "\n\n\n"), "two empty lines:\n%s", text);
	cr_assert_eq(text[out.len - 1], '\n');
	return text;
}

#define EXPECT_HAS(text, part) cr_expect(strstr(text, part), "no \"%s\" in:\n%s", part, text)
#define EXPECT_LACKS(text, part) cr_expect_not(strstr(text, part), "\"%s\" in:\n%s", part, text)

/* Where part begins in text; the test fails without it. */
static size_t place(const char *text, const char *part)
{
	const char *at = strstr(text, part);

	cr_assert(at, "no \"%s\" in:\n%s", part, text);
	return (size_t)(at - text);
}

static void make_live(uint64_t blocks, uint64_t bytes)
{
	s->totals.allocs = blocks;
	s->totals.alloc_bytes = bytes;
	s->totals.live_blocks = s->totals.peak_blocks = blocks;
	s->totals.live_bytes = s->totals.peak_bytes = bytes;
}

Test(text, what_people_came_for_comes_first)
{
	const char *text;

	fixture_process(s, 1, 4242, "bench")->ended_by = MEMTRACE_RUNNING;
	fixture_site(s, 1, 1, 100, 5 << 20, 3, 12, path, 5);
	make_live(100, 5 << 20);
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20,
					    .now_bytes = 5 << 20,
					    .peak_bytes = 6 << 20 };
	text = report(NULL);
	EXPECT_HAS(text, "live heap    5.0 MiB (5,242,880 bytes) in 100 blocks\n");
	EXPECT_HAS(text, "limit        250.0 MiB for the process tree: 5.0 MiB used (2.0 %), "
			 "headroom 245.0 MiB; peak 2.4 %\n");
	cr_expect_lt(place(text, "live heap"), place(text, "peak "));
	cr_expect_lt(place(text, "peak "), place(text, "limit "));
	cr_expect_lt(place(text, "limit "), place(text, "rate "));
	cr_expect_lt(place(text, "rate "), place(text, "leaks:"));
	cr_expect_lt(place(text, "leaks:"), place(text, "totals:"));
	cr_expect_lt(place(text, "totals:"), place(text, "losses: none counted"));
}

Test(text, pressure_is_named_from_80_percent_on)
{
	static const struct {
		uint64_t now;
		const char *says;
	} cases[] = {
		{ 800, "limit        PRESSURE 80 % (high); 1000 B for the process tree: 800 B used "
		       "(80.0 %), headroom 200 B" },
		{ 950, "limit        PRESSURE 90 % (critical); 1000 B for the process tree: 950 B "
		       "used (95.0 %)" },
		{ 1000, "limit        PRESSURE 100 % (full); 1000 B for the process tree: 1000 B "
			"used (100.0 %), headroom 0 B" },
		{ 1500, "1.5 KiB used (150.0 %), 500 B over" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s->limit = (struct memtrace_limit){ .bytes = 1000, .now_bytes = cases[i].now };
		EXPECT_HAS(report(NULL), cases[i].says);
	}
	s->limit.now_bytes = 799;
	EXPECT_LACKS(report(NULL), "PRESSURE");
	s->limit.peak_bytes = 920;
	EXPECT_HAS(report(NULL), "; peak 92.0 %, PRESSURE 90 % (critical)\n");
}

/* It uses nothing any more, and all of the limit would be free. */
Test(text, a_target_that_ended_is_held_against_the_limit_at_its_peak)
{
	fixture_process(s, 1, 4242, "bench");
	make_live(2, 100);
	s->limit = (struct memtrace_limit){ .bytes = 1000, .peak_bytes = 920 };
	EXPECT_HAS(report(NULL), "live heap    100 B in 2 blocks, at its end\n");
	EXPECT_HAS(report(NULL),
		   "limit        PRESSURE 90 % (critical); 1000 B for the process tree: "
		   "920 B used at the peak (92.0 %), headroom 80 B\n");
	s->limit.scope = MEMTRACE_LIMIT_PROCESS;
	s->limit.peak_bytes = 500;
	EXPECT_HAS(report(NULL), "limit        1000 B for each process: 500 B used at the peak "
				 "(50.0 %) by the largest, headroom 500 B\n");
	fixture_process(s, 2, 4243, "worker");
	EXPECT_HAS(report(NULL), ", the sum of what 2 processes left at their ends\n");
}

Test(text, the_crossing_of_the_limit_is_told_with_who_when_and_where)
{
	struct memtrace_crossing *crossing;
	const char *text;

	fixture_process(s, 7, 4242, "bench");
	fixture_site(s, 5, 7, 1, 100, 3, 12, path, 2);
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20, .peak_bytes = 262248858 };
	crossing = snapshot_add_crossing(s, (struct memtrace_crossing){ 12.3, 7, 5, 262248858 });
	cr_assert_not_null(crossing);
	text = report(NULL);
	EXPECT_HAS(text, "LIMIT EXCEEDED at 12.3 s by pid 4242 (bench): 250.1 MiB "
			 "(262,248,858 bytes) after the allocation at:\n"
			 "    cache_fill  bench (bench.c:42)\n"
			 "    main        bench (bench.c:80, inlined)\n");
	EXPECT_HAS(text,
		   "limit        EXCEEDED at 12.3 s; 250.0 MiB for the process tree: 250.1 MiB "
		   "used at the peak (100.0 %), 102.4 KiB over\n");
	strbuf_clear(&out);
	cr_assert_eq(text_limit_news(s, crossing, NULL, &out), 0);
	cr_assert_eq(place(strbuf_text(&out), "LIMIT EXCEEDED"), 0);
	crossing->site = crossing->process = 0;
	EXPECT_HAS(report(NULL), "LIMIT EXCEEDED at 12.3 s: 250.1 MiB (262,248,858 bytes) after "
				 "the allocation at:\n    (call path not known)\n");
}

Test(text, every_process_that_crossed_its_own_limit_is_told)
{
	static const struct memtrace_crossing crossings[] = { { 3, 3, 0, 1003 },
							      { 1, 1, 0, 1001 },
							      { 2, 2, 0, 1002 } };
	struct text_options options = { .top = 2 };
	const char *text;

	s->limit = (struct memtrace_limit){ .bytes = 1000,
					    .scope = MEMTRACE_LIMIT_PROCESS,
					    .peak_bytes = 1003 };
	for (pid_t id = 1; id <= 3; id++)
		fixture_process(s, (uint64_t)id, 100 + id, "bench");
	for (size_t i = 0; i < 3; i++)
		cr_assert_not_null(snapshot_add_crossing(s, crossings[i]));
	text = report(NULL);
	EXPECT_HAS(text,
		   "limit        EXCEEDED by 3 processes, first at 1 s; 1000 B for each process");
	EXPECT_HAS(text, "LIMIT EXCEEDED at 3 s by pid 103 (bench): 1003 B");
	cr_expect_lt(place(text, "by pid 101"), place(text, "by pid 102"));
	cr_expect_lt(place(text, "by pid 102"), place(text, "by pid 103"));
	text = report(&options);
	EXPECT_LACKS(text, "by pid 103");
	EXPECT_HAS(text, "\n... and 1 more exceeded it (--top N shows more)\n");
}

Test(text, losses_are_said_before_the_first_figure)
{
	const char *text;

	s->losses[0].value = 3;
	s->losses[1].value = 1000;
	text = report(NULL);
	EXPECT_HAS(text, "LOSSES: 1,003 accounting events missed: table_full 3, probe_missed 1,000 "
			 "- figures below are too low or too high by these\n");
	cr_expect_lt(place(text, "LOSSES"), place(text, "live heap"));
	EXPECT_HAS(text, "losses:\n    table_full 3: live table was full\n");
	EXPECT_LACKS(text, "none counted");
	EXPECT_HAS(text, "no leaks: nothing was allocated, as far as was counted");
}

Test(text, losses_are_one_line_for_who_sees_no_report)
{
	cr_assert_eq(text_losses_news(s, NULL, &out), 0);
	cr_expect_str_empty(strbuf_text(&out));
	s->losses[0].value = 3;
	cr_assert_eq(text_losses_news(s, NULL, &out), 0);
	cr_expect_str_eq(strbuf_text(&out), "LOSSES: 3 accounting events missed: table_full 3 - "
					    "figures are too low or too high by these\n");
}

Test(text, a_frame_shows_the_best_that_is_known)
{
	const char *text;

	fixture_process(s, 1, 4242, "bench");
	fixture_site(s, 1, 1, 1, 512, 12, 12, path, 5)->stack_end = END_BROKEN;
	text = report(NULL);
	EXPECT_HAS(text, "  1. 512 B in 1 block, never freed, allocated 12 s before the end\n"
			 "     steady: how it grew is not known; all made in the first fifth of the "
			 "time; first seen at 250 ms, last grown at 250 ms\n"
			 "     cache_fill  bench (bench.c:42)\n"
			 "     main        bench (bench.c:80, inlined)\n"
			 "     start_call  libc.so.6+0x27249\n"
			 "     bench+0x1031\n"
			 "     0x7f00\n"
			 "     ... stack cut short: broken_chain, the next frame pointer made no "
			 "sense\n");
}

Test(text, a_leak_without_stack_says_why)
{
	fixture_process(s, 1, 4242, "bench");
	fixture_site(s, 1, 1, 1, 512, 12, 12, NULL, 0)->stack_end = END_OFF;
	EXPECT_HAS(report(NULL), "     (no stack: not_recorded, stacks are off)\n");
}

Test(text, deep_stacks_lose_their_middle_and_recursion_is_counted)
{
	struct memtrace_frame deep[40] = { 0 };
	struct text_options options = { .frames = 8 };
	const char *text;

	for (uint64_t i = 0; i < 40; i++)
		deep[i] = (struct memtrace_frame){ .module = "m", .offset = i };
	for (uint64_t i = 2; i < 12; i++)
		deep[i] = deep[1];
	fixture_process(s, 1, 4242, "bench");
	fixture_site(s, 1, 1, 1, 512, 12, 12, deep, 40);
	text = report(&options);
	EXPECT_HAS(text, "     m+0x0\n     m+0x1, 11 times\n     m+0xc\n     m+0xd\n     m+0xe\n"
			 "     m+0xf\n     ... 22 frames left out ...\n     m+0x26\n     m+0x27\n");
}

Test(text, a_leak_of_a_running_process_is_only_old)
{
	fixture_process(s, 1, 4242, "bench")->ended_by = MEMTRACE_RUNNING;
	fixture_site(s, 1, 1, 3, 300, 10.2, 30.1, path, 1);
	s->final = false;
	EXPECT_HAS(report(NULL), "1. 300 B in 3 blocks, older than 10 s (10.2 s to 30.1 s)\n");
	EXPECT_HAS(report(NULL), "live report after 12.5 s, a moving picture");
	s->min_age_s = 0;
	EXPECT_HAS(report(NULL), "1. 300 B in 3 blocks, not freed so far (10.2 s to 30.1 s)\n");
}

Test(text, having_no_leaks_reads_well)
{
	struct memtrace_process *p = fixture_process(s, 1, 4242, "bench");

	EXPECT_HAS(report(NULL), "no leaks: nothing was allocated\n");
	s->totals.allocs = s->totals.frees = 5;
	EXPECT_HAS(report(NULL), "no leaks: every block was freed\n");
	p->since_attach = true;
	EXPECT_HAS(report(NULL), "no leaks: every block allocated since attach was freed\n");
	s->totals.live_blocks = 2;
	p->ended_by = MEMTRACE_RUNNING;
	EXPECT_HAS(report(NULL), "no leaks: of 2 live blocks none is older than 10 s\n");
}

Test(text, small_leaks_are_left_out_aloud)
{
	struct leaks_params params = { .min_bytes = 4096 };
	struct analysis analysis;

	fixture_site(s, 1, 1, 3, 300, 10, 30, path, 1);
	make_live(3, 300);
	cr_assert_eq(analysis_init(&analysis, s, &(struct analysis_params){ params }), 0);
	cr_assert_eq(text_report(s, &analysis, NULL, &out), 0);
	EXPECT_HAS(strbuf_text(&out),
		   "no leaks of 4.0 KiB or more; smaller ones left out: 300 B in 3 blocks\n");
	analysis_fini(&analysis);
}

Test(text, the_top_is_shown_and_the_rest_counted)
{
	struct text_options options = { .top = 2 };
	const char *text;

	for (uint64_t id = 1; id <= 5; id++) {
		fixture_process(s, id, (pid_t)(100 + id), "bench")->live_bytes = id;
		fixture_site(s, id, id, 1, id * 10, 10, 30, path, 1);
	}
	text = report(&options);
	EXPECT_HAS(text, "leaks: 150 B in 5 blocks from 5 call paths; largest first, then oldest; "
			 "the first 2 shown\n");
	EXPECT_HAS(text, "2. 40 B in 1 block, never freed, allocated 10 s to 30 s before the "
			 "end, pid 104 (bench)\n");
	EXPECT_LACKS(text, "3. 30 B");
	EXPECT_HAS(text, "  ... and 3 call paths more (--top N shows more)\n");
	EXPECT_HAS(text, "processes: 5; largest first\n");
	EXPECT_HAS(text, "  ... and 3 more (--top N shows more)\n");
}

Test(text, an_attached_target_is_told_with_its_rss)
{
	struct memtrace_process *p = fixture_process(s, 1, 4242, "bench");

	p->since_attach = true;
	p->followed_after_s = NAN;
	p->ended_by = MEMTRACE_RUNNING;
	p->rss_bytes = 80 << 20;
	make_live(2, 100);
	EXPECT_HAS(report(NULL), "live heap    100 B in 2 blocks since attach; RSS 80.0 MiB, heap "
				 "from before the attach included\n");
	EXPECT_HAS(report(NULL), "peak         100 B in 2 blocks, at 0 s (since attach)\n");
	p->rss_bytes = MEMTRACE_UNKNOWN;
	EXPECT_HAS(report(NULL), "since attach; heap from before it is unknown\n");
}

Test(text, one_process_is_named_and_several_are_a_table)
{
	struct memtrace_process *p = fixture_process(s, 1, 4242, "bench");
	const char *text;

	p->ended_by = MEMTRACE_ENDED_SIGNAL;
	p->signal = 9;
	text = report(NULL);
	EXPECT_HAS(text, "process      pid 4242 (bench), SIGKILL\n");
	EXPECT_LACKS(text, "processes:");

	p = fixture_process(s, 2, 4243, "late");
	p->followed_after_s = 0.012;
	p->exit_status = 3;
	p->live_bytes = 2048;
	p->allocs = 1000;
	p = fixture_process(s, 3, 4244, "missed");
	p->followed_after_s = -1;
	p->ended_by = MEMTRACE_ENDED_EXEC;
	text = report(NULL);
	EXPECT_HAS(text, "incomplete   2 of 3 processes followed late or never");
	EXPECT_HAS(text, "processes: 3; largest first\n"
			 "   pid     live  blocks  peak  allocs  frees  state    command\n"
			 "  4243  2.0 KiB       0   0 B   1,000      0  exit 3   late  missed its "
			 "first 12 ms\n"
			 "  4242      0 B       0   0 B       0      0  SIGKILL  bench\n"
			 "  4244      0 B       0   0 B       0      0  exec     missed  never "
			 "followed\n");
}

Test(text, totals_tell_what_stands_apart)
{
	s->totals = (struct memtrace_totals){ .allocs = 1234,
					      .alloc_bytes = 2048,
					      .frees = 1,
					      .freed_bytes = 100,
					      .reallocs = 2,
					      .failed_allocs = 3,
					      .unknown_frees = 4,
					      .inherited_frees = 5 };
	EXPECT_HAS(report(NULL), "totals: 1,234 allocs (2.0 KiB), 1 free (100 B), 2 reallocs, 3 "
				 "failed; 4 unknown frees, 5 inherited frees\n");
	s->totals.unknown_frees = MEMTRACE_UNKNOWN;
	EXPECT_HAS(report(NULL), "; unknown frees not known (sampled), 5 inherited frees\n");
}

Test(text, estimates_say_how_the_sample_was_taken)
{
	struct memtrace_process *p = fixture_process(s, 1, 42, "bench");
	struct memtrace_estimates *e = fixture_estimates(s);

	make_live(10, 1000);
	s->estimated = true;
	s->totals.estimates = p->estimates = e;
	e->live_bytes.high = e->live_blocks.high = 5000;
	s->sampled_blocks = 3;
	s->sampling = MEMTRACE_SAMPLING_RATE;
	s->sampling_rate = 0.0025;
	EXPECT_HAS(report(NULL), "sampling     each allocation with probability 0.0025; estimated "
				 "from at least 3 blocks\n");
	EXPECT_HAS(report(NULL), "live heap    about 1000 B (95 %: 0 B to 4.9 KiB) in 10 blocks "
				 "(95 %: 0 to 5,000), at its end\n");
	EXPECT_HAS(report(NULL), "\npeak         about 1000 B in 10 blocks");
	s->sampling = MEMTRACE_SAMPLING_BYTES;
	s->sample_bytes = 65536;
	p->ended_by = MEMTRACE_RUNNING;
	p->filter_bytes = 8192;
	EXPECT_HAS(report(NULL), "sampling     a block every 64.0 KiB on average; estimated from "
				 "at least 3 blocks; 8.0 KiB in the target, to know sampled blocks "
				 "by\n");
}

/* Traced by their allocators' own sites: some figures nobody has. */
Test(text, a_lane_that_does_not_tell_all_says_so)
{
	struct memtrace_process *p = fixture_process(s, 1, 42, "bench");

	fixture_process(s, 2, 43, "plain");
	s->lane = p->lane = "otel";
	s->totals.reallocs = s->totals.failed_allocs = s->totals.unknown_frees = MEMTRACE_UNKNOWN;
	EXPECT_HAS(report(NULL), "bench -n 3, otel lane; final report");
	EXPECT_HAS(report(NULL), "bench  otel lane\n");
	EXPECT_HAS(report(NULL), " plain\n");
	EXPECT_HAS(report(NULL), "reallocs not known (otel lane), failures not known (otel lane); "
				 "unknown frees not known (otel lane), 0 inherited frees\n");
	s->estimated = true;
	s->sampled_blocks = 3;
	EXPECT_HAS(report(NULL), "sampling     by the target's own allocator; estimated from at "
				 "least 3 blocks");
}

Test(text, a_sample_without_leaks_proves_none)
{
	s->sampling = MEMTRACE_SAMPLING_BYTES;
	s->sample_bytes = 4096;
	s->estimated = true;
	s->totals.allocs = s->totals.frees = 5;
	EXPECT_HAS(report(NULL), "\nno leaks found: no block of the sample is left\n");
	s->totals.live_blocks = 2;
	EXPECT_HAS(report(NULL), "\nno leaks found: of 2 live blocks none is older than 10 s\n");
}

Test(text, sampling_that_is_off_says_so)
{
	struct memtrace_estimates *e = fixture_estimates(s);

	s->sampling = MEMTRACE_SAMPLING_RATE;
	s->estimated = true;
	s->totals.estimates = e;
	e->live_bytes.high = e->live_blocks.high = MEMTRACE_UNBOUNDED;
	EXPECT_HAS(report(NULL), "\nsampling     off: no allocation is taken\n");
	EXPECT_HAS(report(NULL), "\nlive heap    about 0 B (95 %: 0 B or more) in 0 blocks "
				 "(95 %: 0 or more)\n");
	EXPECT_HAS(report(NULL), "\nno leaks are looked for: sampling is off\n");
}

Test(text, notices_are_there_only_when_there_are_some)
{
	EXPECT_LACKS(report(NULL), "notices");
	s->notices[0].value = 12;
	EXPECT_HAS(report(NULL), "notices:\n    stale_entries 12: calls that never returned\n");
}

Test(text, stack_quality_is_one_line)
{
	EXPECT_HAS(report(NULL), "\nstacks: none recorded\n");
	s->stack_quality[0].value = 1000;
	s->stack_quality[1].value = 2;
	EXPECT_HAS(report(NULL), "\nstacks: complete 1,000, broken_chain 2\n");
}

Test(text, colour_comes_only_when_asked_for)
{
	struct text_options color = { .color = true };

	s->losses[0].value = 1;
	EXPECT_LACKS(report(NULL), "\033");
	EXPECT_HAS(report(&color), "\033[1;31mLOSSES: 1 accounting event missed");
}

Test(text, no_process_commands_the_terminal)
{
	s->target = "\033[2Jsh";
	fixture_process(s, 1, 4242, "be\nnch\033");
	EXPECT_LACKS(report(NULL), "\033");
	EXPECT_HAS(report(NULL), "memtrace 1.2.3: \\x1b[2Jsh, uprobe lane; final report");
	EXPECT_HAS(report(NULL), "pid 4242 (be\\x0anch\\x1b), exit 0");
}

/* Words longer than the page cannot be helped; there are none here but symbols, which are
 * squeezed. */
Test(text, fits_the_width_of_the_page)
{
	struct memtrace_frame wide = path[0];

	wide.symbol = "std::vector<std::basic_string<char, std::char_traits<char> >, std::allocator"
		      "<std::basic_string<char> > >::_M_realloc_insert<std::basic_string<char> >";
	fixture_process(s, 1, 4242, "bench")->since_attach = true;
	fixture_process(s, 2, 4243, "worker")->allocs = 123456789;
	fixture_site(s, 1, 1, 100, 5 << 20, 3, 12, &wide, 1)->stack_end = END_BROKEN;
	make_live(100, 5 << 20);
	s->losses[0].value = s->losses[1].value = 100000;
	s->notices[0].value = 7;
	s->limit = (struct memtrace_limit){ .bytes = 1 << 20, .now_bytes = 5 << 20 };
	cr_assert_not_null(
		snapshot_add_crossing(s, (struct memtrace_crossing){ 0, 1, 1, 5 << 20 }));
	for (unsigned int width = 60; width <= 132; width += 9) {
		struct text_options options = { .width = width };
		char *text = strdup(report(&options));

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			cr_expect_leq(utf8_length(line), width, "at %u: %s", width, line);
		free(text);
	}
}

Test(text, a_long_symbol_loses_its_template_arguments_first)
{
	static const struct {
		const char *symbol, *shown;
	} cases[] = {
		{ "std::vector<std::basic_string<char>, std::allocator<char> >::push_back(int&&)",
		  "     std::vector<...>::push_back(int&&)  bench (bench.c:42)\n" },
		{ "out& operator<< <std::char_traits<char>, std::allocator<char> >(out&, char*)",
		  "     out& operator<< <...>(out&, char*)  bench (bench.c:42)\n" },
		{ "Map<std::string, long>::operator->(std::allocator<std::string> const&) const",
		  "     Map<...>::operator->(std...cator<...> const&) const  bench "
		  "(bench.c:42)\n" },
		{ "a_function_name_without_any_template_argument_that_does_not_fit_the_page",
		  "     a_function_name_without_...at_does_not_fit_the_page  bench "
		  "(bench.c:42)\n" },
		{ "unbalanced_closing_brackets>>>>>>>>>>_of_a_name_that_does_not_fit_the_page<<<",
		  "  bench (bench.c:42)\n" },
	};
	struct text_options options = { .width = 76 };
	struct memtrace_frame frame = path[0];

	fixture_process(s, 1, 4242, "bench");
	fixture_site(s, 1, 1, 1, 512, 12, 12, &frame, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s->sites[0].frames[0].symbol = cases[i].symbol;
		EXPECT_HAS(report(&options), cases[i].shown);
	}
}

Test(text, a_figure_and_its_unit_stay_on_one_line)
{
	for (unsigned int width = 40; width <= 120; width++) {
		struct text_options options = { .width = width };
		const char *text;

		make_live(1234, 5 << 20);
		s->duration_s = 200;
		text = report(&options);
		EXPECT_HAS(text, "5.0 MiB");
		EXPECT_HAS(text, "1,234 blocks");
		EXPECT_HAS(text, "3 min 20 s");
	}
}

Test(text, an_empty_snapshot_makes_a_whole_report)
{
	memtrace_snapshot_free(s);
	s = snapshot_new();
	EXPECT_HAS(report(NULL), "memtrace: unknown target; live report after 0 s");
	EXPECT_HAS(report(NULL), "live heap    0 B in 0 blocks\npeak         0 B\n"
				 "limit        none\nrate         unknown\n");
}

Test(text, a_report_that_ran_out_of_memory_says_so)
{
	struct analysis analysis;

	cr_assert_eq(analysis_init(&analysis, s, NULL), 0);
	for (size_t bound = 1; bound < 300; bound += 7) {
		struct strbuf small = { .max_len = bound };

		cr_assert_eq(text_report(s, &analysis, NULL, &small), -ENOMEM);
		strbuf_fini(&small);
	}
	analysis_fini(&analysis);
}
