// SPDX-License-Identifier: MIT
/* What a program will map: against the dynamic linker's own list, and in small made-up roots. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/deps.h"
#include "capture/ld_cache.h"

#define SKIP(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "SKIP: %s: ", criterion_current_test->name);  \
		fprintf(stderr, __VA_ARGS__); \
		cr_skip_test(__VA_ARGS__);                                                         \
	} while (0)

static bool has_inode(const struct deps *deps, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < deps->cnt; i++)
		if (deps->list[i].dev == dev && deps->list[i].ino == ino)
			return true;
	return false;
}

static bool has_file(const struct deps *deps, const char *path)
{
	struct stat st;

	return !stat(path, &st) && has_inode(deps, st.st_dev, st.st_ino);
}

/* ---- against the dynamic linker -------------------------------------------------------------------- */

/*
 * Runs command the way ldd does, and expects the same set of files. Lines are
 *	libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f...)
 *	/lib64/ld-linux-x86-64.so.2 (0x00007f...)
 */
static void expect_same_as_linker(const struct deps *deps, const char *command)
{
	char line[4096], path[4096], traced[4200];
	size_t truth = 1; /* the program itself is not in the list */
	FILE *f;

	snprintf(traced, sizeof(traced), "LD_TRACE_LOADED_OBJECTS=1 %s", command);
	f = popen(traced, "r");
	cr_assert(f);
	while (fgets(line, sizeof(line), f)) {
		struct stat st;

		if (sscanf(line, "%*s => %4095s (", path) != 1 && sscanf(line, " %4095s (", path) != 1)
			continue;
		if (path[0] != '/')
			continue; /* the vdso */
		truth++;
		cr_assert_eq(stat(path, &st), 0, "%s", path);
		cr_expect(has_inode(deps, st.st_dev, st.st_ino), "%s: %s is missing", command, path);
	}
	pclose(f);
	cr_expect_gt(truth, 1, "the linker said nothing for %s", command);
	cr_expect_eq(deps->cnt, truth, "%s: %zu files, and the linker has %zu", command, deps->cnt,
		     truth);
	cr_expect_eq(deps->missing_cnt, 0, "%s: no %s", command,
		     deps->missing_cnt ? deps->missing[0] : "");
}

Test(deps, installed_programs_load_what_the_linker_loads)
{
	static const char *const programs[] = { "/usr/bin/sqlite3",	"/usr/bin/python3",
						"/usr/bin/perl",	"/usr/bin/git",
						"/usr/bin/redis-server", "/usr/sbin/nginx",
						"/usr/bin/gdb",		"/bin/ls" };
	int seen = 0;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		struct deps_request request = { .exe = programs[i] };
		struct deps deps;

		if (access(programs[i], X_OK))
			continue;
		seen++;
		cr_assert_eq(deps_resolve(&request, &deps), 0, "%s", programs[i]);
		cr_expect_not(deps.is_static);
		cr_expect(has_file(&deps, programs[i]));
		cr_expect_eq(deps.list[0].role, DEP_EXECUTABLE);
		if (!deps.is_musl)
			expect_same_as_linker(&deps, programs[i]);
		deps_fini(&deps);
	}
	if (!seen)
		SKIP("none of the programs is installed\n");
}

Test(deps, a_preloaded_library_comes_with_its_own)
{
	const char *preload = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
	struct deps_request request = { .exe = "/bin/ls", .ld_preload = preload };
	struct deps deps;
	char command[256];

	if (access(preload, R_OK))
		SKIP("no %s\n", preload);
	cr_assert_eq(deps_resolve(&request, &deps), 0);
	snprintf(command, sizeof(command), "LD_PRELOAD=%s /bin/ls", preload);
	expect_same_as_linker(&deps, command);
	cr_expect(has_file(&deps, preload));
	deps_fini(&deps);

	/* by its name alone, and behind another one that is not there */
	request.ld_preload = "libnothing.so:libjemalloc.so.2";
	cr_assert_eq(deps_resolve(&request, &deps), 0);
	cr_expect(has_file(&deps, preload));
	cr_assert_eq(deps.missing_cnt, 1);
	cr_expect_str_eq(deps.missing[0], "libnothing.so");
	deps_fini(&deps);
}

struct seen {
	int cnt;
	char first[256];
};

static void see(void *ctx, const char *path)
{
	struct seen *seen = ctx;

	if (!seen->cnt++)
		snprintf(seen->first, sizeof(seen->first), "%s", path);
}

