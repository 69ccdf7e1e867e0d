// SPDX-License-Identifier: MIT
/* expect.c - figures of a report against each other, and against the truth. */
#include "expect.h"

#include <string.h>
#include <unistd.h>

/* ---- reading ------------------------------------------------------------------------------------
 */

json_t *member(const json_t *object, const char *name)
{
	size_t len = strcspn(name, ".");
	char first[64];
	json_t *value;

	snprintf(first, sizeof(first), "%.*s", (int)len, name);
	value = json_object_get(object, first);

	if (!value)
		fatal("the report has no \"%s\"", name);
	return name[len] ? member(value, name + len + 1) : value;
}

long long figure(const json_t *object, const char *name)
{
	json_t *value = member(object, name);

	if (!json_is_integer(value))
		fatal("\"%s\" is no integer", name);
	return json_integer_value(value);
}

json_t *row_of_pid(const json_t *report, long long pid, size_t n)
{
	json_t *row, *rows = member(report, "processes");
	long long above = -1;

	/* by id, whatever order the rows have */
	for (;;) {
		json_t *best = NULL;
		size_t i;

		json_array_foreach(rows, i, row)
		{
			if (figure(row, "pid") != pid || figure(row, "id") <= above)
				continue;
			if (!best || figure(row, "id") < figure(best, "id"))
				best = row;
		}
		if (!best || !n--)
			return best;
		above = figure(best, "id");
	}
}

json_t *row_of_id(const json_t *report, long long id)
{
	json_t *row;
	size_t i;

	json_array_foreach(member(report, "processes"), i, row)
	{
		if (figure(row, "id") == id)
			return row;
	}
	return NULL;
}

size_t row_cnt(const json_t *report)
{
	return json_array_size(member(report, "processes"));
}

json_t *only_row(const json_t *report)
{
	if (row_cnt(report) != 1)
		fatal("expected one process, the report has %zu", row_cnt(report));
	return json_array_get(member(report, "processes"), 0);
}

/* ---- a report by itself ------------------------------------------------------------------------
 */

static void expect_same(const char *what, const char *of, long long got, long long wanted)
{
	cr_expect_eq(got, wanted, "%s of %s: %lld, should be %lld", what, of, got, wanted);
}

static long long sum_of_sites(const json_t *report, long long id, const char *name)
{
	long long sum = 0;
	json_t *site;
	size_t i;

	json_array_foreach(member(report, "sites"), i, site)
	{
		if (figure(site, "process") == id)
			sum += figure(site, name);
	}
	return sum;
}

static void expect_row_consistent(const json_t *report, const json_t *row)
{
	long long id = figure(row, "id");
	const char *of = text_of("process %lld (%s)", figure(row, "pid"),
				 json_string_value(member(row, "comm")));

	expect_same("live_blocks against allocs - frees", of, figure(row, "live_blocks"),
		    figure(row, "allocs") - figure(row, "frees"));
	expect_same("live_bytes against alloc_bytes - freed_bytes", of, figure(row, "live_bytes"),
		    figure(row, "alloc_bytes") - figure(row, "freed_bytes"));
	cr_expect_geq(figure(row, "live_bytes"), 0);
	cr_expect_geq(figure(row, "peak_bytes"), figure(row, "live_bytes"), "peak of %s below live",
		      of);
	expect_same("sites' live_blocks", of, sum_of_sites(report, id, "live_blocks"),
		    figure(row, "live_blocks"));
	expect_same("sites' live_bytes", of, sum_of_sites(report, id, "live_bytes"),
		    figure(row, "live_bytes"));
	expect_same("sites' alloc_blocks", of, sum_of_sites(report, id, "alloc_blocks"),
		    figure(row, "allocs"));
	expect_same("sites' alloc_bytes", of, sum_of_sites(report, id, "alloc_bytes"),
		    figure(row, "alloc_bytes"));
	expect_same("sites' bytes_at_peak and the unattributed", of,
		    sum_of_sites(report, id, "bytes_at_peak") +
			    figure(row, "peak_unattributed_bytes"),
		    figure(row, "peak_bytes"));
}

/* The sum over rows; -1 when it is null somewhere, which no sum is. */
static long long sum_of_rows(const json_t *report, const char *name)
{
	long long sum = 0;
	json_t *row;
	size_t i;

	json_array_foreach(member(report, "processes"), i, row)
	{
		if (json_is_null(member(row, name)))
			return -1;
		sum += figure(row, name);
	}
	return sum;
}

