// SPDX-License-Identifier: MIT
/*
 * test_unwind.c - stacks of stock programs, and of stacks of every shape, against what the C++
 * runtime's unwinder sees inside the same processes, at the same allocations.
 */
#include "servers.h"
#include "witness.h"

#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"

SUITE(unwind_truth);

/* ---- stock programs ---------------------------------------------------------------------------- */

Test(unwind_truth, sqlite3)
{
	need("sqlite3");
	expect_witnessed(
		"sqlite3",
		LIST("sqlite3", "-batch", "-init", "/dev/null", ":memory:",
		     "create table t(a integer primary key, b text);"
		     "with recursive n(i) as (select 1 union all select i + 1 from n where i < "
		     "2000) "
		     "insert into t select i, printf('%040d', i) from n;"
		     "create index x on t(b);"
		     "select count(*), sum(length(b)) from t group by a % 7 order by 2;"
		     "delete from t where a % 3 = 0; select max(b) from t;"
		     "create view v as select a, upper(b) c from t;"
		     "create trigger g after insert on t begin "
		     "update t set b = 'x' where a = new.a; end;"
		     "insert into t values(99999, 'q'); select * from v where c = 'X';"
		     "alter table t add column z; vacuum; pragma integrity_check;"
		     "select * from t p join t q on p.b = q.b where p.a like '1%' limit 3;"),
		NULL, 500);
}

#define PYTHON_WORK                                                                   \
	"import json, re\n"                                                           \
	"d = {i: str(i) * 3 for i in range(%d)}\n"                                    \
	"print(len(json.dumps(d)), len(re.findall('1+', ''.join(sorted(d.values())))))"

Test(unwind_truth, python3)
{
	if (!find_program("python3"))
		need("python3");
	expect_witnessed("python3",
			 LIST("/usr/bin/python3", "-S", "-s", "-c", text_of(PYTHON_WORK, 3000)), NULL,
			 500);
}

Test(unwind_truth, python3_without_its_own_pools)
{
	need("python3");
	expect_witnessed("python3 (malloc)",
			 LIST("/usr/bin/python3", "-S", "-s", "-c", text_of(PYTHON_WORK, 300)),
			 LIST("PYTHONMALLOC=malloc"), 1000);
}

Test(unwind_truth, perl)
{
	need("perl");
	expect_witnessed("perl",
			 LIST("perl", "-e",
			      "use POSIX; use List::Util qw(sum); my %h;"
			      "$h{$_ % 700} .= 'x' x ($_ % 30) for 1..5000;"
			      "my $s = join ',', sort { $a <=> $b } keys %h;"
			      "$s =~ s/(1+)/length($1)/ge;"
			      "eval 'sub f { my $n = shift; $n < 2 ? 1 : $n * f($n - 1) } f(20)';"
			      "eval { die { a => 1 } }; print sum(1..10), floor(1.5), $s;"),
			 NULL, 1000);
}

Test(unwind_truth, git)
{
	const char *dir = stage_path("repository");
	struct child *child;

	need("git");
	run(&(struct start){
		    .argv = LIST("sh", "-ec",
				 "git init -q \"$0\"; cd \"$0\"; for i in 1 2 3 4 5 6; do\n"
				 "seq $i 100 > file$i; seq $((i * i)) 60 > file; git add .\n"
				 "git commit -qm \"change $i\"; done; git tag -am tag tag",
				 dir),
		    .env = LIST("GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent", "GIT_AUTHOR_NAME=a",
				"GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a",
				"GIT_COMMITTER_EMAIL=a@example.org") },
	    &child);
	expect_exit(child, 0);
	expect_witnessed("git",
			 LIST("git", "-C", dir, "--no-pager", "log", "-p", "--stat", "--graph",
			      "--decorate", "--find-copies-harder"),
			 LIST("GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent"), 200);
}

Test(unwind_truth, the_compiler)
{
	need("gcc");
	expect_witnessed("gcc",
			 LIST("gcc", "-O2", "-g", "-c", "-o", stage_path("deep.o"),
			      TESTS_DIR "/targets/deep.c"),
			 LIST(text_of("TMPDIR=%s", stage_path(""))), 1000);
}

Test(unwind_truth, a_rust_program)
{
	need("rg");
	expect_witnessed("ripgrep", LIST("rg", "-n", "-i", "stack|unwind", TESTS_DIR), NULL, 500);
}

