/* SPDX-License-Identifier: MIT */
/*
 * The judge of what is JSON is not ours: python3's parser reads each document, told to refuse NaN
 * and names that come twice, and then answers a question about it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "output/json.h"
#include "output/json_writer.h"
#include "snapshot_fixture.h"

static bool have_python(void)
{
	return system("command -v python3 >/dev/null 2>&1") == 0;
}

#define NEED_PYTHON()                                                                           \
	do {                                                                                    \
		if (!have_python())                                                             \
			cr_skip_test("SKIP: python3, the independent JSON parser, is missing"); \
	} while (0)

/* Whether the expression holds of the document d. */
static bool says(const struct strbuf *document, const char *expression)
{
	static const char prelude[] =
		"import json\n"
		"def no(x): raise ValueError(x)\n"
		"def once(pairs):\n"
		"    assert len(dict(pairs)) == len(pairs), 'a name comes twice'\n"
		"    return dict(pairs)\n"
		"d = json.loads(open(0, 'rb').read().decode('utf-8', 'strict'),\n"
		"               parse_constant=no, object_pairs_hook=once)\n"
		"import sys\n"
		"ok = eval(sys.argv[1])\n"
		"ok or print('not so:', sys.argv[1], 'in', d, file=sys.stderr)\n"
		"sys.exit(0 if ok else 1)\n";
	int fds[2], status;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		dup2(fds[0], 0);
		close(fds[0]);
		close(fds[1]);
		execlp("python3", "python3", "-c", prelude, expression, (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	cr_assert_eq(strbuf_write(document, fds[1]), 0);
	close(fds[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static const char *double_text(double value)
{
	static struct strbuf sb;
	struct json_writer w;

	strbuf_clear(&sb);
	json_init(&w, &sb);
	json_double(&w, value);
	return strbuf_text(&sb);
}

Test(json_writer, doubles_are_decimal_and_never_nan)
{
	cr_expect_str_eq(double_text(0), "0.0");
	cr_expect_str_eq(double_text(12), "12.0");
	cr_expect_str_eq(double_text(0.5), "0.5");
	cr_expect_str_eq(double_text(-1.25), "-1.25");
	cr_expect_str_eq(double_text(0.000000001), "0.000000001");
	cr_expect_str_eq(double_text(0.0000000001), "0.0");
	cr_expect_str_eq(double_text(2.9999999999), "3.0");
	cr_expect_str_eq(double_text(123456789.5), "123456789.5");
	cr_expect_str_eq(double_text(1e18), "1000000000000000000.0");
	cr_expect_str_eq(double_text(NAN), "null");
	cr_expect_str_eq(double_text(INFINITY), "null");
	cr_expect_str_eq(double_text(-INFINITY), "null");
}

Test(json_writer, puts_commas_where_they_belong)
{
	struct strbuf sb = STRBUF_INIT;
	struct json_writer w;

	json_init(&w, &sb);
	json_object_begin(&w);
	json_key(&w, "a");
	json_array_begin(&w);
	json_uint(&w, 1);
	json_int(&w, -2);
	json_array_begin(&w);
	json_array_end(&w);
	json_object_begin(&w);
	json_object_end(&w);
	json_array_end(&w);
	json_key(&w, "b");
	json_null(&w);
	json_key(&w, "c");
	json_bool(&w, true);
	json_object_end(&w);
	cr_assert_str_eq(strbuf_text(&sb), "{\"a\":[1,-2,[],{}],\"b\":null,\"c\":true}");
	strbuf_fini(&sb);
}

Test(json_writer, the_largest_integers_are_exact)
{
	struct strbuf sb = STRBUF_INIT;
	struct json_writer w;

	json_init(&w, &sb);
	json_array_begin(&w);
	json_uint(&w, UINT64_MAX);
	json_int(&w, INT64_MIN);
	json_array_end(&w);
	cr_assert_str_eq(strbuf_text(&sb), "[18446744073709551615,-9223372036854775808]");
	strbuf_fini(&sb);
}

Test(json_writer, any_bytes_make_a_valid_string)
{
	struct strbuf sb = STRBUF_INIT;
	struct json_writer w;
	char all[256];

	NEED_PYTHON();
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = 0;
	json_init(&w, &sb);
	json_array_begin(&w);
	json_string(&w, all);
	json_string(&w, "\xe2\x82\xac \xf0\x9f\x98\x80 \xed\xa0\x80 \xe2\x82");
	json_string(&w, "\"quoted\"\\\n\t\x1b[2J");
	json_string(&w, NULL);
	json_array_end(&w);
	cr_expect(says(&sb, "d[0][:0x7f] == ''.join(map(chr, range(1, 0x80)))"));
	cr_expect(says(&sb, "d[0] == bytes(range(1, 256)).decode('utf-8', 'replace')"));
	cr_expect(says(&sb, "d[1] == b'\\xe2\\x82\\xac \\xf0\\x9f\\x98\\x80 \\xed\\xa0\\x80 "
			    "\\xe2\\x82'.decode('utf-8', 'replace')"));
	cr_expect(says(&sb, "d[2] == '\"quoted\"\\\\\\n\\t\\x1b[2J' and d[3] is None"));
	for (size_t i = 0; i < sb.len; i++)
		cr_assert_geq((unsigned char)sb.text[i], 0x20, "no raw control character");
	strbuf_fini(&sb);
}

/* ---- the report ------------------------------------------------------------------------------ */

static void report(const struct memtrace_snapshot *snapshot, struct strbuf *out)
{
	struct analysis analysis;

	cr_assert_eq(analysis_init(&analysis, snapshot, NULL), 0);
	cr_assert_eq(json_report(snapshot, &analysis, out), 0);
	analysis_fini(&analysis);
}

/* Two processes, of which the second is attached to and crossed the limit. */
static struct memtrace_snapshot *rich_snapshot(void)
{
	static const struct memtrace_frame path[] = {
		{ .symbol = "cache_fill",
		  .module = "/usr/bin/bench",
		  .offset = 0x1149,
		  .file = "src/bench.c",
		  .line = 42,
		  .inlined = true },
		{ .address = 0x7f001234, .offset = 0x7f001234 },
	};
	struct memtrace_snapshot *s = fixture_new("./bench -n 3");
	struct memtrace_process *p;
	struct memtrace_site *site;

	p = fixture_process(s, 1, 4242, "bench");
	p->exit_status = 5;
	p->allocs = 10;
	p->frees = 7;
	p->reallocs = 2;
	p->alloc_bytes = 1000;
	p->freed_bytes = 700;
	p->live_blocks = 3;
	p->live_bytes = 300;
	p->peak_bytes = 800;
	p->peak_blocks = 6;
	p->peak_at_s = 1.5;
	p->peak_unattributed_bytes = 8;
	p->failed_allocs = 1;
	p->unknown_frees = 4;
	p->inherited_frees = 9;
	p = fixture_process(s, 2, 4243, "worker");
	p->ended_by = MEMTRACE_RUNNING;
	p->followed_after_s = NAN;
	p->since_attach = true;
	p->unknown_frees = MEMTRACE_UNKNOWN;
	p->rss_bytes = 4096;

	site = fixture_site(s, 11, 1, 3, 300, 2.5, 3.5, path, 2);
	site->stack_end = END_BROKEN;
	site = fixture_site(s, 12, 2, 1, 50, 2.5, 3.5, NULL, 0);
	site->aged_blocks = site->aged_bytes = 0;
	site->oldest_age_s = -1;

	s->limit = (struct memtrace_limit){ .bytes = 256, .scope = MEMTRACE_LIMIT_PROCESS };
	cr_assert_not_null(snapshot_add_crossing(s, (struct memtrace_crossing){ 0.5, 1, 0, 290 }));
	cr_assert_not_null(
		snapshot_add_crossing(s, (struct memtrace_crossing){ 0.25, 2, 12, 300 }));
	s->totals = (struct memtrace_totals){
		.allocs = 11,
		.frees = 7,
		.reallocs = 2,
		.alloc_bytes = 1050,
		.freed_bytes = 700,
		.live_blocks = 4,
		.live_bytes = 350,
		.peak_bytes = 850,
		.peak_blocks = 7,
		.peak_at_s = 1.75,
		.failed_allocs = 1,
		.inherited_frees = 9,
		.unknown_frees = MEMTRACE_UNKNOWN,
	};
	s->losses[1].value = 3;
	s->notices[0].value = 2;
	s->stack_quality[0].value = 10;
	s->size_classes[0] = 1;
	s->size_classes[6] = 9;
	s->size_classes[47] = 1;
	return s;
}

#define EXPECT_SAYS(expression) \
	cr_expect(says(&out, expression), "the document does not say: %s", expression)

Test(json_report, has_what_tracing_costs)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	report(s, &out);
	EXPECT_SAYS("set(d['overhead'].values()) == {0, False, None}");
	s->overhead = (struct memtrace_overhead){
		.time_s = 4,
		.calls = 2000000,
		.cost_s = 1,
		.cpu_s = 4,
		.max_percent = 20,
		.ended = true,
		.ended_at_s = 3.5,
		.ended_percent = 33,
	};
	strbuf_clear(&out);
	report(s, &out);
	EXPECT_SAYS("d['overhead'] == {'calls': 2000000, 'calls_per_s': 500000, 'ns_per_call': 500, "
		    "'cost_s': 1, 'cpu_s': 4, 'share': 0.25, 'slowdown': 1.333333333, 'max_percent': 20, "
		    "'ended': True, 'ended_at_s': 3.5, 'ended_percent': 33, 'widened_at_s': None, "
		    "'widened_percent': None}");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, has_every_name_of_the_contract)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	report(s, &out);
	EXPECT_SAYS("set('schema tool target lane estimated duration_s limit totals losses notices "
		    "stack_quality processes sites leaks final interval_s rates overhead "
		    "sampling size_histogram peak forecast'.split()) == set(d)");
	EXPECT_SAYS("set('bytes blocks at_s process share processes sites'.split()) == set(d['peak'])");
	EXPECT_SAYS("set('process bytes blocks at_s unattributed_bytes kept_bytes_max'.split()) "
		    "== set(d['peak']['processes'][0])");
	EXPECT_SAYS("set('site process bytes_at_peak share live_bytes sites'.split()) "
		    "== set(d['peak']['sites'][0])");
	EXPECT_SAYS("d['peak']['process'] is None and d['peak']['share'] is None and d['peak']['bytes'] == 850");
	EXPECT_SAYS("d['peak']['processes'][0] == {'process': 1, 'bytes': 800, 'blocks': 6, "
		    "'at_s': 1.5, 'unattributed_bytes': 8, 'kept_bytes_max': 300}");
	EXPECT_SAYS("d['peak']['processes'][1]['at_s'] is None");
	EXPECT_SAYS("d['peak']['sites'][0] == {'site': 11, 'process': 1, 'bytes_at_peak': 300, "
		    "'share': 0.375, 'live_bytes': 300, 'sites': [11]}");
	EXPECT_SAYS("[s['site'] for s in d['peak']['sites']] == [11, 12]");
	EXPECT_SAYS("d['schema'] == 'memtrace.report/1'");
	EXPECT_SAYS("d['tool'] == {'name': 'memtrace', 'version': '1.2.3'}");
	EXPECT_SAYS("set('allocs frees reallocs alloc_bytes freed_bytes live_blocks live_bytes "
		    "peak_bytes peak_blocks peak_at_s failed_allocs unknown_frees "
		    "inherited_frees'.split()) == set(d['totals'])");
	EXPECT_SAYS("set('id pid ppid comm exe lane ended_by exit_status signal allocs frees "
		    "reallocs alloc_bytes freed_bytes live_blocks live_bytes peak_bytes "
		    "peak_blocks peak_at_s peak_unattributed_bytes failed_allocs unknown_frees "
		    "inherited_frees followed_after_s since_attach rss_bytes estimated "
		    "filter_bytes'.split()) "
		    "== set(d['processes'][0]) == set(d['processes'][1])");
	EXPECT_SAYS("set('bytes scope exceeded exceeded_at_s process site usage_bytes "
		    "crossings'.split()) "
		    "== set(d['limit'])");
	EXPECT_SAYS("set('id process live_blocks live_bytes alloc_blocks alloc_bytes peak_bytes "
		    "bytes_at_peak oldest_age_s ages stack stack_end'.split()) == set(d['sites'][0])");
	EXPECT_SAYS("set('symbol module offset file line inlined'.split()) "
		    "== set(d['sites'][0]['stack'][0])");
	EXPECT_SAYS("set('site process live_blocks live_bytes oldest_age_s youngest_age_s ended "
		    "sites verdict impact reasons shape growth_bytes_per_s growth_bytes_per_s_95 "
		    "grown_bytes kept_share made first_seen_s last_grown_s'.split()) "
		    "== set(d['leaks'][0])");
	EXPECT_SAYS("set('limit_bytes tree processes'.split()) == set(d['forecast'])");
	EXPECT_SAYS(
		"set('allocs_per_s frees_per_s bytes_per_s over_s'.split()) == set(d['rates'])");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, tells_each_figure_under_its_own_name)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	report(s, &out);
	EXPECT_SAYS("d['processes'][0] == {'id': 1, 'pid': 4242, 'ppid': 1, 'comm': 'bench', "
		    "'exe': '/usr/bin/bench', 'lane': 'uprobe', 'ended_by': 'exit', "
		    "'exit_status': 5, 'signal': None, 'allocs': 10, 'frees': 7, 'reallocs': 2, "
		    "'alloc_bytes': 1000, 'freed_bytes': 700, 'live_blocks': 3, "
		    "'live_bytes': 300, 'peak_bytes': 800, 'peak_blocks': 6, 'peak_at_s': 1.5, "
		    "'peak_unattributed_bytes': 8, 'failed_allocs': 1, 'unknown_frees': 4, "
		    "'inherited_frees': 9, 'followed_after_s': 0.0, 'since_attach': False, "
		    "'rss_bytes': None, 'estimated': False, 'filter_bytes': None}");
	EXPECT_SAYS("d['totals'] == {'allocs': 11, 'frees': 7, 'reallocs': 2, 'alloc_bytes': 1050, "
		    "'freed_bytes': 700, 'live_blocks': 4, 'live_bytes': 350, 'peak_bytes': 850, "
		    "'peak_blocks': 7, 'peak_at_s': 1.75, 'failed_allocs': 1, "
		    "'unknown_frees': None, 'inherited_frees': 9}");
	EXPECT_SAYS("d['limit'] == {'bytes': 256, 'scope': 'process', 'exceeded': True, "
		    "'exceeded_at_s': 0.25, 'process': 2, 'site': 12, 'usage_bytes': 300, "
		    "'crossings': [{'at_s': 0.25, 'process': 2, 'site': 12, 'usage_bytes': 300}, "
		    "{'at_s': 0.5, 'process': 1, 'site': None, 'usage_bytes': 290}]}");
	EXPECT_SAYS("d['sites'][0] == {'id': 11, 'process': 1, 'live_blocks': 3, "
		    "'live_bytes': 300, 'alloc_blocks': 3, 'alloc_bytes': 300, "
		    "'peak_bytes': 300, 'bytes_at_peak': 300, 'oldest_age_s': 3.5, 'ages': None, "
		    "'stack': ["
		    "{'symbol': 'cache_fill', 'module': '/usr/bin/bench', 'offset': 0x1149, "
		    "'file': 'src/bench.c', 'line': 42, 'inlined': True}, "
		    "{'symbol': None, 'module': None, 'offset': 0x7f001234, 'file': None, "
		    "'line': None, 'inlined': False}], 'stack_end': 'broken_chain'}");
	EXPECT_SAYS("d['leaks'] == [{'site': 11, 'process': 1, 'live_blocks': 3, "
		    "'live_bytes': 300, 'oldest_age_s': 3.5, 'youngest_age_s': 2.5, "
		    "'ended': True, 'sites': [11], 'verdict': 'steady', 'impact': None, "
		    "'reasons': ['how it grew is not known', 'made throughout the time'], "
		    "'shape': None, 'growth_bytes_per_s': None, 'growth_bytes_per_s_95': None, "
		    "'grown_bytes': None, 'kept_share': None, 'made': 'throughout', "
		    "'first_seen_s': 8.75, 'last_grown_s': 9.75}]");
	EXPECT_SAYS("d['forecast'] == {'limit_bytes': 256, 'tree': None, 'processes': []}");
	EXPECT_SAYS("d['sampling'] is None");
	EXPECT_SAYS("d['losses'] == {'table_full': 0, 'probe_missed': 3, 'total': 3}");
	EXPECT_SAYS("d['notices'] == {'stale_entries': 2}");
	EXPECT_SAYS("d['stack_quality'] == {'complete': 10, 'broken_chain': 0, 'not_recorded': 0}");
	EXPECT_SAYS("d['size_histogram'] == [{'min_bytes': 0, 'max_bytes': 1, 'allocs': 1}, "
		    "{'min_bytes': 64, 'max_bytes': 127, 'allocs': 9}, "
		    "{'min_bytes': 2**47, 'max_bytes': None, 'allocs': 1}]");
	EXPECT_SAYS("(d['target'], d['lane'], d['estimated'], d['final'], d['duration_s']) "
		    "== ('./bench -n 3', 'uprobe', False, True, 12.5)");
	EXPECT_SAYS("d['rates'] == {'allocs_per_s': 0.88, 'frees_per_s': 0.56, "
		    "'bytes_per_s': 84.0, 'over_s': 12.5}");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

/* The first process of rich_snapshot() is from a sample, the second is not. */
static struct memtrace_snapshot *estimated_snapshot(void)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct memtrace_estimates *process = fixture_estimates(s), *site = fixture_estimates(s);
	struct memtrace_process *p = &s->processes[0];

	s->estimated = true;
	s->sampling = MEMTRACE_SAMPLING_BYTES;
	s->sample_bytes = 4096;
	s->sampled_blocks = 7;
	process->alloc_blocks = (struct memtrace_estimate){ .low = 8, .high = 12 };
	process->freed_blocks = (struct memtrace_estimate){ .low = 5, .high = 9 };
	process->alloc_bytes = (struct memtrace_estimate){ .low = 900, .high = 1100 };
	process->freed_bytes = (struct memtrace_estimate){ .low = 600, .high = 800 };
	process->live_blocks = (struct memtrace_estimate){ .low = 2, .high = 4 };
	process->live_bytes = (struct memtrace_estimate){ .low = 200,
							  .high = MEMTRACE_UNBOUNDED };
	site->alloc_blocks = site->live_blocks = (struct memtrace_estimate){ .low = 1, .high = 5 };
	site->alloc_bytes = site->live_bytes = (struct memtrace_estimate){ .low = 100, .high = 500 };
	site->aged_blocks = (struct memtrace_estimate){ .variance = 0, .seen = 3 };
	site->aged_bytes = (struct memtrace_estimate){ .variance = 2500, .seen = 100 };
	p->estimates = s->totals.estimates = process;
	p->reallocs = p->inherited_frees = p->unknown_frees = MEMTRACE_UNKNOWN;
	p->filter_bytes = 16384;
	s->sites[0].estimates = site;
	return s;
}

Test(json_report, says_how_far_estimates_may_be_off)
{
	struct memtrace_snapshot *s = estimated_snapshot();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	report(s, &out);
	EXPECT_SAYS("d['estimated'] is True");
	EXPECT_SAYS("d['sampling'] == {'sample_bytes': 4096, 'sampling_rate': None, "
		    "'sampled_blocks_min': 7}");
	EXPECT_SAYS("{k: v for k, v in d['processes'][0].items() if k.endswith('_95')} == "
		    "{'allocs_95': [8, 12], 'frees_95': [5, 9], 'alloc_bytes_95': [900, 1100], "
		    "'freed_bytes_95': [600, 800], 'live_blocks_95': [2, 4], "
		    "'live_bytes_95': [200, None]} == "
		    "{k: v for k, v in d['totals'].items() if k.endswith('_95')}");
	EXPECT_SAYS("{k: v for k, v in d['sites'][0].items() if k.endswith('_95')} == "
		    "{'live_blocks_95': [1, 5], 'live_bytes_95': [100, 500], "
		    "'alloc_blocks_95': [1, 5], 'alloc_bytes_95': [100, 500]}");
	/* 300 +- 2 * 50, and a little more above */
	EXPECT_SAYS("d['leaks'][0]['live_blocks_95'] == [3, 3]");
	EXPECT_SAYS("200 <= d['leaks'][0]['live_bytes_95'][0] <= 225");
	EXPECT_SAYS("400 <= d['leaks'][0]['live_bytes_95'][1] <= 425");
	EXPECT_SAYS("(d['processes'][0]['estimated'], d['processes'][0]['filter_bytes'], "
		    "d['processes'][0]['reallocs'], d['processes'][0]['unknown_frees'], "
		    "d['processes'][0]['inherited_frees']) == (True, 16384, None, None, None)");
	EXPECT_SAYS("d['processes'][1]['estimated'] is False");
	EXPECT_SAYS("not any(k.endswith('_95') for k in list(d['processes'][1]) + "
		    "list(d['sites'][1]))");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, counts_are_integers_and_times_are_decimal)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	s->duration_s = 12;
	report(s, &out);
	EXPECT_SAYS("type(d['duration_s']) is float");
	EXPECT_SAYS("all(type(v) is float for k, v in d['processes'][0].items() "
		    "if k.endswith('_s'))");
	EXPECT_SAYS("all(type(v) is int for k, v in d['totals'].items() "
		    "if not k.endswith('_s') and v is not None)");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, what_is_unknown_is_null)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct memtrace_process *never = fixture_process(s, 3, 4244, NULL);
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	never->followed_after_s = -1;
	never->exe = NULL;
	never->ended_by = MEMTRACE_ENDED_SIGNAL;
	never->signal = 9;
	never->failed_allocs = MEMTRACE_UNKNOWN;
	report(s, &out);
	EXPECT_SAYS("d['processes'][1]['followed_after_s'] is None");
	EXPECT_SAYS("d['processes'][1]['since_attach'] is True");
	EXPECT_SAYS("d['processes'][1]['unknown_frees'] is None");
	EXPECT_SAYS("d['processes'][1]['ended_by'] is None");
	EXPECT_SAYS("d['processes'][1]['exit_status'] is None");
	EXPECT_SAYS("d['processes'][1]['peak_at_s'] is None");
	EXPECT_SAYS("d['processes'][1]['rss_bytes'] == 4096");
	EXPECT_SAYS("d['processes'][2]['followed_after_s'] is None");
	EXPECT_SAYS("d['processes'][2]['comm'] is None and d['processes'][2]['exe'] is None");
	EXPECT_SAYS(
		"d['processes'][2]['ended_by'] == 'signal' and d['processes'][2]['signal'] == 9");
	EXPECT_SAYS("d['processes'][2]['exit_status'] is None");
	EXPECT_SAYS("d['processes'][2]['failed_allocs'] is None");
	EXPECT_SAYS("d['sites'][1]['oldest_age_s'] is None and d['sites'][1]['stack'] == []");
	EXPECT_SAYS("d['interval_s'] is None");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, a_limit_that_held_names_no_one)
{
	struct memtrace_snapshot *s = fixture_new("x");
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	s->limit.bytes = 250 << 20;
	report(s, &out);
	EXPECT_SAYS("d['limit'] == {'bytes': 250 << 20, 'scope': 'tree', 'exceeded': False, "
		    "'exceeded_at_s': None, 'process': None, 'site': None, 'usage_bytes': None, "
		    "'crossings': []}");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, of_an_empty_snapshot_is_whole)
{
	struct memtrace_snapshot *s = snapshot_new();
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	report(s, &out);
	EXPECT_SAYS("d['processes'] == d['sites'] == d['leaks'] == d['size_histogram'] == []");
	EXPECT_SAYS("d['losses'] == {'total': 0} and d['limit']['bytes'] is None");
	EXPECT_SAYS("d['target'] is None and d['tool']['version'] is None");
	EXPECT_SAYS("d['final'] is False and d['rates']['allocs_per_s'] is None");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, is_one_line)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct strbuf out = STRBUF_INIT;

	s->target = "sh -c 'a\nb'";
	report(s, &out);
	cr_assert_eq(strchr(strbuf_text(&out), '\n'), out.text + out.len - 1);
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, of_ten_thousand_sites_is_whole)
{
	struct memtrace_snapshot *s = fixture_new("x");
	struct strbuf out = STRBUF_INIT;

	NEED_PYTHON();
	for (uint64_t id = 1; id <= 10000; id++) {
		struct memtrace_frame own = { .offset = id, .symbol = "f" };

		fixture_site(s, id, 1, 1, id, 1, 10, &own, 1);
	}
	report(s, &out);
	EXPECT_SAYS("[x['id'] for x in d['sites']] == list(range(1, 10001))");
	EXPECT_SAYS("[x['site'] for x in d['leaks']] == list(range(10000, 0, -1))");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(json_report, that_ran_out_of_memory_says_so)
{
	struct memtrace_snapshot *s = rich_snapshot();
	struct analysis analysis;

	cr_assert_eq(analysis_init(&analysis, s, NULL), 0);
	for (size_t bound = 1; bound < 2000; bound += 37) {
		struct strbuf out = { .max_len = bound };

		cr_assert_eq(json_report(s, &analysis, &out), -ENOMEM);
		cr_assert_leq(out.len, bound);
		strbuf_fini(&out);
	}
	analysis_fini(&analysis);
	memtrace_snapshot_free(s);
}
