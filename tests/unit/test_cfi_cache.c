// SPDX-License-Identifier: MIT
/* Tables on disk: what was kept comes back, and nothing else does. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/cfi_cache.h"

#define SKIP(...)                                                            \
	do {                                                                 \
		fprintf(stderr, "SKIP: %s: ", criterion_current_test->name); \
		fprintf(stderr, __VA_ARGS__);                                \
		cr_skip_test(__VA_ARGS__);                                   \
	} while (0)

static char dir[64], path[256];
static const uint8_t id[20] = { 0xde, 0xad, 0xbe, 0xef, 1, 2, 3 };

static const struct mt_row rows[] = {
	{ 0x1000, MT_RULE(MT_ROW_SP, 1, 0) },
	{ 0x1001, MT_RULE(MT_ROW_SP, 2, 2) },
	{ 0x1004, MT_RULE(MT_ROW_FP, 2, 2) },
	{ 0x1040, MT_RULE(MT_ROW_NONE, 0, 0) },
};

#define ROW_CNT (sizeof(rows) / sizeof(rows[0]))

static struct cfi_cache cache;
static struct mt_row *loaded;
static size_t loaded_cnt;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memtrace-cache-XXXXXX");
	cr_assert(mkdtemp(dir));
	cfi_cache_init(&cache, dir);
	snprintf(path, sizeof(path), "%s/deadbeef01020300000000000000000000000000.unwind4", dir);
}

static void teardown(void)
{
	char command[128];

	free(loaded);
	cfi_cache_fini(&cache);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(cfi_cache, .init = setup, .fini = teardown);

static int store_rows(const struct mt_row *row, size_t cnt)
{
	return cfi_cache_store(&cache, id, sizeof(id), row, cnt);
}

static int store(void)
{
	return store_rows(rows, ROW_CNT);
}

/* Memory of just the size, so that a byte more is seen by a sanitizer. */
static int load_as(const struct cfi_cache *from, const void *name, size_t name_len)
{
	struct cfi_kept kept;
	int err;

	free(loaded);
	loaded = NULL;
	loaded_cnt = 0;
	err = cfi_cache_find(from, name, name_len, &kept);
	if (err)
		return err;
	loaded_cnt = kept.row_cnt;
	loaded = malloc(loaded_cnt * sizeof(*loaded) + !loaded_cnt);
	return cfi_kept_read(&kept, loaded);
}

static int load(void)
{
	return load_as(&cache, id, sizeof(id));
}

static bool is_kept(void)
{
	return loaded_cnt == ROW_CNT && !memcmp(loaded, rows, sizeof(rows));
}

static unsigned files_in_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned cnt = 0;

	while ((entry = readdir(d)))
		cnt += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(d);
	return cnt;
}

/* Loading fails; storing replaces what was there; then it is found. */
static void expect_miss_then_replaced(const char *what)
{
	cr_expect_eq(load(), -ENOENT, "%s", what);
	cr_expect_eq(store(), 0, "%s", what);
	cr_expect_eq(load(), 0, "%s", what);
	cr_expect(is_kept(), "%s", what);
	cr_expect_eq(files_in_dir(), 1, "%s", what);
}

