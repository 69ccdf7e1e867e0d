/* SPDX-License-Identifier: MIT */
/*
 * Whole reports, as people and programs see them: tests/golden/NAME.txt and NAME.json.
 *
 * MEMTRACE_GOLDEN_UPDATE=1 rewrites the files; what changed is then read in the diff.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/json.h"
#include "output/text.h"
#include "snapshot_fixture.h"

static void golden_path(char *to, size_t size, const char *name, const char *ending)
{
	snprintf(to, size, "%s/golden/%s.%s", TESTS_DIR, name, ending);
}

static void update(const char *file_path, const struct strbuf *got)
{
	FILE *file = fopen(file_path, "w");

	cr_assert(file, "cannot write %s", file_path);
	cr_assert_eq(fwrite(strbuf_text(got), 1, got->len, file), got->len);
	cr_assert_eq(fclose(file), 0);
}

static void compare(const char *name, const char *ending, const struct strbuf *got)
{
	struct strbuf expected = STRBUF_INIT;
	char file_path[4096], piece[4096];
	size_t n;
	FILE *file;

	golden_path(file_path, sizeof(file_path), name, ending);
	if (getenv("MEMTRACE_GOLDEN_UPDATE"))
		update(file_path, got);
	file = fopen(file_path, "r");
	cr_assert(file, "no %s (MEMTRACE_GOLDEN_UPDATE=1 makes it)", file_path);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		strbuf_add(&expected, piece, n);
	fclose(file);
	cr_expect_str_eq(strbuf_text(got), strbuf_text(&expected), "%s: expected\n%s\ngot\n%s",
			 file_path, strbuf_text(&expected), strbuf_text(got));
	strbuf_fini(&expected);
}

/* Compares both reports and ends the snapshot. */
static void check_with(struct memtrace_snapshot *s, const struct analysis_params *params,
		       const char *name, const struct text_options *options)
{
	struct strbuf out = STRBUF_INIT;
	struct analysis analysis;

	cr_assert_eq(analysis_init(&analysis, s, params), 0);
	cr_assert_eq(text_report(s, &analysis, options, &out), 0);
	compare(name, "txt", &out);
	strbuf_clear(&out);
	cr_assert_eq(json_report(s, &analysis, &out), 0);
	compare(name, "json", &out);
	analysis_fini(&analysis);
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

static void check(struct memtrace_snapshot *s, const char *name, const struct text_options *options)
{
	check_with(s, NULL, name, options);
}

#define BENCH "/usr/local/bin/bench"
#define LIBC "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define LIBSTDCXX "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
#define SOURCE "/home/ada/bench/src/bench.cc"

static const struct memtrace_frame cache_path[] = {
	{ .symbol = "Cache::fill(unsigned long)",
	  .module = BENCH,
	  .offset = 0x1149,
	  .file = SOURCE,
	  .line = 42,
	  .inlined = true },
	{ .symbol = "Cache::warm()",
	  .module = BENCH,
	  .offset = 0x1149,
	  .file = SOURCE,
	  .line = 57 },
	{ .symbol = "main", .module = BENCH, .offset = 0x12d0, .file = SOURCE, .line = 91 },
	{ .symbol = "__libc_start_call_main", .module = LIBC, .offset = 0x27249 },
	{ .symbol = "__libc_start_main", .module = LIBC, .offset = 0x27305 },
	{ .symbol = "_start", .module = BENCH, .offset = 0x1051 },
};

static const struct memtrace_frame names_path[] = {
	{ .symbol = "std::vector<std::__cxx11::basic_string<char>, std::allocator<std::__cxx11::"
		    "basic_string<char> > >::_M_realloc_insert<std::__cxx11::basic_string<char> >",
	  .module = BENCH,
	  .offset = 0x1e20,
	  .file = "/usr/include/c++/12/bits/vector.tcc",
	  .line = 440 },
	{ .symbol = "read_names", .module = BENCH, .offset = 0x1f00, .file = SOURCE, .line = 23 },
	{ .module = LIBSTDCXX, .offset = 0xd44a3 },
};

Test(golden, a_launched_program_that_leaks)
{
	struct memtrace_snapshot *s = fixture_new("./bench -n 3");
	struct memtrace_process *p = fixture_process(s, 1, 4242, "bench");

	p->exe = BENCH;
	p->ppid = 4240;
	p->allocs = 1234567;
	p->frees = 1234433;
	p->reallocs = 812;
	p->alloc_bytes = 987654321;
	p->freed_bytes = 982402561;
	p->live_blocks = 134;
	p->live_bytes = 5251760;
	p->peak_bytes = 241172480;
	p->peak_blocks = 10231;
	p->peak_at_s = 11.9;
	p->peak_unattributed_bytes = 4096;
	s->totals = (struct memtrace_totals){
		.allocs = p->allocs,
		.frees = p->frees,
		.reallocs = p->reallocs,
		.alloc_bytes = p->alloc_bytes,
		.freed_bytes = p->freed_bytes,
		.live_blocks = p->live_blocks,
		.live_bytes = p->live_bytes,
		.peak_bytes = p->peak_bytes,
		.peak_blocks = p->peak_blocks,
		.peak_at_s = p->peak_at_s,
		.unknown_frees = 1,
	};
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20,
					    .now_bytes = p->live_bytes,
					    .peak_bytes = p->peak_bytes };
	fixture_site(s, 1, 1, 34, 8880, 0.5, 11.75, names_path, 3)->stack_end = END_BROKEN;
	fixture_site(s, 2, 1, 100, 5242880, 2.95, 12.1, cache_path, 6)->bytes_at_peak = 38797312;
	fixture_site(s, 3, 1, 0, 0, -1, -1, cache_path + 2, 4)->bytes_at_peak = 202362192;
	s->overhead = (struct memtrace_overhead){ .time_s = 12.5,
						  .calls = 2468188,
						  .cost_s = 1.25,
						  .cpu_s = 7.5,
						  .wait_s = 5,
						  .max_percent = 10,
						  .ended = true,
						  .ended_at_s = 12.4,
						  .ended_percent = 19 };
	s->stack_quality[0].value = 1300;
	s->stack_quality[1].value = 12;
	s->size_classes[4] = 1234467;
	s->size_classes[15] = 100;
	check(s, "launched-leaks", &(struct text_options){ .width = 80, .top = 10 });
}

