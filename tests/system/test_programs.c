// SPDX-License-Identifier: MIT
/*
 * test_programs.c - Debian's own programs. The single ones are deterministic, and valgrind counted
 * them too; where hashes would depend on a random seed, it is fixed. Valgrind adds variables to the
 * environment, which programs copy into their heaps: the traced run gets the same ones.
 */
#include "expect.h"
#include "servers.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

SUITE(programs);

/* Programs copy their environment, and memtrace adds its library to it. */
static const char with_library[] = "LD_PRELOAD=" PRELOAD_LIB;

/* What valgrind adds to its client's environment; PWD is from the shell of its script, which sets
 * it where sudo left it out. */
static size_t valgrind_env(const char **env, size_t room)
{
	struct child *child;
	const char *text;
	size_t cnt = 0;

	need("valgrind");
	run(&(struct start){ .argv = LIST("valgrind", "-q", "env"), .env = LIST(with_library) }, &child);
	for (text = file_text(child->out); *text; text += strcspn(text, "\n") + 1) {
		const char *line = text_of("%.*s", (int)strcspn(text, "\n"), text);

		if ((!strncmp(line, "LD_", 3) || !strncmp(line, "GLIBCXX_", 8) ||
		     !strncmp(line, "GLIBCPP_", 8) || !strncmp(line, "PWD=", 4)) &&
		    cnt < room)
			env[cnt++] = line;
	}
	return cnt;
}

static void expect_same_as_valgrind(const char *const *argv, const char *const *env)
{
	const char *all[WORDS_MAX] = { NULL }, *valgrinds[WORDS_MAX] = { with_library };
	size_t cnt = valgrind_env(all, WORDS_MAX / 2);
	struct usage seen;
	struct tracer tracer;
	json_t *report, *row;

	for (size_t i = 0; env && env[i]; i++)
		all[cnt++] = valgrinds[i + 1] = env[i];
	seen = valgrind_usage(argv, valgrinds, NULL);
	tracer_start(&tracer, &(struct tracer_start){ .command = argv, .env = all });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	row = only_row(report);
	cr_expect_eq(figure(row, "allocs"), seen.allocs, "allocs: %lld, valgrind says %lld",
		     figure(row, "allocs"), seen.allocs);
	cr_expect_eq(figure(row, "frees"), seen.frees, "frees: %lld, valgrind says %lld",
		     figure(row, "frees"), seen.frees);
	cr_expect_eq(figure(row, "alloc_bytes"), seen.alloc_bytes,
		     "alloc_bytes: %lld, valgrind says %lld", figure(row, "alloc_bytes"),
		     seen.alloc_bytes);
	cr_expect_eq(figure(row, "live_bytes"), seen.live_bytes,
		     "live_bytes: %lld, valgrind says %lld", figure(row, "live_bytes"),
		     seen.live_bytes);
}

Test(programs, sqlite3_in_memory_equals_valgrind)
{
	need("sqlite3");
	expect_same_as_valgrind(
		LIST("sqlite3", "-batch", "-init", "/dev/null", ":memory:",
		     "create table t(a integer primary key, b text);"
		     "with recursive n(i) as (select 1 union all select i + 1 from n where i < "
		     "2000) "
		     "insert into t select i, printf('%040d', i) from n;"
		     "create index x on t(b); select count(*), sum(length(b)) from t;"
		     "delete from t where a % 3 = 0; select max(b) from t;"),
		NULL);
}

Test(programs, python3_equals_valgrind)
{
	need("python3");
	expect_same_as_valgrind(LIST("/usr/bin/python3", "-I", "-S", "-c",
				     "d = {i: str(i) * 3 for i in range(3000)}\n"
				     "l = sorted(d.values())\n"
				     "print(len(l), sum(map(len, l)))"),
				LIST("PYTHONMALLOC=malloc", "PYTHONHASHSEED=0"));
}

Test(programs, perl_equals_valgrind)
{
	need("perl");
	expect_same_as_valgrind(LIST("perl", "-e",
				     "my %h; $h{$_ % 700} .= 'x' x ($_ % 30) for 1..5000; "
				     "print scalar(keys %h), \"\\n\"; print join(',', sort keys "
				     "%h) =~ tr/,//, \"\\n\";"),
				LIST("PERL_HASH_SEED=0", "PERL_PERTURB_KEYS=0"));
}

static void git(const char *dir, const char *const *words)
{
	const char *argv[WORDS_MAX] = { "git", "-C", dir };
	struct child *child;
	size_t cnt = 3;

	while (*words)
		argv[cnt++] = *words++;
	argv[cnt] = NULL;
	run(&(struct start){ .argv = argv,
			     .env = LIST("GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent",
					 "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
					 "GIT_COMMITTER_NAME=a",
					 "GIT_COMMITTER_EMAIL=a@example.org") },
	    &child);
	expect_exit(child, 0);
}

Test(programs, git_log_equals_valgrind)
{
	const char *dir = stage_path("repository"), *file = stage_path("repository/file");

	need("git");
	mkdir(dir, 0755);
	git(dir, LIST("init", "-q"));
	for (int i = 0; i < 10; i++) {
		file_write(file, text_of("line %d\n", i));
		git(dir, LIST("add", "file"));
		git(dir, LIST("commit", "-q", "-m", text_of("change %d", i)));
	}
	expect_same_as_valgrind(LIST("git", "-C", dir, "--no-pager", "log", "-p", "--stat"),
				LIST("GIT_CONFIG_NOSYSTEM=1", "HOME=/nonexistent"));
}

