// SPDX-License-Identifier: MIT
/* Rows in the kernel's maps: the kernel has them when they are said to be there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "capture/unwind_rows.h"

#define SKIP(...)                                                            \
	do {                                                                 \
		fprintf(stderr, "SKIP: %s: ", criterion_current_test->name); \
		fprintf(stderr, __VA_ARGS__);                                \
		cr_skip_test(__VA_ARGS__);                                   \
	} while (0)

#define SEGMENTS 8 /* the outer map has room for */
#define SEGMENT_BYTES (MT_ROW_SEGMENT * sizeof(struct mt_row))

static int outer_fd = -1, first_fd = -1, files_fd = -1;
static struct table_memory memory = { .budget = 1ULL << 30 };
static struct unwind_rows rows;

static void start(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, array, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_map_create_opts, arrays);
	uint32_t zero = 0;

	first_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "first", 4, sizeof(struct mt_row),
				  MT_ROW_SEGMENT, &array);
	if (first_fd < 0 && errno == EPERM)
		SKIP("no right to make maps\n");
	arrays.inner_map_fd = first_fd;
	outer_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rows", 4, 4, SEGMENTS, &arrays);
	files_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "files", sizeof(struct mt_code_file),
				  sizeof(struct mt_code_table), 8, NULL);
	cr_assert_geq(outer_fd, 0);
	cr_assert_geq(files_fd, 0);
	cr_assert_eq(bpf_map_update_elem(outer_fd, &zero, &first_fd, BPF_ANY), 0);
	cr_assert_eq(unwind_rows_init(&rows, &memory, outer_fd, first_fd, files_fd), 0);
}

static void teardown(void)
{
	unwind_rows_fini(&rows);
	close(outer_fd);
	close(first_fd);
	close(files_fd);
}

TestSuite(unwind_rows, .fini = teardown, .timeout = 120);

static struct mt_row row_of(uint32_t n)
{
	return (struct mt_row){ 4 * n, MT_RULE(MT_ROW_SP, n % 1000, 0) };
}

static int add(uint32_t cnt, struct mt_code_table *out)
{
	struct mt_row *room;
	int err = unwind_rows_room(&rows, cnt, &room);

	if (err)
		return err;
	for (uint32_t i = 0; i < cnt; i++)
		room[i] = row_of(i);
	return unwind_rows_take(&rows, cnt, out);
}

/* The kernel's own map of a segment; -ENOENT when the outer map has none. */
static int kernel_segment(uint32_t segment)
{
	uint32_t id;

	if (bpf_map_lookup_elem(outer_fd, &segment, &id))
		return -errno;
	return bpf_map_get_fd_by_id(id);
}

static void expect_in_kernel(const struct mt_code_table *table, uint32_t n)
{
	uint32_t slot = (table->first + n) % MT_ROW_SEGMENT;
	int fd = kernel_segment((table->first + n) / MT_ROW_SEGMENT);
	struct mt_row row, wanted = row_of(n);

	cr_assert_geq(fd, 0, "row %u has no segment", n);
	cr_assert_eq(bpf_map_lookup_elem(fd, &slot, &row), 0);
	cr_expect_eq(memcmp(&row, &wanted, sizeof(row)), 0, "row %u", n);
	close(fd);
}

Test(unwind_rows, are_in_the_kernel_when_they_are_taken)
{
	const uint32_t cnts[] = { 10, MT_ROW_SEGMENT, 5, 3 * MT_ROW_SEGMENT, MT_ROW_SEGMENT };
	struct mt_code_table table;

	start();
	for (size_t i = 0; i < sizeof(cnts) / sizeof(cnts[0]); i++) {
		cr_assert_eq(add(cnts[i], &table), 0);
		cr_expect_eq(table.cnt, cnts[i]);
		/* the last first: its segment was the last to come */
		expect_in_kernel(&table, cnts[i] - 1);
		expect_in_kernel(&table, 0);
		expect_in_kernel(&table, cnts[i] / 2);
		cr_expect_eq(unwind_rows_rule(&rows, &table, 4 * (cnts[i] - 1) + 3),
			     row_of(cnts[i] - 1).rule);
	}
	cr_expect_eq(memory.bytes, 6 * SEGMENT_BYTES);
}

Test(unwind_rows, beyond_the_budget_change_nothing)
{
	struct mt_code_table table;

	start();
	memory.budget = 3 * SEGMENT_BYTES;
	cr_assert_eq(add(10, &table), 0);
	cr_expect_eq(add(3 * MT_ROW_SEGMENT, &table), -ENOSPC);
	cr_expect_eq(memory.bytes, SEGMENT_BYTES);
	cr_expect_eq(rows.cnt, 10);
	cr_assert_eq(add(MT_ROW_SEGMENT, &table), 0);
	expect_in_kernel(&table, MT_ROW_SEGMENT - 1);
	cr_expect_eq(add(UINT32_MAX, &table), -ENOSPC);
}

/* The outer map is too small for all of them; then what it took must not be taken for the next
 * ones. */
Test(unwind_rows, that_the_kernel_takes_in_part_are_not_there)
{
	struct mt_code_table table;

	start();
	cr_expect_eq(add(SEGMENTS * MT_ROW_SEGMENT + 1, &table), -ENOSPC);
	cr_expect_eq(memory.bytes, SEGMENT_BYTES);
	cr_expect_eq(rows.cnt, 0);
	cr_expect_eq(kernel_segment(1), -ENOENT);
	cr_assert_eq(add(2 * MT_ROW_SEGMENT, &table), 0);
	expect_in_kernel(&table, 2 * MT_ROW_SEGMENT - 1);
}

Test(unwind_rows, of_a_file_are_where_the_probes_look)
{
	const struct mt_code_file file = { 1, 2, 3 };
	struct mt_code_table table, found;

	start();
	cr_assert_eq(add(10, &table), 0);
	cr_assert_eq(add(20, &table), 0);
	cr_assert_eq(unwind_rows_publish(&rows, &file, &table), 0);
	cr_assert_eq(bpf_map_lookup_elem(files_fd, &file, &found), 0);
	cr_expect_eq(found.first, 10);
	cr_expect_eq(found.cnt, 20);
}
