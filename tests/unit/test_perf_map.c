// SPDX-License-Identifier: MIT
/* Lists of code made at run time: what is read of them, and whose are. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/jit.h"
#include "perf_map_check.h"

static struct perf_map *parse(const char *text, struct perf_map_stats *stats)
{
	struct perf_map *map = NULL;
	const char *broken;

	cr_assert_eq(perf_map_parse(&map, text, strlen(text), stats), 0);
	broken = perf_map_check(map);
	cr_assert_null(broken, "%s", broken);
	return map;
}

static void expect(const struct perf_map *map, uint64_t address, const char *name)
{
	const char *got = perf_map_find(map, address);

	if (name)
		cr_expect(got && !strcmp(got, name), "%lx is %s, not %s", (unsigned long)address,
			  got, name);
	else
		cr_expect_null(got, "%lx is %s", (unsigned long)address, got);
}

Test(perf_map, a_line_is_start_size_and_a_name_with_anything_in_it)
{
	struct perf_map_stats stats;
	struct perf_map *map = parse("7f3a1c0400c0 120 LazyCompile:~load /srv/app.js:1\n"
				     "0x7f3a1c0401e0 0x10 Builtin: Mem Move\r\n"
				     "7F3A1C0401F0 1 x\n",
				     &stats);

	cr_expect_eq(stats.entries, 3);
	cr_expect_eq(stats.malformed, 0);
	expect(map, 0x7f3a1c0400bf, NULL);
	expect(map, 0x7f3a1c0400c0, "LazyCompile:~load /srv/app.js:1");
	expect(map, 0x7f3a1c0401df, "LazyCompile:~load /srv/app.js:1");
	expect(map, 0x7f3a1c0401e0, "Builtin: Mem Move");
	expect(map, 0x7f3a1c0401f0, "x");
	expect(map, 0x7f3a1c0401f1, NULL);
	perf_map_free(map);
}

Test(perf_map, where_entries_overlap_the_later_one_holds)
{
	struct perf_map *map = parse("1000 100 first\n"
				     "1040 20 second\n"
				     "1050 100 third\n"
				     "10f0 8 fourth\n"
				     "1000 8 fifth\n",
				     NULL);

	expect(map, 0x1000, "fifth");
	expect(map, 0x1008, "first");
	expect(map, 0x1040, "second");
	expect(map, 0x104f, "second");
	expect(map, 0x1050, "third");
	expect(map, 0x10ef, "third");
	expect(map, 0x10f0, "fourth");
	expect(map, 0x10f8, "third");
	expect(map, 0x114f, "third");
	expect(map, 0x1150, NULL);
	perf_map_free(map);
}

Test(perf_map, lines_that_are_none_are_counted_and_passed_over)
{
	struct perf_map_stats stats;
	struct perf_map *map = parse("\n"
				     "hello\n"
				     "1000\n"
				     "1000 10\n"
				     "1000 10 \n"
				     "1000 0 empty\n"
				     "-1000 10 minus\n"
				     "1000 -10 minus\n"
				     " 1000 10 blank\n"
				     "10000000000000000 10 too long\n"
				     "ffffffffffffff00 101 wraps\n"
				     "1000 1g 0\n"
				     "2000 10 good\n"
				     "2000 10 torn",
				     &stats);

	cr_expect_eq(stats.entries, 1);
	cr_expect_eq(stats.malformed, 12);
	expect(map, 0x1000, NULL);
	expect(map, 0x2000, "good");
	perf_map_free(map);
}

Test(perf_map, equals_the_plain_reading_at_every_address)
{
	static char text[1 << 16];
	uint32_t random = 11;
	size_t len = 0, name_len;

	for (int i = 0; i < 1000; i++) {
		random = random * 1664525 + 1013904223;
		len += snprintf(text + len, sizeof(text) - len, "%x %x f%d\n",
				0x1000 + (random >> 20), (random >> 8) % 200, i);
	}
	struct perf_map *map = parse(text, NULL);

	for (uint64_t at = 0x1000; at < 0x1000 + 4400; at++) {
		const char *name = perf_map_expected(text, len, at, &name_len);
		const char *got = perf_map_find(map, at);

		cr_assert_eq(!name, !got);
		if (name)
			cr_assert(strlen(got) == name_len && !memcmp(got, name, name_len));
	}
	perf_map_free(map);
}

Test(perf_map, what_is_kept_is_what_was_asked_for)
{
	static const uint64_t addresses[] = { 0x1005, 0x3000, 0x9000, 0x1007 };
	struct perf_map *map = parse("1000 10 a\n2000 10 b\n3000 10 c\n4000 10 d\n", NULL);
	uint64_t start, end;
	const char *name;

	cr_assert_eq(perf_map_keep(map, addresses, 4), 0);
	cr_expect_null(perf_map_check(map));
	expect(map, 0x1000, "a");
	expect(map, 0x2000, NULL);
	expect(map, 0x300f, "c");
	expect(map, 0x4000, NULL);
	cr_expect_not(perf_map_range(map, 2, &start, &end, &name));
	perf_map_free(map);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int temporary(void)
{
	char path[] = "/tmp/memtrace-map-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	unlink(path);
	return fd;
}

Test(perf_map, a_file_is_read_in_pieces)
{
	struct perf_map_stats stats;
	struct perf_map *map;
	int fd = temporary();
	FILE *f = fdopen(dup(fd), "w");

	for (int i = 0; i < 100000; i++)
		fprintf(f, "%x 10 function number %d%.*s\n", i * 16, i, i % 50,
			"                         "
			"                         ");
	fputs("5000000 10 ", f);
	for (int i = 0; i < 100000; i++)
		fputc('x', f);
	fputs("\n5000000 10 after", f);
	fputs(" all\n", f);
	fclose(f);
	cr_assert_eq(perf_map_read(&map, fd, &stats), 0);
	cr_expect_null(perf_map_check(map));
	cr_expect_eq(stats.entries, 100001);
	cr_expect_eq(stats.malformed, 1);
	cr_expect_not(stats.cut);
	expect(map, 0, "function number 0");
	expect(map, 70007 * 16 + 5, "function number 70007       ");
	expect(map, 0x5000000, "after all");
	perf_map_free(map);
	close(fd);
}

Test(perf_map, of_a_file_of_gigabytes_only_the_beginning_is_read)
{
	static const char *const beginnings[] = { "", "1000 10 good\n" };

	for (size_t i = 0; i < 2; i++) {
		struct perf_map_stats stats;
		struct perf_map *map;
		int fd = temporary();

		cr_assert_eq(write(fd, beginnings[i], strlen(beginnings[i])),
			     (ssize_t)strlen(beginnings[i]));
		cr_assert_eq(ftruncate(fd, 1LL << 32), 0);
		cr_assert_eq(perf_map_read(&map, fd, &stats), 0);
		cr_expect(stats.cut);
		expect(map, 0x1000, i ? "good" : NULL);
		perf_map_free(map);
		close(fd);
	}
}

Test(perf_map, there_are_no_more_entries_than_fit)
{
	struct perf_map_stats stats;
	struct perf_map *map;
	int fd = temporary();
	FILE *f = fdopen(dup(fd), "w");

	for (unsigned int i = 0; i < PERF_MAP_ENTRIES_MAX + 10; i++)
		fprintf(f, "%x 1 f\n", i);
	fclose(f);
	cr_assert_eq(perf_map_read(&map, fd, &stats), 0);
	cr_expect_eq(stats.entries, PERF_MAP_ENTRIES_MAX);
	cr_expect(stats.cut);
	perf_map_free(map);
	close(fd);
}

#ifndef TESTS_DIR
#define TESTS_DIR "tests"
#endif

Test(perf_map, the_corpus_of_the_fuzzer_is_survived)
{
	static char text[1 << 20];
	const char *path = TESTS_DIR "/fuzz/corpus/perf_map";
	DIR *corpus = opendir(path);
	struct dirent *entry;
	int cnt = 0;

	cr_assert(corpus, "no %s", path);
	while ((entry = readdir(corpus))) {
		int fd = openat(dirfd(corpus), entry->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t len = pread(fd, text, sizeof(text), 0);
		struct perf_map *parsed, *map;
		const char *broken;

		if (len >= 0) {
			cr_assert_eq(perf_map_parse(&parsed, text, len, NULL), 0);
			cr_assert_eq(perf_map_read(&map, fd, NULL), 0);
			broken = perf_map_check(parsed);
			cr_expect_null(broken, "%s: %s", entry->d_name, broken);
			broken = perf_map_check(map);
			cr_expect_null(broken, "%s: %s", entry->d_name, broken);
			perf_map_free(parsed);
			perf_map_free(map);
			cnt++;
		}
		close(fd);
	}
	closedir(corpus);
	cr_expect_gt(cnt, 3);
}

/* ---- whose it is ----------------------------------------------------------------------------- */