static void write_file(const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static size_t read_file(uint8_t *data, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = read(fd, data, size);

	cr_assert_geq(len, 0);
	close(fd);
	return len;
}

Test(cfi_cache, what_was_kept_comes_back)
{
	struct stat st;

	cr_expect_eq(load(), -ENOENT);
	cr_assert_eq(store(), 0);
	cr_assert_eq(load(), 0);
	cr_expect(is_kept());
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	cr_expect_eq(files_in_dir(), 1, "nothing is left beside it");
}

Test(cfi_cache, an_empty_table_comes_back_empty)
{
	cr_assert_eq(store_rows(NULL, 0), 0);
	cr_assert_eq(load(), 0);
	cr_expect_eq(loaded_cnt, 0);
}

Test(cfi_cache, a_table_of_many_chunks_comes_back)
{
	size_t cnt = 300001;
	struct mt_row *large = calloc(cnt, sizeof(*large));

	for (size_t i = 0; i < cnt; i++)
		large[i] = (struct mt_row){ 3 * i, MT_RULE(MT_ROW_SP, i % 100, 0) };
	cr_assert_eq(store_rows(large, cnt), 0);
	cr_assert_eq(load(), 0);
	cr_expect_eq(loaded_cnt, cnt);
	cr_expect_eq(memcmp(loaded, large, cnt * sizeof(*large)), 0);
	free(large);
}

Test(cfi_cache, another_id_is_another_file)
{
	uint8_t other[20];

	cr_assert_eq(store(), 0);
	memcpy(other, id, sizeof(id));
	other[19] ^= 1;
	cr_expect_eq(load_as(&cache, other, sizeof(other)), -ENOENT);
	cr_expect_eq(load_as(&cache, id, 19), -ENOENT);
	cr_expect_eq(load_as(&cache, id, 0), -ENOENT);
	cr_expect_eq(load_as(&cache, id, CFI_CACHE_ID_MAX + 1), -ENOENT);
	cr_expect_eq(cfi_cache_store(&cache, id, 0, rows, ROW_CNT), -EINVAL);
	cr_expect_eq(cfi_cache_store(&cache, other, CFI_CACHE_ID_MAX + 1, rows, ROW_CNT), -EINVAL);
}

Test(cfi_cache, a_file_renamed_to_another_id_is_a_miss)
{
	uint8_t other[20];
	char command[600];

	cr_assert_eq(store(), 0);
	memcpy(other, id, sizeof(id));
	other[3] = 0xee;
	snprintf(command, sizeof(command),
		 "cp -p %s %s/deadbeee01020300000000000000000000000000.unwind4", path, dir);
	cr_assert_eq(system(command), 0);
	cr_expect_eq(load_as(&cache, other, sizeof(other)), -ENOENT);
}

Test(cfi_cache, a_changed_bit_anywhere_is_a_miss)
{
	uint8_t data[1024];
	size_t len;

	cr_assert_eq(store(), 0);
	len = read_file(data, sizeof(data));
	cr_assert_eq(len, 112 + 4 * 8);
	for (size_t at = 0; at < len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			data[at] ^= 1U << bit;
			write_file(data, len);
			cr_expect_eq(load(), -ENOENT, "byte %zu bit %u", at, bit);
			data[at] ^= 1U << bit;
		}
	write_file(data, len);
	cr_expect_eq(load(), 0);
	data[60]++;
	write_file(data, len);
	expect_miss_then_replaced("a changed byte");
}

Test(cfi_cache, a_file_of_another_length_is_a_miss)
{
	uint8_t data[1024] = { 0 };
	size_t len;

	cr_assert_eq(store(), 0);
	len = read_file(data, sizeof(data));
	for (size_t cut = 0; cut < len; cut++) {
		write_file(data, cut);
		cr_expect_eq(load(), -ENOENT, "cut at %zu", cut);
	}
	write_file(data, len + 8);
	expect_miss_then_replaced("longer");
}

/* Right in every figure, but no table. */
Test(cfi_cache, rows_out_of_order_are_a_miss_though_their_sum_is_right)
{
	struct mt_row swapped[] = { rows[1], rows[0], rows[3] };

	cr_assert_eq(store_rows(swapped, 3), 0);
	expect_miss_then_replaced("out of order");
	swapped[1] = swapped[0];
	cr_assert_eq(store_rows(swapped, 3), 0);
	expect_miss_then_replaced("one address twice");
	swapped[0] = rows[0];
	swapped[1] = (struct mt_row){ 0x1001, MT_RULE(MT_ROW_KIND_CNT, 1, 1) };
	cr_assert_eq(store_rows(swapped, 3), 0);
	expect_miss_then_replaced("an unknown kind");
}

Test(cfi_cache, a_sparse_file_that_claims_all_rows_is_a_miss)
{
	uint8_t data[1024];
	uint64_t row_cnt = CFI_ROWS_MAX;
	int fd;

	cr_assert_eq(store(), 0);
	read_file(data, sizeof(data));
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, &row_cnt, 8, 88), 8);
	cr_assert_eq(ftruncate(fd, 112 + 8 * row_cnt), 0);
	close(fd);
	expect_miss_then_replaced("a hole");
}