Test(golden, a_tree_that_crossed_its_limit)
{
	struct memtrace_snapshot *s = fixture_new("./build.sh");
	struct memtrace_process *p = fixture_process(s, 1, 700, "sh");

	p->exe = "/usr/bin/dash";
	p->ended_by = MEMTRACE_ENDED_EXEC;
	p->allocs = p->frees = 12;
	p->alloc_bytes = p->freed_bytes = p->peak_bytes = 900;
	p->peak_blocks = 12;
	p = fixture_process(s, 2, 700, "build.sh");
	p->exe = "/usr/bin/bash";
	p->exit_status = 137;
	p->allocs = 2000;
	p->frees = 1990;
	p->live_blocks = 10;
	p->live_bytes = 1 << 20;
	p->alloc_bytes = 3 << 20;
	p->freed_bytes = 2 << 20;
	p->peak_bytes = 2 << 20;
	p->peak_blocks = 800;
	p->peak_at_s = 0.2;
	p->inherited_frees = 4;
	p = fixture_process(s, 3, 701, "bench");
	p->exe = BENCH;
	p->ppid = 700;
	p->ended_by = MEMTRACE_ENDED_SIGNAL;
	p->signal = 9;
	p->allocs = p->live_blocks = p->peak_blocks = 51;
	p->alloc_bytes = p->live_bytes = p->peak_bytes = 267386880;
	p->peak_at_s = 2.25;
	s->duration_s = 2.3;
	s->totals = (struct memtrace_totals){
		.allocs = 2063,
		.frees = 2002,
		.alloc_bytes = 270533508,
		.freed_bytes = 2098052,
		.live_blocks = 61,
		.live_bytes = 268435456,
		.peak_bytes = 268435456,
		.peak_blocks = 61,
		.peak_at_s = 2.25,
		.inherited_frees = 4,
	};
	fixture_site(s, 5, 3, 51, 267386880, 0.05, 1.8, cache_path, 6);
	fixture_site(s, 6, 2, 10, 1 << 20, 2.1, 2.2, names_path + 2, 1)->bytes_at_peak = 2 << 20;
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20, .peak_bytes = 268435456 };
	cr_assert_not_null(
		snapshot_add_crossing(s, (struct memtrace_crossing){ 2.25, 3, 5, 268435456 }));
	s->stack_quality[0].value = 40;
	check(s, "tree-limit", &(struct text_options){ .width = 100, .top = 10 });
}