static char dir[64];
static int dir_fd;

static void enter(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memtrace-jit-XXXXXX");
	cr_assert(mkdtemp(dir));
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
}

static void leave(void)
{
	char command[128];

	close(dir_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(jit, .init = enter, .fini = leave, .timeout = 60);

static void write_map(const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

Test(jit, the_users_own_list_is_opened)
{
	int fd;

	write_map("perf-77.map", "1000 10 f\n");
	fd = jit_open_map(dir_fd, 77, geteuid(), now_ns());
	cr_expect_geq(fd, 0);
	close(fd);
	cr_expect_eq(jit_open_map(dir_fd, 78, geteuid(), 0), -ENOENT);
}

Test(jit, no_pipe_no_link_no_directory_no_older_list)
{
	write_map("real", "1000 10 f\n");
	cr_assert_eq(symlinkat("real", dir_fd, "perf-1.map"), 0);
	cr_expect_eq(jit_open_map(dir_fd, 1, geteuid(), 0), -ELOOP);
	cr_assert_eq(mkfifoat(dir_fd, "perf-2.map", 0600), 0);
	cr_expect_eq(jit_open_map(dir_fd, 2, geteuid(), 0), -EPERM);
	cr_assert_eq(mkdirat(dir_fd, "perf-3.map", 0700), 0);
	cr_expect_eq(jit_open_map(dir_fd, 3, geteuid(), 0), -EPERM);
	write_map("perf-4.map", "1000 10 f\n");
	cr_expect_eq(jit_open_map(dir_fd, 4, geteuid(), now_ns() + 60000000000LL), -ESTALE);
}

Test(jit, somebody_elses_list_is_not_opened)
{
	int fd;

	write_map("perf-5.map", "1000 10 f\n");
	if (geteuid()) {
		cr_expect_eq(jit_open_map(dir_fd, 5, geteuid() + 1, 0), -EPERM);
		return;
	}
	cr_assert_eq(fchownat(dir_fd, "perf-5.map", 12345, 12345, 0), 0);
	cr_expect_eq(jit_open_map(dir_fd, 5, 0, 0), -EPERM);
	cr_expect_eq(jit_open_map(dir_fd, 5, 54321, 0), -EPERM);
	fd = jit_open_map(dir_fd, 5, 12345, 0);
	cr_expect_geq(fd, 0);
	close(fd);
	cr_assert_eq(fchownat(dir_fd, "perf-5.map", 0, 0, 0), 0);
	fd = jit_open_map(dir_fd, 5, 12345, 0); /* root's word is good for everyone */
	cr_expect_geq(fd, 0);
	close(fd);
}

/* The list of a child that waits until its pipe is closed. */
struct child {
	pid_t pid;
	int go;
	char map[64];
};

static struct child start_child(void)
{
	struct child child;
	int fds[2];
	char byte;

	cr_assert_eq(pipe(fds), 0);
	child.pid = fork();
	if (!child.pid) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) ? 1 : 0);
	}
	close(fds[0]);
	child.go = fds[1];
	snprintf(child.map, sizeof(child.map), "/tmp/perf-%d.map", (int)child.pid);
	return child;
}

