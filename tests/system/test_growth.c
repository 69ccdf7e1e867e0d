// SPDX-License-Identifier: MIT
/*
 * test_growth.c - programs of one known behaviour each, and what is said of them.
 *
 * They take three seconds, in rounds of 10 ms: about thirty points. What is counted is compared with
 * their own count; how fast it grew with that count over the time.
 */
#include "expect.h"

#include <string.h>

SUITE(growth);

/* The row of a call path, by the function that allocates. */
static json_t *leak_of(const json_t *report, const char *function)
{
	json_t *leak, *site;
	size_t i, n;

	json_array_foreach(member(report, "leaks"), i, leak)
		json_array_foreach(member(report, "sites"), n, site)
			if (figure(site, "id") == figure(leak, "site") &&
			    !strcmp(site_function(site), function))
				return leak;
	return NULL;
}

static const char *word(const json_t *row, const char *name)
{
	const char *text = json_string_value(member(row, name));

	return text ? text : "null";
}

/* The words are separated by blanks. */
static bool one_of(const char *word, const char *words)
{
	const char *found = strstr(words, word);

	return found && (found == words || found[-1] == ' ') &&
	       (!found[strlen(word)] || found[strlen(word)] == ' ');
}

static void run_target(struct trace *trace, enum way way, const char *target)
{
	trace_run(trace, &(struct trace_request){ .way = way, .argv = LIST(target) });
	expect_exact(trace);
}

static void expect_verdict(enum way way, const char *target, const char *function,
			   const char *verdict, const char *shapes)
{
	struct trace trace;
	json_t *leak;

	run_target(&trace, way, target);
	leak = leak_of(trace.report, function);
	cr_assert(leak, "%s: no row of %s", target, function);
	cr_expect_str_eq(word(leak, "verdict"), verdict, "%s: %s is not %s: %s", target,
			 word(leak, "verdict"), verdict, json_dumps(leak, 0));
	cr_expect(one_of(word(leak, "shape"), shapes), "%s: shape %s is none of %s: %s", target,
		  word(leak, "shape"), shapes, json_dumps(leak, 0));
	cr_expect_eq(json_is_null(member(leak, "impact")), !strcmp(verdict, "steady"));
	cr_expect_gt(json_array_size(member(leak, "reasons")), 0);
}

#define EACH_VERDICT(sentence, target, function, verdict, shapes)                     \
	Test(growth, sentence##_launched)                                             \
	{                                                                             \
		expect_verdict(LAUNCHED, target, function, verdict, shapes);          \
	}                                                                             \
	Test(growth, sentence##_launched_preload)                                     \
	{                                                                             \
		expect_verdict(LAUNCHED_PRELOAD, target, function, verdict, shapes);  \
	}                                                                             \
	Test(growth, sentence##_attached)                                             \
	{                                                                             \
		expect_verdict(ATTACHED, target, function, verdict, shapes);          \
	}

EACH_VERDICT(a_steady_leak_is_leaking, "leak_steady", "lose_one", "leaking", "steady")
EACH_VERDICT(a_leak_of_one_request_in_a_thousand_is_leaking, "leak_rare", "handle_request",
	     "leaking", "steady")
EACH_VERDICT(a_cache_that_is_full_is_no_leak, "cache_full", "cache_fill", "steady",
	     "plateau init")
EACH_VERDICT(a_saw_tooth_is_no_leak, "saw_tooth", "collect", "steady", "saw-tooth")
EACH_VERDICT(what_is_made_at_the_start_is_no_leak, "init_once", "set_up", "steady",
	     "init plateau step")
EACH_VERDICT(an_array_that_is_made_longer_is_suspect, "grow_vector", "lengthen", "suspect",
	     "steady")

Test(growth, a_rate_is_what_was_lost_over_the_time)
{
	struct trace trace;
	double truth, low, high;
	json_t *leak;

	run_target(&trace, LAUNCHED, "leak_steady");
	leak = leak_of(trace.report, "lose_one");
	cr_assert(leak);
	truth = (double)figure(json_array_get(trace.truths, 0), "live_bytes") /
		json_number_value(member(trace.report, "duration_s"));
	low = json_number_value(json_array_get(member(leak, "growth_bytes_per_s_95"), 0));
	high = json_number_value(json_array_get(member(leak, "growth_bytes_per_s_95"), 1));
	/* the duration has the time to start the program in it, so the truth is a bit higher */
	cr_expect(truth > low * 0.8 && truth < high * 1.2, "%f is not about %f to %f", truth, low,
		  high);
	cr_expect_float_eq(json_number_value(member(leak, "kept_share")), 1, 0.25);
}

Test(growth, ages_of_blocks_add_up_to_what_is_live)
{
	struct trace trace;
	json_t *site, *age;
	size_t i, n;

	run_target(&trace, ATTACHED_HELD, "leak_rare");
	json_array_foreach(member(trace.report, "sites"), i, site)
	{
		double oldest_s = json_number_value(member(site, "oldest_age_s"));
		long long blocks = 0, bytes = 0;

		json_array_foreach(member(site, "ages"), n, age)
		{
			blocks += figure(age, "live_blocks");
			bytes += figure(age, "live_bytes");
			cr_expect_leq(json_number_value(member(age, "min_age_s")), oldest_s);
		}
		cr_expect_eq(blocks, figure(site, "live_blocks"));
		cr_expect_eq(bytes, figure(site, "live_bytes"));
	}
}

/* A leak that will cross its limit is told beforehand when that will be; then it does. */
Test(growth, the_limit_is_reached_when_it_was_foretold)
{
	struct pipe_pair out = pipe_new();
	double foretold_s = 0, crossed_s = 0;
	struct tracer tracer;
	json_t *report;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--json", "-", "--interval", "0.2",
						      "--limit-mb", "1"),
				      .command = LIST(target_path("leak_steady"), "700", "10000",
						      "2000"),
				      .out_fd = out.out,
			      });
	pipe_close(&out.out);
	while ((report = report_next(out.in))) {
		json_t *tree = member(report, "forecast.tree");
		json_t *at = member(report, "limit.exceeded_at_s");

		if (json_is_object(tree) && figure(report, "totals.live_bytes") >= 1048576 / 3 &&
		    !(foretold_s > 0))
			foretold_s = json_number_value(member(report, "duration_s")) +
				     json_number_value(member(tree, "reaches_limit_in_s"));
		if (json_is_number(at))
			crossed_s = json_number_value(at);
		if (json_is_number(at))
			cr_expect(!json_is_object(tree), "nothing is foretold of what has been");
	}
	tracer_finish(&tracer);
	cr_assert_gt(foretold_s, 0, "nothing was foretold");
	cr_assert_gt(crossed_s, 0, "the limit was not crossed");
	/* a machine that is busy meanwhile changes the pace; bench and unit tests measure how near it is */
	cr_expect(foretold_s > crossed_s / 2 && foretold_s < crossed_s * 2,
		  "foretold for %f s, crossed at %f s", foretold_s, crossed_s);
}

/* Without reports in between, a leak is told of when it shows. */
Test(growth, a_leak_is_said_while_the_program_runs)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("leak_steady"),
				  .options = LIST("--leak-interval", "2", "--min-age", "0.5"),
			  });
	expect_stderr_has(trace.memtrace, "LEAKING, impact");
	expect_stderr_has(trace.memtrace, "B/s");
}