Test(deps, each_path_is_shown_and_the_program_first)
{
	struct deps_request request = { .exe = "/bin/ls" };
	struct seen seen = { 0 };
	struct deps deps;

	cr_assert_eq(deps_resolve(&request, &deps), 0);
	cr_assert_eq(deps_each(NULL, "/bin/ls", NULL, NULL, see, &seen), 0);
	cr_expect_eq(seen.cnt, (int)deps.cnt);
	cr_expect_str_eq(seen.first, "/bin/ls");
	deps_fini(&deps);
	cr_expect_eq(deps_each(NULL, "/no/such/program", NULL, NULL, see, &seen), -ENOENT);
}

/* ---- in a root of its own ------------------------------------------------------------------------- */

static char root[64];

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A shell command, in the root. */
static void run(const char *format, ...)
{
	char command[2048];
	va_list args;
	int len = snprintf(command, sizeof(command), "cd %s && ", root);

	va_start(args, format);
	vsnprintf(command + len, sizeof(command) - len, format, args);
	va_end(args);
	cr_assert_eq(system(command), 0, "%s", command);
}

static void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/memtrace-deps-XXXXXX");
	cr_assert(mkdtemp(root));
	run("mkdir -p bin lib lib64 usr/lib etc opt/app/bin opt/app/lib");
}

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	cr_assert_eq(system(command), 0);
}

TestSuite(deps_root, .init = make_root, .fini = remove_root);

/* A library with that soname; options come last. */
static void make_library(const char *path, const char *options)
{
	const char *name = strrchr(path, '/') + 1;

	run("echo 'int f_%d(void) { return 0; }' | gcc -shared -fPIC -nostdlib -Wl,-soname,%s "
	    "-Wl,--no-as-needed -o .%s -xc - -xnone %s", (int)strlen(path), name, path, options);
}

/* A program that asks for an interpreter of the root's own, so that nothing of the host matters. */
static void make_program(const char *path, const char *options)
{
	make_library("/lib64/ld-linux-x86-64.so.2", "");
	run("echo 'void _start(void) { for (;;) ; }' | gcc -nostdlib -pie -fPIE "
	    "-Wl,--no-as-needed -Wl,--unresolved-symbols=ignore-all "
	    "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2 -o .%s -xc - -xnone %s", path, options);
}

static int resolve(struct deps_request request, struct deps *deps)
{
	request.root = root;
	return deps_resolve(&request, deps);
}

/* The paths found, in order, with a space between. */
static void expect_paths(const struct deps *deps, const char *expected)
{
	char text[2048] = "";

	for (size_t i = 0; i < deps->cnt; i++)
		sprintf(text + strlen(text), "%s%s", i ? " " : "", deps->list[i].path);
	cr_expect_str_eq(text, expected);
}

#define LD "/lib64/ld-linux-x86-64.so.2"

Test(deps_root, libraries_are_followed_breadth_first)
{
	struct deps deps;

	make_library("/lib/libdeep.so", "");
	make_library("/lib/libone.so", "./lib/libdeep.so");
	make_library("/lib/libtwo.so", "./lib/libdeep.so");
	make_program("/bin/app", "./lib/libone.so ./lib/libtwo.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /lib/libone.so /lib/libtwo.so /lib/libdeep.so");
	cr_expect_eq(deps.list[1].role, DEP_INTERPRETER);
	cr_expect_eq(deps.list[2].role, DEP_LIBRARY);
	deps_fini(&deps);
}

Test(deps_root, a_library_that_is_not_there_is_named)
{
	struct deps deps;

	make_library("/lib/libone.so", "");
	make_program("/bin/app", "./lib/libone.so");
	run("rm lib/libone.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD);
	cr_assert_eq(deps.missing_cnt, 1);
	cr_expect_str_eq(deps.missing[0], "libone.so");
	deps_fini(&deps);
}

Test(deps_root, runpath_and_library_path_have_their_order)
{
	struct deps deps;

	make_library("/lib/libone.so", "");
	make_program("/opt/app/bin/app", "./lib/libone.so -Wl,-rpath,'$ORIGIN/../lib' "
		     "-Wl,--enable-new-dtags");
	run("cp lib/libone.so opt/app/lib; cp lib/libone.so usr/lib");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/opt/app/bin/app" }, &deps), 0);
	expect_paths(&deps, "/opt/app/bin/app " LD " /opt/app/bin/../lib/libone.so");
	deps_fini(&deps);
	/* the variable goes before DT_RUNPATH */
	cr_assert_eq(resolve((struct deps_request){ .exe = "/opt/app/bin/app",
						    .ld_library_path = "/none:/usr/lib" }, &deps), 0);
	expect_paths(&deps, "/opt/app/bin/app " LD " /usr/lib/libone.so");
	deps_fini(&deps);
	/* but not before DT_RPATH */
	make_program("/opt/app/bin/app", "./lib/libone.so -Wl,-rpath,'${ORIGIN}/../lib' "
		     "-Wl,--disable-new-dtags");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/opt/app/bin/app",
						    .ld_library_path = "/usr/lib" }, &deps), 0);
	expect_paths(&deps, "/opt/app/bin/app " LD " /opt/app/bin/../lib/libone.so");
	deps_fini(&deps);
}