static void expect_totals(const json_t *report)
{
	static const char *const summed[] = {
		"allocs",      "frees",	     "reallocs",      "alloc_bytes",   "freed_bytes",
		"live_blocks", "live_bytes", "failed_allocs", "unknown_frees", "inherited_frees",
	};

	for (size_t i = 0; i < sizeof(summed) / sizeof(summed[0]); i++) {
		long long sum = sum_of_rows(report, summed[i]);

		if (sum < 0)
			cr_expect(json_is_null(member(member(report, "totals"), summed[i])));
		else
			expect_same(summed[i], "totals against the rows",
				    figure(member(report, "totals"), summed[i]), sum);
	}
	if (row_cnt(report) == 1)
		expect_same("peak_bytes", "totals against the only row",
			    figure(report, "totals.peak_bytes"),
			    figure(only_row(report), "peak_bytes"));
}

static void expect_site_sane(const json_t *report, const json_t *site)
{
	json_t *frame;
	size_t i;

	cr_expect_not_null(row_of_id(report, figure(site, "process")), "site of no process");
	cr_expect_geq(figure(site, "peak_bytes"), figure(site, "live_bytes"));
	cr_expect_geq(figure(site, "peak_bytes"), figure(site, "bytes_at_peak"));
	cr_expect_geq(figure(site, "alloc_blocks"), figure(site, "live_blocks"));
	cr_expect_geq(figure(site, "alloc_bytes"), figure(site, "peak_bytes"));
	/* the kernel's trampoline of return probes is nobody's caller */
	json_array_foreach(member(site, "stack"), i, frame)
	{
		const char *module = json_string_value(member(frame, "module"));

		cr_expect(!module || strcmp(module, "[uprobes]"), "a trampoline is in a stack");
	}
}

void expect_consistent(const json_t *report)
{
	const char *name;
	json_t *item;
	size_t i;

	cr_expect_str_eq(json_string_value(member(report, "schema")), "memtrace.report/1");
	json_object_foreach(member(report, "losses"), name, item)
	{
		expect_same(name, "losses", json_integer_value(item), 0);
	}
	expect_same("total", "losses", figure(report, "losses.total"), 0);
	json_array_foreach(member(report, "processes"), i, item)
	{
		expect_row_consistent(report, item);
	}
	json_array_foreach(member(report, "sites"), i, item)
	{
		expect_site_sane(report, item);
	}
	expect_totals(report);
}

/* ---- against the truth --------------------------------------------------------------------------
 */

static const char *preloaded(const char *const *env)
{
	for (; env && *env; env++)
		if (!strncmp(*env, "LD_PRELOAD=", 11))
			return *env + 11;
	return NULL;
}

static void add_usage(struct usage *sum, struct usage more)
{
	sum->allocs += more.allocs;
	sum->frees += more.frees;
	sum->alloc_bytes += more.alloc_bytes;
	sum->live_bytes += more.live_bytes;
}

/* The sums of one line of truth. */
static struct usage sums_of(const json_t *truth)
{
	return (struct usage){
		.allocs = figure(truth, "allocs"),
		.frees = figure(truth, "frees"),
		.alloc_bytes = figure(truth, "alloc_bytes"),
		.live_bytes = figure(truth, "live_bytes"),
	};
}

struct usage preloaded_usage(const char *library, bool own_names)
{
	const char *path = stage_path("counted");
	json_t *counted;

	unlink(path);
	if (run(&(struct start){ .argv = LIST(target_path("empty")),
				 .env = LIST(text_of("MT_COUNTED=%s", path),
					     text_of("MT_COUNT_OWN_NAMES=%d", own_names),
					     text_of("LD_PRELOAD=%s %s", target_path("counting"),
						     library)) },
		NULL))
		fatal("empty does not run with %s", library);
	counted = truths_load(path);
	return sums_of(json_array_get(counted, json_array_size(counted) - 1));
}

enum moment { AT_MAIN, AT_END };

/* A static program is out of valgrind's sight; static_base counts what its C library does. */
static struct usage static_usage(enum moment moment)
{
	const char *path = stage_path("static-truth");

	unlink(path);
	if (run(&(struct start){ .argv = LIST(target_path("static_base")),
				 .env = LIST(text_of("MT_TRUTH=%s", path)) },
		NULL))
		fatal("static_base does not run");
	return sums_of(json_array_get(truths_load(path), moment));
}

/* What the C library of a static program frees after main(). */
static struct usage given_back(const json_t *truth)
{
	struct usage at_main, at_end;