static void end_child(struct child *child)
{
	if (child->go >= 0)
		close(child->go);
	cr_assert_eq(waitpid(child->pid, NULL, 0), child->pid);
}

static void append(const char *path, const char *text)
{
	FILE *f = fopen(path, "a");

	cr_assert(f);
	fputs(text, f);
	fclose(f);
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void expect_name(struct jit *jit, uint64_t address, const char *name)
{
	const char *got;

	cr_assert_eq(jit_read(jit, &address, 1), 0);
	got = jit_name(jit, address);
	if (name)
		cr_expect(got && !strcmp(got, name), "%s, not %s", got, name);
	else
		cr_expect_null(got, "%s", got);
}

Test(jit, a_list_that_grows_is_read_again_and_kept_when_it_is_gone)
{
	struct child child = start_child();
	struct jit *jit = jit_new(child.pid, monotonic_ns(), NULL);

	jit_made_code(jit);
	jit_look(jit);
	expect_name(jit, 0x1000, NULL);
	append(child.map, "1000 10 first\n");
	expect_name(jit, 0x1000, "first");
	append(child.map, "1000 10 second\n");
	expect_name(jit, 0x1000, "second");
	append(child.map, "2000 10 third\n");
	cr_assert_eq(unlink(child.map), 0);
	end_child(&child);
	expect_name(jit, 0x2000, "third");
	jit_settle(jit);
	cr_expect_str_eq(jit_name(jit, 0x2000), "third");
	jit_put(jit);
}

Test(jit, a_list_is_found_after_the_process_that_was_looked_at_has_ended)
{
	struct child child = start_child();
	struct jit *jit = jit_new(child.pid, monotonic_ns(), NULL);

	jit_look(jit);
	append(child.map, "1000 10 late\n");
	end_child(&child);
	jit_made_code(jit);
	expect_name(jit, 0x1000, "late");
	unlink(child.map);
	jit_put(jit);
}

Test(jit, a_child_answers_for_its_own_code_and_its_parent_for_the_rest)
{
	struct child parent = start_child(), child = start_child();
	struct jit *one = jit_new(parent.pid, monotonic_ns(), NULL), *two;

	jit_made_code(one);
	append(parent.map, "1000 10 parent's\n2000 10 parent's too\n");
	append(child.map, "2000 10 child's\n");
	jit_look(one);
	two = jit_new(child.pid, monotonic_ns(), one);
	expect_name(two, 0x1000, "parent's");
	expect_name(two, 0x2000, "child's");
	unlink(parent.map);
	unlink(child.map);
	jit_settle(one);
	jit_put(one);
	expect_name(two, 0x1000, "parent's");
	jit_put(two);
	close(child.go); /* who was started later holds the earlier one's end, too */
	child.go = -1;
	end_child(&child);
	end_child(&parent);
}

Test(jit, a_process_that_made_no_code_has_no_list)
{
	struct child child = start_child();
	struct jit *jit = jit_new(child.pid, monotonic_ns(), NULL);

	append(child.map, "1000 10 f\n");
	jit_look(jit);
	expect_name(jit, 0x1000, NULL);
	unlink(child.map);
	end_child(&child);
	jit_put(jit);
	jit_put(NULL);
}