Test(deps_root, a_runpath_is_for_its_own_object_and_an_rpath_for_those_below)
{
	struct deps deps;

	make_library("/opt/app/lib/libdeep.so", "");
	make_library("/lib/libone.so", "./opt/app/lib/libdeep.so");
	make_program("/bin/app", "./lib/libone.so -Wl,-rpath,/opt/app/lib -Wl,--enable-new-dtags");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	cr_expect_eq(deps.missing_cnt, 1);
	deps_fini(&deps);
	make_program("/bin/app", "./lib/libone.so -Wl,-rpath,/opt/app/lib -Wl,--disable-new-dtags");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /lib/libone.so /opt/app/lib/libdeep.so");
	deps_fini(&deps);
}

Test(deps_root, preloads_come_before_libraries)
{
	struct deps deps;

	make_library("/lib/libone.so", "");
	make_library("/lib/libpre.so", "");
	make_library("/opt/libslash.so", "");
	make_library("/opt/libhost.so", "");
	run("echo '/opt/libhost.so' > etc/ld.so.preload");
	make_program("/bin/app", "./lib/libone.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app",
						    .ld_preload = "libpre.so /opt/libslash.so" },
			     &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /lib/libpre.so /opt/libslash.so /opt/libhost.so "
		     "/lib/libone.so");
	cr_expect_eq(deps.list[2].role, DEP_PRELOAD);
	deps_fini(&deps);
}

Test(deps_root, links_stay_within_the_root)
{
	struct deps deps;

	/* /lib/libone.so -> /usr/lib/libreal.so must mean the root's /usr, not the host's */
	make_library("/lib/libone.so", "");
	make_program("/bin/app", "./lib/libone.so");
	run("mv lib/libone.so usr/lib/libreal.so; ln -s /usr/lib/libreal.so lib/libone.so");
	run("mv bin/app opt/app/bin; ln -s ../../../../../../opt/app/bin/app bin/app");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /lib/libone.so");
	cr_expect_eq(deps.missing_cnt, 0);
	deps_fini(&deps);
}

Test(deps_root, the_origin_of_a_program_is_where_its_link_leads)
{
	struct deps deps;

	make_library("/opt/app/lib/libone.so", "");
	make_program("/opt/app/bin/app", "./opt/app/lib/libone.so -Wl,-rpath,'$ORIGIN/../lib'");
	run("ln -s /opt/app/bin/app bin/app");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /opt/app/bin/../lib/libone.so");
	deps_fini(&deps);
}

Test(deps_root, one_file_under_two_names_is_listed_once)
{
	struct deps deps;

	make_library("/lib/libone.so", "");
	run("ln lib/libone.so lib/libalias.so");
	make_program("/bin/app", "./lib/libone.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app",
						    .ld_preload = "/lib/libalias.so" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /lib/libalias.so");
	deps_fini(&deps);
}

Test(deps_root, a_static_program_is_alone)
{
	struct deps deps;

	run("echo 'void _start(void) { for (;;) ; }' | gcc -static -nostdlib -o bin/app -xc -");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app", .ld_preload = "/lib/x.so" },
			     &deps), 0);
	cr_expect(deps.is_static);
	expect_paths(&deps, "/bin/app");
	deps_fini(&deps);
}

Test(deps_root, scripts_lead_to_their_interpreters)
{
	struct deps deps;

	make_program("/bin/app", "");
	run("printf '#!/bin/app\\n' > bin/s1; printf '#! /bin/s1 -e\\nfoo\\n' > bin/s2; "
	    "printf '#!\\t/bin/s2' > bin/s3; printf '#!/bin/s3\\n' > bin/s4; "
	    "printf '#!/bin/s4\\n' > bin/s5");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/s1" }, &deps), 0);
	cr_expect_str_eq(deps.list[0].path, "/bin/app");
	deps_fini(&deps);
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/s4" }, &deps), 0);
	cr_expect_str_eq(deps.list[0].path, "/bin/app");
	deps_fini(&deps);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/s5" }, &deps), -ELOOP);
}