	if (!json_is_true(member(truth, "static_glibc")))
		return (struct usage){ 0 };
	at_main = static_usage(AT_MAIN);
	at_end = static_usage(AT_END);
	return (struct usage){ .frees = at_end.frees - at_main.frees,
			       .live_bytes = at_main.live_bytes - at_end.live_bytes };
}

static bool in_lane(const json_t *row, const char *lane)
{
	return !strcmp(json_string_value(member(row, "lane")), lane);
}

/* Is the preload library in it, as far as our own targets go? */
static bool has_library(const json_t *row, const char *const *env)
{
	return in_lane(row, "preload") ||
	       (preloaded(env) && !strcmp(preloaded(env), PRELOAD_LIB));
}

/* What libraries allocated for themselves, as it was seen in programs that do nothing else. */
static struct usage library_usage(const json_t *row, const json_t *truth, enum way way,
				  const char *const *env)
{
	long long threads = figure(truth, "threads");
	struct usage usage = { 0 };
	bool library = has_library(row, env);
	/* for each thread glibc allocates a table of the libraries with thread-local variables; the preload
	 * library is one */
	const char *const *preload = library ? LIST(text_of("LD_PRELOAD=%s", PRELOAD_LIB)) : NULL;

	if (threads)
		add_usage(&usage,
			  valgrind_usage(LIST(target_path("thread_base"), text_of("%lld", threads)),
					 preload, NULL));
	if (way == ATTACHED || way == ATTACHED_HELD)
		return usage; /* it was there before */
	if (json_is_true(member(truth, "cxx")))
		add_usage(&usage, valgrind_usage(LIST(target_path("cxx_empty")), NULL, NULL));
	if (json_is_true(member(truth, "static_glibc")))
		add_usage(&usage, static_usage(AT_END));
	if (preloaded(env) && strcmp(preloaded(env), PRELOAD_LIB))
		add_usage(&usage, preloaded_usage(preloaded(env), !library));
	return usage;
}

/* Null is what such sites do not tell, and nothing else is. */
static void expect_not_told(const json_t *row)
{
	cr_expect(json_is_null(member(row, "reallocs")));
	cr_expect(json_is_null(member(row, "failed_allocs")));
	cr_expect(json_is_null(member(row, "unknown_frees")));
	cr_expect_eq(json_is_null(member(row, "inherited_frees")),
		     json_is_true(member(row, "estimated")));
}

static void expect_unknown_frees(const json_t *row, const json_t *truth, enum way way,
				 const char *of)
{
	long long unknown_max = figure(truth, "unknown_frees_max");

	if (in_lane(row, "otel"))
		return;
	if (way == ATTACHED || way == ATTACHED_HELD)
		unknown_max += given_back(truth).frees; /* of blocks from before the attach */
	cr_expect_geq(figure(row, "unknown_frees"), figure(truth, "unknown_frees"),
		      "unknown_frees of %s: %lld, at least %lld are", of,
		      figure(row, "unknown_frees"), figure(truth, "unknown_frees"));
	cr_expect_leq(figure(row, "unknown_frees"), unknown_max,
		      "unknown_frees of %s: %lld, at most %lld can be", of,
		      figure(row, "unknown_frees"), unknown_max);
}

void expect_row(const json_t *row, const json_t *truth, enum way way, const char *const *env)
{
	static const char *const equal[] = { "reallocs", "failed_allocs", "inherited_frees" };
	const size_t untold = 2; /* of these, by sites of "otel_memory" */
	struct usage library = library_usage(row, truth, way, env), back = given_back(truth);
	long long live = library.live_bytes, blocks = library.allocs - library.frees;
	const char *of = text_of("process %lld", figure(row, "pid"));

	expect_same("allocs", of, figure(row, "allocs"), figure(truth, "allocs") + library.allocs);
	expect_same("frees", of, figure(row, "frees"), figure(truth, "frees") + library.frees);
	expect_same("alloc_bytes", of, figure(row, "alloc_bytes"),
		    figure(truth, "alloc_bytes") + library.alloc_bytes);
	expect_same("freed_bytes", of, figure(row, "freed_bytes"),
		    figure(truth, "freed_bytes") + library.alloc_bytes - live);
	expect_same("live_blocks", of, figure(row, "live_blocks"),
		    figure(truth, "live_blocks") + blocks);
	expect_same("live_bytes", of, figure(row, "live_bytes"),
		    figure(truth, "live_bytes") + live);
	if (in_lane(row, "otel"))
		expect_not_told(row);
	for (size_t i = in_lane(row, "otel") ? untold : 0; i < 3; i++)
		expect_same(equal[i], of, figure(row, equal[i]), figure(truth, equal[i]));
	expect_unknown_frees(row, truth, way, of);
	if (json_is_null(member(truth, "peak_bytes")))
		return;
	if (way == LAUNCHED || way == LAUNCHED_PRELOAD) {
		/* the peak is before anything is given back */
		live += back.live_bytes;
		blocks += back.frees;
	}
	expect_same("peak_bytes", of, figure(row, "peak_bytes"),
		    figure(truth, "peak_bytes") + live);
	expect_same("peak_blocks", of, figure(row, "peak_blocks"),
		    figure(truth, "peak_blocks") + blocks);
	expect_same("peak_unattributed_bytes", of, figure(row, "peak_unattributed_bytes"), 0);
}

