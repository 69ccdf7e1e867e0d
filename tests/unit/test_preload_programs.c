// SPDX-License-Identifier: MIT
/* Programs do the same with the preload library as without, whatever it is told to do. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload_file.h"

#define SKIP(...)                                      \
	do {                                           \
		fprintf(stderr, "SKIP: " __VA_ARGS__); \
		cr_skip_test(__VA_ARGS__);             \
	} while (0)

#define TARGET(name) TARGETS_DIR "/" name
#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"

/* What the library is told; a copy of it is made for each. */
static const struct way {
	const char *name;
	unsigned int listen;
	struct mt_preload_config config;
} ways[] = {
#define CONFIG(...)                                                                              \
	{                                                                                        \
		.magic = MT_PRELOAD_MAGIC, .version = MT_PRELOAD_VERSION, .seed = 5, __VA_ARGS__ \
	}
	{ "nobody", LISTEN_NOBODY, CONFIG(.mode = MT_PRELOAD_EXACT) },
	{ "exact", LISTEN_MEMTRACE, CONFIG(.mode = MT_PRELOAD_EXACT) },
	{ "both", LISTEN_MEMTRACE | LISTEN_OTEL, CONFIG(.mode = MT_PRELOAD_EXACT) },
	{ "bytes", LISTEN_MEMTRACE, CONFIG(.mode = MT_PRELOAD_BY_BYTES, .sample_bytes = 1000) },
	{ "calls", LISTEN_MEMTRACE | LISTEN_OTEL,
	  CONFIG(.mode = MT_PRELOAD_BY_CALLS, .probability = 1ULL << 30) },
	{ "all", LISTEN_MEMTRACE,
	  CONFIG(.mode = MT_PRELOAD_BY_CALLS, .probability = MT_PRELOAD_PROBABILITY_ONE) },
	{ "off", LISTEN_MEMTRACE, CONFIG(.mode = MT_PRELOAD_OFF) },
	{ "unknown", LISTEN_MEMTRACE, { .magic = 1 } },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void setup(void)
{
	struct preload_file file;
	char path[128];

	preload_read(&file);
	for (size_t i = 0; i < WAYS; i++) {
		snprintf(path, sizeof(path), "%s/%s.so", preload_stage(), ways[i].name);
		preload_copy(&file, path, ways[i].listen, &ways[i].config);
	}
	preload_file_free(&file);
}

static void teardown(void)
{
	preload_unstage();
}

TestSuite(preload_programs, .init = setup, .fini = teardown, .timeout = 240);

/* What a command prints, on both channels, and its status at the end. */
static char *output_of(const char *preload, const char *command)
{
	size_t room = 1 << 22, len = 0, got;
	char *text = malloc(room), *line = malloc(strlen(command) + 1024);
	FILE *f;

	cr_assert(text && line);
	/* in a subshell, so that the library is in the command's processes only */
	snprintf(line, strlen(command) + 1024, "(%s%s%s\n%s\n) 2>&1; echo status $?",
		 *preload ? "export LD_PRELOAD='" : "", preload, *preload ? "'" : "", command);
	f = popen(line, "r");
	cr_assert(f);
	while (len < room - 1 && (got = fread(text + len, 1, room - 1 - len, f)))
		len += got;
	cr_assert_lt(len, room - 1);
	text[len] = 0;
	pclose(f);
	free(line);
	return text;
}

static void expect_same(const char *allocator, const char *command)
{
	char *without = output_of(allocator, command);
	char preload[512];

	cr_assert(strstr(without, "status 0"), "%s: %s", command, without);
	for (size_t i = 0; i < WAYS; i++) {
		char *with;

		snprintf(preload, sizeof(preload), "%s/%s.so%s%s", preload_stage(), ways[i].name,
			 *allocator ? " " : "", allocator);
		with = output_of(preload, command);
		cr_expect_str_eq(with, without, "%s: %s: %.300s", ways[i].name, command, with);
		free(with);
	}
	free(without);
}

static void need(const char *path)
{
	if (access(path, R_OK))
		SKIP("%s is not installed\n", path);
}

static void need_command(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	if (system(command))
		SKIP("%s is not installed\n", name);
}

/* ---- the family --------------------------------------------------------------------------------
 */

Test(preload_programs, get_glibcs_answers)
{
	expect_same("", TARGET("answers"));
}

Test(preload_programs, get_jemallocs_answers)
{
	need(LIBRARIES "libjemalloc.so.2");
	expect_same(LIBRARIES "libjemalloc.so.2", TARGET("answers") " no pvalloc");
}

Test(preload_programs, get_tcmallocs_answers)
{
	need(LIBRARIES "libtcmalloc_minimal.so.4");
	/* it tells of huge requests itself, with their address */
	expect_same(LIBRARIES "libtcmalloc_minimal.so.4", TARGET("answers") " 2>/dev/null");
}

Test(preload_programs, get_mimallocs_answers)
{
	need(LIBRARIES "libmimalloc.so.2");
	expect_same(LIBRARIES "libmimalloc.so.2", TARGET("answers") " 2>/dev/null");
}

Test(preload_programs, get_musls_answers)
{
	char command[512];

	need_command("musl-gcc");
	snprintf(command, sizeof(command),
		 "musl-gcc -fno-builtin -o %s/answers %s/targets/answers.c", preload_stage(),
		 TESTS_DIR);
	cr_assert_eq(system(command), 0);
	snprintf(command, sizeof(command), "%s/answers", preload_stage());
	expect_same("", command);
}

/* musl has no pvalloc, cfree, free_sized: who asks the loader for them finds some that work. */
Test(preload_programs, get_what_their_libc_lacks)
{
	char command[512], path[128];

	need_command("musl-gcc");
	snprintf(command, sizeof(command),
		 "musl-gcc -fno-builtin -o %s/lacking %s/targets/lacking.c", preload_stage(),
		 TESTS_DIR);
	cr_assert_eq(system(command), 0);
	snprintf(command, sizeof(command), "%s/lacking", preload_stage());
	for (size_t i = 0; i < WAYS; i++) {
		char *text;

		snprintf(path, sizeof(path), "%s/%s.so", preload_stage(), ways[i].name);
		text = output_of(path, command);
		cr_expect_str_eq(text, "good\nstatus 0\n", "%s: %s", ways[i].name, text);
		free(text);
	}
}

/* ---- what is hard ------------------------------------------------------------------------------
 */

Test(preload_programs, survive_forks_threads_signals_and_libraries_that_go)
{
	expect_same("", TARGET("survive") " " TARGET("late_plugin"));
}

Test(preload_programs, survive_with_another_allocator)
{
	need(LIBRARIES "libjemalloc.so.2");
	expect_same(LIBRARIES "libjemalloc.so.2", TARGET("survive"));
}

Test(preload_programs, load_cxx_late_and_let_it_go)
{
	expect_same("", TARGET("late_cxx") " " TARGET("late_plugin") " 100; echo $?");
}

Test(preload_programs, throw_and_catch_when_memory_runs_out)
{
	expect_same("", TARGET("cxx_bad_alloc"));
	need(LIBRARIES "libjemalloc.so.2");
	expect_same(LIBRARIES "libjemalloc.so.2", TARGET("cxx_bad_alloc"));
}

/* ---- programs nobody wrote for this ------------------------------------------------------------
 */

#define SAME(sentence, program, command)  \
	Test(preload_programs, sentence)  \
	{                                 \
		need_command(program);    \
		expect_same("", command); \
	}

SAME(run_sqlite3, "sqlite3",
     "echo \"create table t(a, b); with recursive c(x) as (select 1 union all select x+1 from c "
     "where "
     "x < 20000) insert into t select x, hex(x*7919) from c; create index i on t(b); select "
     "count(*), "
     "sum(a), max(b) from t where b > '33';\" | sqlite3")
SAME(run_python3, "python3",
     "PYTHONMALLOC=malloc python3 -c \"import json, sqlite3, threading, re; d = {str(i): [i] * (i "
     "% 50) "
     "for i in range(20000)}; s = json.dumps(d); print(len(s), hash(s) and len(json.loads(s)), "
     "len(re.findall('11', s)))\"")
SAME(run_perl, "perl",
     "perl -e 'my %h; $h{$_ % 1000} .= $_ for 1..100000; my $n = 0; $n += length for values %h; "
     "print "
     "\"$n\\n\"; my $p = fork; exit 0 unless $p; waitpid $p, 0; print `echo from a child`;'")
SAME(run_git, "git",
     "d=$(mktemp -d); cd $d; git init -q . && git config user.email a@b && git config user.name n "
     "&& "
     "seq 2000 > f && git add f && GIT_AUTHOR_DATE=2020-01-01T00:00:00Z "
     "GIT_COMMITTER_DATE=2020-01-01T00:00:00Z git commit -qm one && seq 3000 > f && git diff "
     "--stat && git "
     "log --format=%H; git gc -q && git fsck; r=$?; rm -rf $d; exit $r")
SAME(run_gcc, "gcc",
     "echo 'int main(void) { return 0; }' | gcc -O2 -x c -S -o - - | md5sum && echo 'int "
     "main(void) { "
     "return 0; }' | gcc -g -x c -o /dev/null -")
SAME(run_redis, "redis-server",
     "d=$(mktemp -d); redis-server --port 0 --unixsocket $d/s --save '' --daemonize no > $d/log & "
     "p=$!; "
     "until redis-cli -s $d/s ping > /dev/null 2>&1; do kill -0 $p || exit 1; done; for i in 1 2 "
     "3; do "
     "redis-cli -s $d/s eval \"for i = 1, 5000 do redis.call('set', i, string.rep('x', i % 700)) "
     "end "
     "return redis.call('dbsize')\" 0; redis-cli -s $d/s flushall; done; redis-cli -s $d/s "
     "shutdown nosave; "
     "wait $p; r=$?; rm -rf $d; exit $r")
SAME(run_nginx, "nginx",
     "nginx -t 2>&1 | sed 's/[0-9\\/]* [0-9:]* \\[.*\\] [0-9]*#[0-9]*//' | tail -2")