/* ---- a tree -------------------------------------------------------------------------------------
 */

static json_t *row_of_program(const json_t *report, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(member(report, "processes"), i, row)
	{
		const char *exe = json_string_value(member(row, "exe"));
		const char *slash = exe ? strrchr(exe, '/') : NULL;

		if (slash && strstr(slash, name))
			return row;
	}
	return NULL;
}

Test(programs, gcc_has_a_row_for_every_program_it_runs)
{
	const char *source = stage_path("hello.c");
	struct tracer tracer;
	json_t *report;

	need("gcc");
	file_write(source, "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n");
	tracer_start(&tracer,
		     &(struct tracer_start){
			     .command = LIST("gcc", "-O1", "-o", stage_path("hello"), source),
			     .env = LIST(text_of("TMPDIR=%s", stage_path(""))),
		     });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect_not_null(row_of_program(report, "gcc"), "no row for gcc");
	cr_expect_not_null(row_of_program(report, "cc1"), "no row for cc1");
	cr_expect_not_null(row_of_program(report, "as"), "no row for the assembler");
	cr_expect_not_null(row_of_program(report, "collect2"), "no row for collect2");
	cr_expect_not_null(row_of_program(report, "ld"), "no row for the linker");
	cr_expect_eq(row_cnt(report), 5, "%zu rows", row_cnt(report));
	cr_expect_eq(run(&(struct start){ .argv = LIST(stage_path("hello")) }, NULL), 0);
}

Test(programs, a_pipeline_of_the_shell_is_complete)
{
	struct tracer tracer;
	json_t *report, *row;
	size_t i;

	tracer_start(&tracer,
		     &(struct tracer_start){
			     .command = LIST("sh", "-c",
					     "seq 1 2000 | sort -r | head -n 3 >/dev/null; "
					     "exit 9") });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 9);
	cr_assert_not_null(report);
	expect_consistent(report);
	cr_expect_not_null(row_of_program(report, "seq"));
	cr_expect_not_null(row_of_program(report, "sort"));
	cr_expect_not_null(row_of_program(report, "head"));
	json_array_foreach(member(report, "processes"), i, row)
	{
		cr_expect(json_is_string(member(row, "ended_by")), "a process never ended");
	}
}

Test(programs, a_static_program_run_by_the_shell_is_exact)
{
	const char *truth = stage_path("truth");
	struct tracer tracer;
	json_t *report, *row;

	tracer_start(&tracer, &(struct tracer_start){ .command = LIST("sh", "-c", "\"$0\"; true",
								      target_path("static_glibc")),
						      .env = LIST(text_of("MT_TRUTH=%s", truth)) });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	row = row_of_program(report, "static_glibc");
	cr_assert_not_null(row, "the static program has no row");
	expect_row(row, json_array_get(truths_load(truth), 0), LAUNCHED, NULL);
}

/* ---- servers ------------------------------------------------------------------------------------
 */

/* Attaches, puts load on, ends with SIGINT; the report must agree with itself. */
static json_t *trace_server(struct child *server, void (*load)(const char *socket),
			    const char *socket)
{
	struct tracer tracer;
	json_t *report, *row;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", (int)server->pid)) });
	tracer_wait_ready(&tracer);
	load(socket);
	child_signal(tracer.child, SIGINT);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report, "%s", file_text(tracer.child->err));
	expect_consistent(report);
	row = row_of_pid(report, server->pid, 0);
	cr_assert_not_null(row);
	cr_expect_gt(figure(row, "allocs"), 100, "%lld allocs under load", figure(row, "allocs"));
	cr_expect(child_runs(server), "the server did not survive");
	expect_code_untouched(server->pid);
	return row;
}

static void load_redis(const char *socket)
{
	struct child *child;

	run(&(struct start){ .argv = LIST("redis-benchmark", "-s", socket, "-n", "3000", "-c", "5",
					  "-d", "200", "-r", "1000", "-q", "-t",
					  "set,get,lpush,lrange_100") },
	    &child);
	expect_exit(child, 0);
}

Test(programs, redis_under_load_balances)
{
	const char *socket = stage_path("redis.sock");
	struct pipe_pair out = pipe_new();
	struct child *server, *shutdown;
	json_t *row;

	need("redis-server");
	need("redis-benchmark");
	server = child_start(&(struct start){
		.argv = LIST("redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
			     "--appendonly", "no", "--dir", stage_path("")),
		.out_fd = out.out,
	});
	pipe_close(&out.out);
	pipe_wait_line(out.in, "eady to accept connections");
	row = trace_server(server, load_redis, socket);
	/* what it says it holds more of than before cannot be more than it has in memory */
	cr_expect_leq(figure(row, "live_bytes"), figure(row, "rss_bytes"));
	run(&(struct start){ .argv = LIST("redis-cli", "-s", socket, "shutdown", "nosave") },
	    &shutdown);
	expect_exit(server, 0);
}

static void load_nginx(const char *socket)
{
	for (int i = 0; i < 200; i++)
		http_request(socket);
}

Test(programs, nginx_under_load_balances)
{
	const char *socket = stage_path("nginx.sock"), *config = nginx_config(socket);
	int watch = stage_watch();
	struct child *server;

	need("nginx");
	server = child_start(&(struct start){
		.argv = LIST("nginx", "-p", stage_path(""), "-c", config, "-e", "stderr"),
	});
	/* it writes its pid once its sockets listen */
	wait_for_file(watch, "nginx.pid");
	trace_server(server, load_nginx, socket);
	child_signal(server, SIGQUIT);
	expect_exit(server, 0);
}