Test(golden, an_attached_server_that_goes_on)
{
	struct memtrace_snapshot *s = fixture_new("pid 812");
	struct memtrace_process *p = fixture_process(s, 1, 812, "redis-server");
	struct memtrace_site *site;

	p->exe = "/usr/bin/redis-server";
	p->ended_by = MEMTRACE_RUNNING;
	p->ended_s = -1;
	p->since_attach = true;
	p->followed_after_s = NAN;
	p->rss_bytes = 84213760;
	p->allocs = 60000;
	p->frees = 58000;
	p->alloc_bytes = 6000000;
	p->freed_bytes = 5800000;
	p->live_blocks = 2000;
	p->live_bytes = 200000;
	p->peak_bytes = 260000;
	p->peak_blocks = 2500;
	p->peak_at_s = 190;
	p->unknown_frees = 310;
	s->final = false;
	s->duration_s = 200;
	s->interval_s = 5;
	s->alloc_rate = 301.4;
	s->free_rate = 289.6;
	s->alloc_bytes_rate = 30140;
	s->totals = (struct memtrace_totals){
		.allocs = p->allocs,
		.frees = p->frees,
		.alloc_bytes = p->alloc_bytes,
		.freed_bytes = p->freed_bytes,
		.live_blocks = p->live_blocks,
		.live_bytes = p->live_bytes,
		.peak_bytes = p->peak_bytes,
		.peak_blocks = p->peak_blocks,
		.peak_at_s = p->peak_at_s,
		.unknown_frees = 310,
	};
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20,
					    .now_bytes = p->live_bytes,
					    .peak_bytes = p->peak_bytes };
	site = fixture_site(s, 1, 1, 2000, 200000, 0.01, 199, names_path, 3);
	site->aged_blocks = 120;
	site->aged_bytes = 12000;
	site->aged_youngest_s = 10.4;
	site->bytes_at_peak = p->peak_bytes;
	s->notices[0].value = 2;
	s->stack_quality[0].value = 80;
	check(s, "attached-live", &(struct text_options){ .width = 80, .top = 10 });
}

Test(golden, a_report_with_losses_in_colour)
{
	struct memtrace_snapshot *s = fixture_new("all processes");

	fixture_process(s, 1, 1, "init")->allocs = 10;
	fixture_process(s, 2, 2, "late")->followed_after_s = 0.012;
	s->totals.allocs = s->totals.frees = 10;
	s->totals.alloc_bytes = s->totals.freed_bytes = s->totals.peak_bytes = 100;
	s->totals.peak_blocks = 10;
	s->limit = (struct memtrace_limit){
		.bytes = 1000, .scope = MEMTRACE_LIMIT_PROCESS, .now_bytes = 850, .peak_bytes = 850
	};
	s->losses[0].value = 3;
	check(s, "losses-colour", &(struct text_options){ .width = 80, .color = true });
}

Test(golden, a_program_that_frees_all)
{
	struct memtrace_snapshot *s = fixture_new("/bin/true");
	struct memtrace_process *p = fixture_process(s, 1, 99, "true");

	s->duration_s = 0.005;
	p->allocs = p->frees = 2;
	p->alloc_bytes = p->freed_bytes = p->peak_bytes = 1064;
	p->peak_blocks = 2;
	p->peak_at_s = 0.00125;
	s->totals = (struct memtrace_totals){ .allocs = 2,
					      .frees = 2,
					      .alloc_bytes = 1064,
					      .freed_bytes = 1064,
					      .peak_bytes = 1064,
					      .peak_blocks = 2,
					      .peak_at_s = 0.00125 };
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20, .peak_bytes = 1064 };
	s->stack_quality[0].value = 2;
	check(s, "clean", NULL);
}

static struct memtrace_estimate between(uint64_t low, uint64_t high)
{
	return (struct memtrace_estimate){ .low = low, .high = high };
}

Test(golden, a_sampled_tree_with_a_static_child)
{
	struct memtrace_snapshot *s = fixture_new("./bench -n 3");
	struct memtrace_estimates *all = fixture_estimates(s), *leak = fixture_estimates(s);
	struct memtrace_process *p = fixture_process(s, 1, 4242, "bench");

	s->lane = p->lane = "preload";
	s->estimated = true;
	s->sampling = MEMTRACE_SAMPLING_BYTES;
	s->sample_bytes = 524288;
	s->sampled_blocks = 1884;
	p->exe = BENCH;
	p->ppid = 4240;
	p->allocs = 1231000;
	p->frees = 1230900;
	p->alloc_bytes = 987600000;
	p->freed_bytes = 982000000;
	p->live_blocks = 100;
	p->live_bytes = 5600000;
	p->peak_bytes = 270000000;
	p->peak_blocks = 10231;
	p->peak_at_s = 11.9;
	p->reallocs = p->inherited_frees = p->unknown_frees = MEMTRACE_UNKNOWN;
	all->alloc_blocks = between(1170000, 1295000);
	all->freed_blocks = between(1169000, 1294000);
	all->alloc_bytes = between(945000000, 1030000000);
	all->freed_bytes = between(940000000, 1025000000);
	all->live_blocks = between(42, 260);
	all->live_bytes = between(3500000, 11200000);
	p->estimates = all;
	p = fixture_process(s, 2, 4250, "busybox");
	p->exe = "/bin/busybox";
	p->ppid = 4242;
	p->allocs = p->frees = 20;
	p->alloc_bytes = p->freed_bytes = p->peak_bytes = 4000;
	p->reallocs = 1;
	s->totals = (struct memtrace_totals){
		.allocs = 1231020,
		.frees = 1230920,
		.reallocs = MEMTRACE_UNKNOWN,
		.alloc_bytes = 987604000,
		.freed_bytes = 982004000,
		.live_blocks = 100,
		.live_bytes = 5600000,
		.peak_bytes = 270000000,
		.peak_blocks = MEMTRACE_UNKNOWN,
		.peak_at_s = 11.9,
		.inherited_frees = MEMTRACE_UNKNOWN,
		.unknown_frees = MEMTRACE_UNKNOWN,
		.estimates = all,
	};
	fixture_site(s, 1, 1, 100, 5600000, 2.95, 12.1, cache_path, 6)->estimates = leak;
	leak->alloc_blocks = leak->live_blocks = between(42, 240);
	leak->alloc_bytes = leak->live_bytes = between(3500000, 9200000);
	leak->aged_blocks = (struct memtrace_estimate){ .variance = 2500, .seen = 9 };
	leak->aged_bytes = (struct memtrace_estimate){ .variance = 2.2e12, .seen = 700000 };
	s->limit = (struct memtrace_limit){ .bytes = 250 << 20, .peak_bytes = 270000000 };
	cr_assert_not_null(
		snapshot_add_crossing(s, (struct memtrace_crossing){ 11.5, 1, 1, 262400000 }));
	s->stack_quality[0].value = 1231020;
	s->size_classes[9] = 1231000;
	s->size_classes[4] = 20;
	check(s, "sampled", &(struct text_options){ .width = 80, .top = 10 });
}

