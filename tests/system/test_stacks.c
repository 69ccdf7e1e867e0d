// SPDX-License-Identifier: MIT
/* test_stacks.c - who allocated: names, order, depth, and after the process is gone. */
#include "expect.h"

#include <string.h>

SUITE(rule8_stacks);

/* The functions of a stack from the leaf on, inlined ones left out, equal those of the truth. */
static void expect_stack(const json_t *site, const json_t *truth, size_t most)
{
	json_t *expected = member(truth, "stack"), *frame;
	size_t i, n = 0;

	json_array_foreach(member(site, "stack"), i, frame)
	{
		const char *got = json_string_value(member(frame, "symbol"));

		if (n == json_array_size(expected))
			break; /* what called main() */
		if (json_is_true(member(frame, "inlined")))
			continue;
		cr_expect(got && !strcmp(got, json_string_value(json_array_get(expected, n))),
			  "frame %zu is %s, should be %s", n, got ? got : "unknown",
			  json_string_value(json_array_get(expected, n)));
		n++;
	}
	if (json_array_size(expected) < most)
		most = json_array_size(expected);
	cr_expect_eq(n, most, "%zu frames of %zu", n, most);
}

static void expect_deep(enum way way, const char *depth, const char *const *options, size_t most)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = way,
				  .argv = LIST("deep", depth),
				  .options = options,
			  });
	expect_exact(&trace);
	cr_assert_eq(json_array_size(member(trace.report, "sites")), 1);
	expect_stack(json_array_get(member(trace.report, "sites"), 0),
		     json_array_get(trace.truths, 0), most);
	if (most < 1000)
		cr_expect_eq(figure(trace.report, "stack_quality.depth_limit"), 1);
}

Test(rule8_stacks, every_caller_up_to_main_is_named_launched)
{
	expect_deep(LAUNCHED, "10", NULL, 1000);
}

Test(rule8_stacks, every_caller_up_to_main_is_named_attached)
{
	expect_deep(ATTACHED, "10", NULL, 1000);
}

Test(rule8_stacks, fifty_frames_are_complete)
{
	expect_deep(LAUNCHED, "50", NULL, 1000);
}

Test(rule8_stacks, a_deeper_stack_ends_at_the_depth_and_says_so)
{
	expect_deep(LAUNCHED, "100", NULL, 64);
}

Test(rule8_stacks, the_depth_asked_for_is_kept)
{
	expect_deep(LAUNCHED, "100", LIST("--stack-depth", "5"), 5);
}

Test(rule8_stacks, the_largest_depth_reaches_main)
{
	expect_deep(LAUNCHED, "100", LIST("--stack-depth", "127"), 1000);
}

Test(rule8_stacks, none_are_kept_when_none_are_wanted_and_figures_stay_exact)
{
	struct trace trace;
	json_t *site;
	size_t i;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("leaky"),
				  .options = LIST("--stacks", "none"),
			  });
	expect_exact(&trace);
	json_array_foreach(member(trace.report, "sites"), i, site)
	{
		cr_expect_eq(json_array_size(member(site, "stack")), 0);
	}
}

Test(rule8_stacks, frames_have_file_and_line)
{
	struct trace trace;
	json_t *site, *frame;
	const char *file;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("deep", "3") });
	site = json_array_get(member(trace.report, "sites"), 0);
	frame = json_array_get(member(site, "stack"), json_array_size(member(site, "stack")) > 1);
	file = json_string_value(member(frame, "file"));
	cr_assert(file, "no file");
	cr_expect(strstr(file, "deep.c") || strstr(file, "truth.h"), "file %s", file);
	cr_expect_gt(figure(frame, "line"), 0);
}

Test(rule8_stacks, cxx_names_are_demangled)
{
	struct trace trace;
	json_t *site, *frame;
	bool found = false;
	size_t i, n;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("cxx_throw") });
	json_array_foreach(member(trace.report, "sites"), i, site)
	{
		json_array_foreach(member(site, "stack"), n, frame)
		{
			const char *symbol = json_string_value(member(frame, "symbol"));

			cr_expect(!symbol || strncmp(symbol, "_Z", 2), "%s is mangled", symbol);
			found |= symbol && !strncmp(symbol, "fall(int)", 9);
		}
	}
	cr_expect(found, "fall(int) is in no stack");
}

SUITE(leaks);

Test(leaks, come_largest_first_with_their_functions)
{
	static const char *const functions[] = { "lose_large", "lose_medium", "lose_small" };
	static const long long bytes[] = { 5 * 65536, 5 * 10000, 5 * 3200 };
	struct trace trace;
	json_t *leaks, *site;
	size_t n, i;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("leaky") });
	leaks = member(trace.report, "leaks");
	cr_assert_eq(json_array_size(leaks), 3, "%zu leaks", json_array_size(leaks));
	for (i = 0; i < 3; i++) {
		json_t *leak = json_array_get(leaks, i);

		cr_expect_eq(figure(leak, "live_bytes"), bytes[i]);
		json_array_foreach(member(trace.report, "sites"), n, site)
		{
			if (figure(site, "id") == figure(leak, "site"))
				cr_expect_str_eq(site_function(site), functions[i]);
		}
	}
}

Test(leaks, smaller_than_asked_for_are_left_out)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("leaky"),
				  .options = LIST("--min-size", "60000"),
			  });
	cr_expect_eq(json_array_size(member(trace.report, "leaks")), 1);
	expect_exact(&trace);
}

Test(leaks, the_text_names_them)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("leaky") });
	expect_stderr_has(trace.memtrace, "lose_large");
	expect_stderr_has(trace.memtrace, "lose_medium");
	expect_stderr_has(trace.memtrace, "lose_small");
}