Test(deps_root, what_cannot_be_run_says_so)
{
	struct deps deps;

	run("printf 'hello\\n' > bin/text; printf '#!\\n' > bin/empty; printf '#!sh\\n' > bin/short; "
	    ": > bin/nothing; mkfifo bin/fifo; printf '#!/bin/loop\\n' > bin/loop");
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/none" }, &deps), -ENOENT);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/text" }, &deps), -ENOEXEC);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/empty" }, &deps), -ENOEXEC);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/short" }, &deps), -ENOEXEC);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/nothing" }, &deps), -ENOEXEC);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/fifo" }, &deps), -EACCES);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin" }, &deps), -EACCES);
	cr_expect_eq(resolve((struct deps_request){ .exe = "/bin/loop" }, &deps), -ELOOP);
}

Test(deps_root, musl_has_its_own_rules)
{
	struct deps deps;

	make_library("/lib/libc.so", "");
	make_library("/usr/lib/libone.so", "");
	make_library("/lib/ld-musl-x86_64.so.1", "");
	run("echo 'void _start(void) { for (;;) ; }' | gcc -nostdlib -pie -fPIE -o bin/app "
	    "-Wl,--no-as-needed -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 -xc - -xnone "
	    "lib/libc.so usr/lib/libone.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	cr_expect(deps.is_musl);
	expect_paths(&deps, "/bin/app /lib/ld-musl-x86_64.so.1 /usr/lib/libone.so");
	deps_fini(&deps);
	/* the path file replaces the default directories */
	run("echo /opt > etc/ld-musl-x86_64.path; cp usr/lib/libone.so opt");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app /lib/ld-musl-x86_64.so.1 /opt/libone.so");
	deps_fini(&deps);
}

Test(deps_root, a_file_of_another_class_is_passed_over)
{
	struct deps deps;

	make_library("/usr/lib/libone.so", "");
	make_program("/bin/app", "./usr/lib/libone.so");
	run("printf '\\177ELF\\001\\001\\001' > lib/libone.so; head -c 100 /dev/zero >> lib/libone.so");
	cr_assert_eq(resolve((struct deps_request){ .exe = "/bin/app" }, &deps), 0);
	expect_paths(&deps, "/bin/app " LD " /usr/lib/libone.so");
	deps_fini(&deps);
}

Test(deps_root, a_program_with_changed_bytes_is_survived)
{
	static unsigned char bytes[1 << 16];
	uint32_t random = 3;
	char path[128];
	ssize_t len;
	int fd;

	make_library("/lib/libone.so", "");
	make_program("/bin/app", "./lib/libone.so");
	snprintf(path, sizeof(path), "%s/bin/app", root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	len = read(fd, bytes, sizeof(bytes));
	cr_assert_gt(len, 0);
	for (int i = 0; i < 600; i++) {
		size_t at = (random = random * 1664525 + 1013904223) % (i % 2 ? 700 : len);
		unsigned char byte = random >> 24;
		struct deps deps;
		int err;

		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		err = resolve((struct deps_request){ .exe = "/bin/app" }, &deps);
		if (!err)
			deps_fini(&deps);
		cr_assert_eq(pwrite(fd, bytes + at, 1, at), 1);
	}
	close(fd);
}

/* ---- the cache file -------------------------------------------------------------------------------- */

struct list {
	char text[1024];
	bool stop;
};

static bool collect(void *ctx, const char *path)
{
	struct list *list = ctx;

	strcat(list->text, path);
	strcat(list->text, " ");
	return list->stop;
}

/* Bytes of a cache with the given (name, path, flags) rows, behind an old-format head if asked. */
static size_t make_cache(char *out, const char *const rows[][2], const int *flags, uint32_t cnt,
			 bool behind_old)
{
	uint32_t strings = 48 + cnt * 24, at = strings;
	size_t skip = 0;

	memset(out, 0, 4096);
	if (behind_old) {
		uint32_t old_cnt = 3;

		memcpy(out, "ld.so-1.7.0", 12);
		memcpy(out + 12, &old_cnt, 4);
		skip = (16 + 3 * 12 + 7) / 8 * 8;
	}
	out += skip;
	memcpy(out, "glibc-ld.so.cache1.1", 20);
	memcpy(out + 20, &cnt, 4);
	for (uint32_t i = 0; i < cnt; i++) {
		char *entry = out + 48 + i * 24;

		memcpy(entry, &flags[i], 4);
		for (int k = 0; k < 2; k++) {
			memcpy(entry + 4 + 4 * k, &at, 4);
			strcpy(out + at, rows[i][k]);
			at += strlen(rows[i][k]) + 1;
		}
	}
	return skip + at;
}

#if defined(__x86_64__)
#define OURS 0x0303
#define OTHERS 0x0003 /* i386 */

static const char *const rows[][2] = {
	{ "libz.so.1", "/lib/i386/libz.so.1" },
	{ "libz.so.1", "/lib/glibc-hwcaps/x86-64-v9/libz.so.1" },
	{ "libz.so.1", "/lib/libz.so.1" },
	{ "libz.so.12", "/lib/libz.so.12" },
	{ "libz.so.1", "/usr/lib/libz.so.1" },
};
static const int flags[] = { OTHERS, OURS, OURS, OURS, OURS };

Test(ld_cache, paths_for_this_machine_in_their_order)
{
	char cache[4096];
	size_t len = make_cache(cache, rows, flags, 5, false);
	struct list list = { .stop = false };

	cr_expect_not(ld_cache_find(cache, len, "libz.so.1", collect, &list));
	cr_expect_str_eq(list.text, "/lib/libz.so.1 /usr/lib/libz.so.1 ");
	list = (struct list){ .stop = true };
	cr_expect(ld_cache_find(cache, len, "libz.so.1", collect, &list));
	cr_expect_str_eq(list.text, "/lib/libz.so.1 ");
	list = (struct list){ .stop = true };
	cr_expect_not(ld_cache_find(cache, len, "libz.so", collect, &list));
}

Test(ld_cache, the_old_format_may_come_first)
{
	char cache[4096];
	size_t len = make_cache(cache, rows, flags, 5, true);
	struct list list = { .stop = true };

	cr_expect(ld_cache_find(cache, len, "libz.so.12", collect, &list));
	cr_expect_str_eq(list.text, "/lib/libz.so.12 ");
}

Test(ld_cache, a_variant_for_this_processor_comes_before_the_plain_one)
{
	const char *const *levels = ld_hwcaps();
	char cache[4096], path[128], expected[256];
	const char *variant[][2] = { { "libz.so.1", "/lib/libz.so.1" }, { "libz.so.1", path } };
	struct list list = { .stop = false };
	size_t len;

	if (!*levels)
		SKIP("this processor has no glibc-hwcaps level\n");
	snprintf(path, sizeof(path), "/lib/%s/libz.so.1", *levels);
	snprintf(expected, sizeof(expected), "%s /lib/libz.so.1 ", path);
	len = make_cache(cache, variant, (int[]){ OURS, OURS }, 2, false);
	ld_cache_find(cache, len, "libz.so.1", collect, &list);
	cr_expect_str_eq(list.text, expected);
}

Test(ld_cache, the_levels_are_those_the_linker_names)
{
	const char *const *levels = ld_hwcaps();
	char line[256];
	int ours = 0, truth = 0;
	FILE *f;

	while (levels[ours])
		ours++;
	f = popen("/lib64/ld-linux-x86-64.so.2 --help 2>/dev/null", "r");
	cr_assert(f);
	while (fgets(line, sizeof(line), f))
		truth += strstr(line, "x86-64-v") && strstr(line, "(supported");
	pclose(f);
	if (!truth)
		SKIP("this linker does not name its levels\n");
	cr_expect_eq(ours, truth);
}

Test(ld_cache, any_bytes_are_survived)
{
	char cache[4096], copy[4096];
	size_t len = make_cache(cache, rows, flags, 5, false);
	uint32_t random = 11;

	for (size_t cut = 0; cut <= len; cut++) {
		char *exact = malloc(cut + 1); /* so that reading over the end is seen */
		struct list list = { .stop = true };

		memcpy(exact, cache, cut);
		exact[cut] = 'x';
		ld_cache_find(exact, cut, "libz.so.1", collect, &list);
		free(exact);
	}
	for (int i = 0; i < 5000; i++) {
		struct list list = { .stop = true };

		memcpy(copy, cache, sizeof(copy));
		random = random * 1664525 + 1013904223;
		copy[random % len] = random >> 24;
		ld_cache_find(copy, len, "libz.so.1", collect, &list);
	}
}
#endif
