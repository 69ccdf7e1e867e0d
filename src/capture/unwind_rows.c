// SPDX-License-Identifier: MIT
#include "capture/unwind_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define ROWS_MAX ((size_t)MT_ROW_SEGMENTS * MT_ROW_SEGMENT)

static struct segment_kind kind_of(const struct unwind_rows *rows)
{
	return (struct segment_kind){ rows->outer_fd, sizeof(*rows->row), MT_ROW_SEGMENT };
}

int unwind_rows_init(struct unwind_rows *rows, struct table_memory *memory, int outer_fd,
		     int first_fd, int files_fd)
{
	void *at = table_reserve(ROWS_MAX * sizeof(*rows->row));
	int err;

	if (!at)
		return -errno;
	*rows = (struct unwind_rows){
		.memory = memory,
		.outer_fd = outer_fd,
		.files_fd = files_fd,
		.row = at,
		.segment_cnt = 1,
	};
	if (table_map(memory, first_fd, MT_ROW_SEGMENT * sizeof(*rows->row), at))
		return 0;
	err = -errno;
	unwind_rows_fini(rows);
	return err;
}

void unwind_rows_fini(struct unwind_rows *rows)
{
	table_unmap(rows->row, ROWS_MAX * sizeof(*rows->row));
	*rows = (struct unwind_rows){ 0 };
}

static void *segment_at(const struct unwind_rows *rows, uint32_t segment)
{
	return rows->row + (size_t)segment * MT_ROW_SEGMENT;
}

/* Adds segments, all or none. */
static int grow(struct unwind_rows *rows, uint32_t cnt)
{
	const struct segment_kind kind = kind_of(rows);
	int *fds = calloc(cnt, sizeof(*fds)), err = -ENOSPC;
	uint32_t first = rows->segment_cnt, made = 0;
	void *at;

	if (!fds || !segments_fit(rows->memory, &kind, cnt))
		goto out;
	for (; made < cnt; made++) {
		fds[made] = segment_make(rows->memory, &kind, segment_at(rows, first + made), &at);
		if (fds[made] < 0)
			break;
	}
	if (made == cnt && !segments_publish(&kind, first, fds, cnt))
		err = 0;
	for (uint32_t i = 0; i < made; i++) {
		close(fds[i]);
		if (err)
			segment_drop(rows->memory, &kind, segment_at(rows, first + i), true);
	}
	if (!err)
		rows->segment_cnt += cnt;
out:
	free(fds);
	return err;
}

int unwind_rows_room(struct unwind_rows *rows, size_t cnt, struct mt_row **room)
{
	size_t end = rows->cnt + cnt, have = (size_t)rows->segment_cnt * MT_ROW_SEGMENT;
	int err = 0;

	if (cnt > ROWS_MAX || end > ROWS_MAX)
		return -ENOSPC;
	if (end > have)
		err = grow(rows, (end - have + MT_ROW_SEGMENT - 1) / MT_ROW_SEGMENT);
	if (!err)
		*room = rows->row + rows->cnt;
	return err;
}

int unwind_rows_take(struct unwind_rows *rows, size_t cnt, struct mt_code_table *out)
{
	*out = (struct mt_code_table){ rows->cnt, cnt };
	rows->cnt += cnt;
	return 0;
}

int unwind_rows_publish(const struct unwind_rows *rows, const struct mt_code_file *file,
			const struct mt_code_table *table)
{
	return bpf_map_update_elem(rows->files_fd, file, table, BPF_ANY) ? -errno : 0;
}

uint32_t unwind_rows_rule(const struct unwind_rows *rows, const struct mt_code_table *table,
			  uint32_t offset)
{
	uint32_t low = 0, high = table->cnt, rule = MT_ROW_NONE;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct mt_row *row = &rows->row[table->first + middle];

		if (row->pc <= offset) {
			rule = row->rule;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return rule;
}