/* How many lines of the same pid stand before this one. */
static size_t nth_of_pid(const json_t *truths, size_t line)
{
	long long pid = figure(json_array_get(truths, line), "pid");
	size_t n = 0;

	for (size_t i = 0; i < line; i++)
		if (figure(json_array_get(truths, i), "pid") == pid)
			n++;
	return n;
}

void expect_exact(const struct trace *trace)
{
	json_t *truth;
	size_t i;

	expect_consistent(trace->report);
	cr_expect_gt(json_array_size(trace->truths), 0, "the target wrote no truth");
	json_array_foreach(trace->truths, i, truth)
	{
		size_t n = nth_of_pid(trace->truths, i);
		json_t *row = row_of_pid(trace->report, figure(truth, "pid"), n);

		if (!row) {
			cr_expect(false, "no row for account %zu of pid %lld", n,
				  figure(truth, "pid"));
			continue;
		}
		expect_row(row, truth, trace->way, trace->env);
	}
	cr_expect_eq(row_cnt(trace->report), json_array_size(trace->truths),
		     "%zu rows for %zu accounts", row_cnt(trace->report),
		     json_array_size(trace->truths));
}

void expect_target_exact(enum way way, const char *const *argv)
{
	expect_request_exact(&(struct trace_request){ .way = way, .argv = argv });
}

void expect_request_exact(const struct trace_request *request)
{
	struct trace trace;

	trace_run(&trace, request);
	expect_exit(trace.memtrace, 0);
	cr_expect_eq(trace.target_status, 0, "the target ended with wait status 0x%x",
		     trace.target_status);
	expect_exact(&trace);
}

/* ---- sites
 * --------------------------------------------------------------------------------------- */

const char *site_function(const json_t *site)
{
	json_t *frame;
	size_t i;

	json_array_foreach(member(site, "stack"), i, frame)
	{
		if (!json_is_true(member(frame, "inlined")))
			return json_string_value(member(frame, "symbol"));
	}
	return NULL;
}

json_t *site_of(const json_t *report, const json_t *row, const char *function)
{
	json_t *site, *found = NULL;
	size_t i;

	json_array_foreach(member(report, "sites"), i, site)
	{
		const char *leaf = site_function(site);

		if (figure(site, "process") != figure(row, "id") || !leaf || strcmp(leaf, function))
			continue;
		cr_expect_null(found, "%s has more than one site", function);
		found = site;
	}
	return found;
}

void expect_sites(const json_t *report, const json_t *row, const json_t *truth)
{
	static const char *const names[] = { "live_blocks", "live_bytes", "alloc_blocks",
					     "alloc_bytes", "peak_bytes", "bytes_at_peak" };
	json_t *expected;
	size_t i;

	json_array_foreach(member(truth, "sites"), i, expected)
	{
		const char *function = json_string_value(member(expected, "function"));
		json_t *site = site_of(report, row, function);

		if (!site) {
			cr_expect(false, "no site in %s", function);
			continue;
		}
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			expect_same(names[n], function, figure(site, names[n]),
				    figure(expected, names[n]));
	}
}

/* ---- messages
 * ------------------------------------------------------------------------------------ */

void expect_one_line(struct child *memtrace, const char *const *words)
{
	const char *err = file_text(memtrace->err), *end = strchr(err, '\n');

	cr_expect(end && !end[1], "expected exactly one line on stderr, got:\n%s", err);
	cr_expect(!strncmp(err, "memtrace: ", 10), "stderr does not begin with our name: %s", err);
	for (; words && *words; words++)
		cr_expect(strstr(err, *words), "\"%s\" is missing in: %s", *words, err);
}

void expect_stderr_has(struct child *memtrace, const char *word)
{
	const char *err = file_text(memtrace->err);

	cr_expect(strstr(err, word), "\"%s\" is missing in:\n%s", word, err);
}
