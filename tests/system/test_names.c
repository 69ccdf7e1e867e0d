// SPDX-License-Identifier: MIT
/* test_names.c - what frames are called: code made at run time, files that are gone or elsewhere. */
#include "expect.h"

#include <string.h>
#include <unistd.h>

SUITE(names);

static const char *symbol_of(const json_t *stack, size_t i)
{
	return json_string_value(member(json_array_get(stack, i), "symbol"));
}

static const char *module_of(const json_t *stack, size_t i)
{
	return json_string_value(member(json_array_get(stack, i), "module"));
}

/* The stack of the site with the one block of 1000 bytes. */
static json_t *stack_of_1000(const json_t *report)
{
	json_t *site;
	size_t i;

	json_array_foreach(member(report, "sites"), i, site)
	{
		if (figure(site, "alloc_blocks") == 1 && figure(site, "alloc_bytes") == 1000)
			return member(site, "stack");
	}
	fatal("no site has one block of 1000 bytes");
	return NULL;
}

/* ---- code made at run time ------------------------------------------------------------------------- */

static void expect_generated(enum way way, const char *how, const char *name)
{
	struct trace trace;
	json_t *stack;
	const char *map;
	pid_t pid;

	trace_run(&trace, &(struct trace_request){ .way = way, .argv = LIST("jit", how) });
	pid = figure(json_array_get(member(trace.report, "processes"), 0), "pid");
	map = text_of("/tmp/perf-%d.map", (int)pid);
	unlink(map);
	unlink(text_of("%s.real", map));
	expect_consistent(trace.report);
	stack = stack_of_1000(trace.report);
	cr_assert_geq(json_array_size(stack), 3, "%zu frames", json_array_size(stack));
	if (name)
		cr_expect(symbol_of(stack, 0) && !strcmp(symbol_of(stack, 0), name), "%s: %s", how,
			  symbol_of(stack, 0));
	else
		cr_expect_null(symbol_of(stack, 0), "%s: %s", how, symbol_of(stack, 0));
	cr_expect(module_of(stack, 0) && !strcmp(module_of(stack, 0), "[jit]"), "%s: module %s", how,
		  module_of(stack, 0));
	cr_expect(symbol_of(stack, 1) && !strcmp(symbol_of(stack, 1), "call_generated"),
		  "%s: caller %s", how, symbol_of(stack, 1));
	cr_expect(json_is_null(member(json_array_get(stack, 0), "file")));
}

#define NAME "generated (app.js:1)"

Test(names, generated_code_has_the_name_the_program_lists_launched)
{
	expect_generated(LAUNCHED, "named", NAME);
}

Test(names, generated_code_has_the_name_the_program_lists_attached)
{
	expect_generated(ATTACHED, "named", NAME);
}

Test(names, generated_code_has_the_name_the_program_lists_while_it_runs)
{
	expect_generated(ATTACHED_HELD, "named", NAME);
}

Test(names, a_list_that_was_seen_may_be_gone)
{
	expect_generated(ATTACHED, "removed", NAME);
}

Test(names, a_child_that_runs_its_parents_code_has_its_names)
{
	expect_generated(LAUNCHED, "forked", NAME);
	expect_generated(ATTACHED, "forked", NAME);
}

Test(names, without_a_list_the_stack_goes_on_past_an_unknown_frame)
{
	expect_generated(LAUNCHED, "none", NULL);
	expect_generated(ATTACHED, "none", NULL);
}

Test(names, bad_lines_are_passed_over)
{
	expect_generated(LAUNCHED, "garbage", NAME);
}

Test(names, a_sparse_list_is_not_read_whole)
{
	expect_generated(LAUNCHED, "sparse", NAME);
}

Test(names, no_list_is_read_that_may_be_somebody_elses)
{
	static const char *const hows[] = { "foreign", "fifo", "link", "stale" };

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		expect_generated(LAUNCHED, hows[i], NULL);
		expect_generated(ATTACHED_HELD, hows[i], NULL);
	}
}