Test(unwind_truth, a_redis_server)
{
	const char *socket = stage_path("redis.sock"), *last = NULL;
	struct pipe_pair out = pipe_new();
	struct witnessed w;
	struct child *load;

	need("redis-server");
	need("redis-cli");
	witnessed_start(&w, "preload", "redis-server",
			LIST("redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
			     "--appendonly", "no", "--dir", stage_path("")),
			NULL, out.out);
	pipe_close(&out.out);
	pipe_wait_line(out.in, "eady to accept connections");
	run(&(struct start){
		    .argv = LIST("redis-cli", "-s", socket, "eval",
				 "for i = 1, 300 do redis.call('set', 'k' .. i, i)\n"
				 "redis.call('lpush', 'l', i) redis.call('zadd', 'z', i, 'm' .. i)\n"
				 "redis.call('hset', 'h', i, string.rep('x', i))\n"
				 "redis.call('sadd', 's', i) redis.call('append', 'a', i) end\n"
				 "return redis.call('sort', 's', 'desc')",
				 "0") },
	    &load);
	expect_exit(load, 0);
	last = file_text(load->out);
	cr_expect_eq(atoi(last), 300, "redis says: %s", last);
	run(&(struct start){ .argv = LIST("redis-cli", "-s", socket, "shutdown", "nosave") }, NULL);
	witnessed_finish(&w, NULL);
	cr_expect_geq(w.stacks, 200, "%zu stacks", w.stacks);
	cr_expect_geq(w.complete, 99.5, "%.3f %% complete", w.complete);
}

Test(unwind_truth, an_nginx_server)
{
	const char *socket = stage_path("nginx.sock"), *config = nginx_config(socket);
	int watch = stage_watch();
	struct witnessed w;

	need("nginx");
	witnessed_start(&w, "preload", "nginx",
			LIST("nginx", "-p", stage_path(""), "-c", config, "-e", "stderr"), NULL, 0);
	wait_for_file(watch, "nginx.pid");
	for (int i = 0; i < 50; i++)
		http_request(socket);
	kill(atoi(file_text(stage_path("nginx.pid"))), SIGQUIT);
	witnessed_finish(&w, NULL);
	cr_expect_geq(w.stacks, 100, "%zu stacks", w.stacks);
	cr_expect_geq(w.complete, 99.5, "%.3f %% complete", w.complete);
}

/* ---- C++, threads ---------------------------------------------------------------------------------- */

Test(unwind_truth, exceptions_that_leave_functions)
{
	expect_witnessed("cxx_throw", LIST(target_path("cxx_throw")), NULL, 10);
}

Test(unwind_truth, frames_of_optimised_cxx)
{
	expect_witnessed("omit_fp", LIST(target_path("omit_fp"), "30"), NULL, 3);
}

Test(unwind_truth, containers)
{
	expect_witnessed("cxx_containers", LIST(target_path("cxx_containers")), NULL, 3);
}

Test(unwind_truth, threads_at_once)
{
	expect_witnessed("threads", LIST(target_path("threads")), NULL, 2);
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

static void expect_shape(const char *shape, size_t stacks_min)
{
	expect_witnessed(shape, LIST(target_path("stack_shapes"), shape), NULL, stacks_min);
}

Test(unwind_truth, frames_smaller_and_larger_than_the_window_and_of_megabytes)
{
	expect_shape("sizes", 12);
}

Test(unwind_truth, realigned_frames_frames_of_run_time_size_and_tail_calls)
{
	expect_shape("forms", 19);
}

Test(unwind_truth, stacks_of_contexts_and_threads)
{
	expect_shape("stacks", 25);
}

Test(unwind_truth, signals_in_functions_at_their_first_instruction_and_on_a_stack_of_their_own)
{
	expect_shape("signals", 5);
}

/* 127 frames are kept, and one of them is the witness's: 160 depths of recursion, each a stack of its
 * own, are the same from the 127th on. */
Test(unwind_truth, recursion_deeper_than_the_limit_is_cut_there_and_says_so)
{
	struct witnessed w;

	witnessed_start(&w, "uprobe", "depths", LIST(target_path("stack_shapes"), "depths"), NULL, 0);
	witnessed_finish(&w, NULL);
	cr_expect_lt(w.complete, 99.5);
	cr_expect_gt(w.stacks, 100);
	cr_expect_eq(w.equal, w.stacks);
}

/*
 * A signal at every instruction of printf, qsort and others: prologues, epilogues, the PLT, symbols
 * that are looked up lazily. Two places keep the frame's address in a register no row can name: the
 * loader's way into that look-up (rbx), and the first instructions of a realigned function (r10).
 */
Test(unwind_truth, a_signal_at_every_instruction)
{
	struct witnessed w;

	witnessed_start(&w, "uprobe", "stepped", LIST(target_path("stack_shapes"), "stepped"), NULL, 0);
	witnessed_finish(&w, LIST("_dl_runtime_resolve", "no_allocation"));
	cr_expect_geq(w.stacks, 1000);
	cr_expect_eq(w.equal + w.cut, w.stacks);
	cr_expect_geq(w.equal, 1000);
}

/* ---- return probes of others -------------------------------------------------------------------------
 */

SUITE(return_probes);

static int number_in(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	int number = -1;

	if (file) {
		if (fscanf(file, format, &number) != 1)
			number = -1;
		fclose(file);
	}
	return number;
}

/* Where nm says a function is; in what gcc links by default that is its place in the file too. */
static unsigned long long place_of(const char *path, const char *function)
{
	struct child *child;
	const char *line;

	run(&(struct start){ .argv = LIST("nm", path) }, &child);
	line = strstr(file_text(child->out), text_of(" t %s\n", function)) ?:
	       strstr(file_text(child->out), text_of(" T %s\n", function));
	cr_assert(line, "%s has no %s", path, function);
	while (line[-1] != '\n')
		line--;
	return strtoull(line, NULL, 16);
}

/* A return probe for whoever runs the file, on one CPU; its counter. */
static int return_probe(const char *path, const char *function, int cpu)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	int fd;

	attr.type = (unsigned int)number_in("/sys/bus/event_source/devices/uprobe/type", "%d");
	attr.config = 1ULL << number_in("/sys/bus/event_source/devices/uprobe/format/retprobe",
					"config:%d");
	attr.uprobe_path = (unsigned long)path;
	attr.probe_offset = place_of(path, function);
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		skip("no return probes by perf here");
	return fd;
}