/* A server after t_s seconds: it loses 4 KiB a second at one place, has filled a cache, and keeps what
 * it made at its start. */
static struct memtrace_snapshot *server_at(double t_s)
{
	static struct memtrace_ages leaked, cached;
	uint64_t seconds = (uint64_t)t_s, fill = seconds < 40 ? seconds : 40;
	uint64_t sites[] = { seconds * 4096, fill * 51200, seconds ? 1 << 20 : 0 };
	struct memtrace_snapshot *s = fixture_new("./server");
	struct memtrace_process *p = fixture_process(s, 1, 77, "server");
	struct memtrace_site *site;

	s->final = false;
	s->duration_s = t_s;
	s->interval_s = s->min_age_s = 1;
	p->ended_by = MEMTRACE_RUNNING;
	p->ended_s = -1;
	p->live_bytes = sites[0] + sites[1] + sites[2];
	p->alloc_bytes = p->peak_bytes = s->totals.live_bytes = s->totals.peak_bytes = p->live_bytes;
	s->totals.alloc_bytes = p->live_bytes;
	p->allocs = p->live_blocks = s->totals.allocs = s->totals.live_blocks = seconds + fill + 1;
	p->peak_blocks = p->allocs;
	p->peak_at_s = s->totals.peak_at_s = t_s;
	s->totals.peak_blocks = (int64_t)p->allocs;
	s->alloc_rate = 1;
	s->free_rate = 0;
	s->alloc_bytes_rate = 4096;
	s->limit = (struct memtrace_limit){ .bytes = 8 << 20,
					    .tree_cnt = 1,
					    .now_bytes = p->live_bytes,
					    .peak_bytes = p->live_bytes };
	leaked.blocks[10] = 8; /* 8 s to 16 s, 16 s to 32 s, and older */
	leaked.bytes[10] = 8 * 4096;
	leaked.blocks[11] = 16;
	leaked.bytes[11] = 16 * 4096;
	leaked.blocks[12] = seconds > 32 ? seconds - 32 : 0;
	leaked.bytes[12] = leaked.blocks[12] * 4096;
	cached.blocks[12] = fill;
	cached.bytes[12] = sites[1];
	site = fixture_site(s, 1, 1, seconds, sites[0], 1, t_s, cache_path + 1, 5);
	site->ages = &leaked;
	site = fixture_site(s, 2, 1, fill, sites[1], t_s - 40, t_s, names_path, 3);
	site->ages = &cached;
	fixture_site(s, 3, 1, 1, sites[2], t_s, t_s, names_path + 1, 2);
	return s;
}

Test(golden, a_server_that_leaks_beside_a_cache_and_what_it_needs)
{
	struct series *series = series_new(0);
	struct analysis_params params = { .leaks = { .min_leak_bytes = 1024, .series = series } };
	struct memtrace_snapshot *s = NULL;

	cr_assert(series);
	for (int t_s = 0; t_s <= 60; t_s++) {
		memtrace_snapshot_free(s);
		s = server_at(t_s);
		cr_assert_eq(series_append(series, s), 0);
	}
	check_with(s, &params, "leaking-server", &(struct text_options){ .width = 80, .top = 10 });
	series_destroy(series);
}

Test(golden, nothing_at_all)
{
	check(snapshot_new(), "empty", NULL);
}