Test(cfi_cache, a_symbolic_link_is_a_miss_and_its_target_stays)
{
	char elsewhere[300];
	struct stat st;

	snprintf(elsewhere, sizeof(elsewhere), "%s-kept", path);
	cr_assert_eq(store(), 0);
	cr_assert_eq(rename(path, elsewhere), 0);
	cr_assert_eq(symlink(elsewhere, path), 0);
	cr_expect_eq(load(), -ENOENT);
	cr_assert_eq(truncate(elsewhere, 3), 0);
	cr_expect_eq(store(), 0);
	cr_expect_eq(load(), 0);
	cr_assert_eq(lstat(path, &st), 0);
	cr_expect(S_ISREG(st.st_mode));
	cr_assert_eq(stat(elsewhere, &st), 0);
	cr_expect_eq(st.st_size, 3, "nothing was written through the link");
}

Test(cfi_cache, a_pipe_or_a_directory_in_its_place_is_a_miss, .timeout = 60)
{
	cr_assert_eq(mkfifo(path, 0600), 0);
	expect_miss_then_replaced("a pipe");
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_expect_eq(load(), -ENOENT);
	cr_expect_lt(store(), 0);
	cr_expect_eq(files_in_dir(), 1, "nothing is left beside it");
}

Test(cfi_cache, a_file_that_others_can_write_is_a_miss)
{
	cr_assert_eq(store(), 0);
	cr_assert_eq(chmod(path, 0620), 0);
	expect_miss_then_replaced("the group can write it");
	cr_assert_eq(chmod(path, 0602), 0);
	expect_miss_then_replaced("all can write it");
}

Test(cfi_cache, a_foreign_file_is_a_miss)
{
	if (geteuid())
		SKIP("only root can give files away\n");
	cr_assert_eq(store(), 0);
	cr_assert_eq(chown(path, 1, 0), 0);
	expect_miss_then_replaced("a foreign file");
}

Test(cfi_cache, a_directory_that_is_not_ours_alone_is_not_used)
{
	cr_assert_eq(store(), 0);
	cr_assert_eq(chmod(dir, 0770), 0);
	cr_expect_eq(load(), -ENOENT);
	cr_expect_eq(store(), -EPERM);
	cr_assert_eq(chmod(dir, 0702), 0);
	cr_expect_eq(load(), -ENOENT);
	cr_expect_eq(store(), -EPERM);
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_expect_eq(load(), 0);
	if (geteuid())
		SKIP("only root can give directories away\n");
	cr_assert_eq(chown(dir, 1, 0), 0);
	cr_expect_eq(load(), -ENOENT);
	cr_expect_eq(store(), -EPERM);
}

Test(cfi_cache, a_directory_that_is_a_link_or_is_not_there_is_not_used)
{
	const char *not_used[] = { NULL, "/nowhere", path /* a link to it */, "/dev/null" };

	cr_assert_eq(symlink(".", path), 0);
	for (size_t i = 0; i < sizeof(not_used) / sizeof(not_used[0]); i++) {
		struct cfi_cache other;

		cfi_cache_init(&other, not_used[i]);
		cr_expect_eq(cfi_cache_store(&other, id, sizeof(id), rows, ROW_CNT), -ENOENT);
		cr_expect_eq(load_as(&other, id, sizeof(id)), -ENOENT);
		cfi_cache_fini(&other);
	}
	cr_expect_eq(files_in_dir(), 1, "the link");
}

Test(cfi_cache, what_a_dead_process_left_does_not_stand_in_the_way)
{
	char left[128];

	snprintf(left, sizeof(left), "%s/.new-%d", dir, (int)gettid());
	cr_assert_eq(symlink("/dev/null", left), 0);
	expect_miss_then_replaced("left over");
}