static json_t *stack_of_deep(void)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = LAUNCHED, .argv = LIST("deep", "50") });
	expect_exact(&trace);
	cr_assert_eq(json_array_size(member(trace.report, "sites")), 1);
	cr_expect_eq(figure(trace.report, "stack_quality.complete"), 1);
	return member(json_array_get(member(trace.report, "sites"), 0), "stack");
}

/* While the chain runs, the kernel's trampoline is where the return addresses of 25 frames were. */
Test(return_probes, of_outer_functions_do_not_show_in_the_stack)
{
	const char *path = target_path("deep");
	json_t *without = stack_of_deep(), *with;
	long cpu_cnt = sysconf(_SC_NPROCESSORS_CONF);
	unsigned long long hits = 0;
	int probes[64];

	cr_assert_leq(cpu_cnt, 64);
	for (int cpu = 0; cpu < cpu_cnt; cpu++)
		probes[cpu] = return_probe(path, "odd_call", cpu);
	with = stack_of_deep();
	for (int cpu = 0; cpu < cpu_cnt; cpu++) {
		unsigned long long seen = 0;

		cr_assert_eq(read(probes[cpu], &seen, sizeof(seen)), (ssize_t)sizeof(seen));
		hits += seen;
		close(probes[cpu]);
	}
	cr_expect_eq(hits, 25, "the probe was hit %llu times", hits);
	cr_expect(json_equal(with, without), "%s\nis not\n%s", json_dumps(with, JSON_INDENT(1)),
		  json_dumps(without, JSON_INDENT(1)));
}

/* ---- one library in the place of another ------------------------------------------------------------- */

SUITE(remap);

/* The site with that many bytes a block: its functions, leaf first, down to main. A stack may be cut short
 * before the library's table is there, where the report says so; its leaf must be right. */
static const char *functions_of(const json_t *report, long long size, const char *leaf,
				long long *blocks, long long *cut)
{
	const char *names = "";
	json_t *site, *frame;
	size_t i, n;

	*blocks = 0;
	json_array_foreach(member(report, "sites"), i, site)
	{
		if (figure(site, "alloc_bytes") != size * figure(site, "alloc_blocks"))
			continue;
		*blocks += figure(site, "alloc_blocks");
		if (!strcmp(json_string_value(member(site, "stack_end")), "no_table")) {
			*cut += figure(site, "alloc_blocks");
			frame = json_array_get(member(site, "stack"), 0);
			cr_expect_str_eq(json_string_value(member(frame, "symbol")), leaf);
			continue;
		}
		cr_expect_str_empty(names, "two sites: %s", names);
		names = "";
		json_array_foreach(member(site, "stack"), n, frame)
		{
			const char *name = json_string_value(member(frame, "symbol"));

			names = text_of("%s%s ", names, name ? name : "?");
			if (name && !strcmp(name, "main"))
				break;
		}
	}
	return names;
}

static void expect_remapped(enum way way, const char *rounds, long long blocks)
{
	struct trace trace;
	long long seen, cut = 0;

	trace_run(&trace, &(struct trace_request){
				  .way = way,
				  .argv = LIST("remap", rounds, target_path("remap_first"),
					       target_path("remap_other")),
			  });
	expect_consistent(trace.report);
	cr_expect_str_eq(functions_of(trace.report, 1000, "inner_first", &seen, &cut),
			 "inner_first outer_first use main ");
	cr_expect_eq(seen, blocks, "%lld blocks", seen);
	cr_expect_str_eq(functions_of(trace.report, 3000, "inner_other", &seen, &cut),
			 "inner_other outer_other use main ");
	cr_expect_eq(seen, blocks, "%lld blocks", seen);
	cr_expect_eq(figure(trace.report, "stack_quality.broken_chain"), 0);
	cr_expect_eq(figure(trace.report, "stack_quality.no_row"), 0);
	cr_expect_leq(cut, figure(trace.report, "notices.stacks_cut_short"));
	cr_expect(way != LAUNCHED || !cut, "%lld stacks cut short", cut);
}

/* Both have the same code at the same addresses, but for the size of a frame. */
Test(remap, a_library_where_another_was_has_its_own_stacks_and_names)
{
	expect_remapped(LAUNCHED, "1", 10);
}

Test(remap, the_first_one_comes_back_and_is_one_site_again)
{
	expect_remapped(LAUNCHED, "20", 200);
}

/* Tables of libraries that come after the attach are loaded while the program runs on. */
Test(remap, in_an_attached_process_too)
{
	expect_remapped(ATTACHED, "200", 2000);
}
