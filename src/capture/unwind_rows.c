// SPDX-License-Identifier: MIT
#include "capture/unwind_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define ROWS_MAX ((size_t)MT_ROW_SEGMENTS * MT_ROW_SEGMENT)

int unwind_rows_init(struct unwind_rows *rows, struct table_memory *memory, int outer_fd,
		     int first_fd, int files_fd)
{
	const struct segment_kind kind = { outer_fd, sizeof(*rows->row), MT_ROW_SEGMENT };
	void *at = table_reserve(ROWS_MAX * sizeof(*rows->row));
	int err = -errno;

	if (!at)
		return err;
	if (!table_map(memory, first_fd, segment_bytes(&kind), at)) {
		err = -errno;
		table_unmap(at, ROWS_MAX * sizeof(*rows->row));
		return err;
	}
	*rows = (struct unwind_rows){
		.memory = memory,
		.files_fd = files_fd,
		.row = at,
		.segment_cnt = 1,
		.seen_cnt = 1,
	};
	publisher_init(&rows->publisher, &kind);
	return 0;
}

void unwind_rows_fini(struct unwind_rows *rows)
{
	if (!rows->row)
		return;
	publisher_fini(&rows->publisher);
	table_unmap(rows->row, ROWS_MAX * sizeof(*rows->row));
	*rows = (struct unwind_rows){ 0 };
}

static void *segment_at(const struct unwind_rows *rows, uint32_t segment)
{
	return rows->row + (size_t)segment * MT_ROW_SEGMENT;
}

/* Unmaps the last segments, down to cnt of them. */
static void shrink(struct unwind_rows *rows, uint32_t cnt)
{
	while (rows->segment_cnt > cnt)
		segment_drop(rows->memory, &rows->publisher.kind,
			     segment_at(rows, --rows->segment_cnt), true);
}

/* Waits until the probes see all segments; drops those that they never will. */
static int settle(struct unwind_rows *rows)
{
	if (rows->seen_cnt == rows->segment_cnt)
		return 0;
	if (publisher_wait(&rows->publisher)) {
		shrink(rows, rows->seen_cnt);
		return -ENOSPC;
	}
	rows->seen_cnt = rows->segment_cnt;
	return 0;
}

/* Adds segments, all or none; the probes may not see them yet. */
static int grow(struct unwind_rows *rows, uint32_t cnt)
{
	const struct segment_kind *kind = &rows->publisher.kind;
	int *fds = calloc(cnt, sizeof(*fds)), fd;
	uint32_t first;
	void *at;

	if (!fds || settle(rows) || !segments_fit(rows->memory, kind, cnt)) {
		free(fds);
		return -ENOSPC;
	}
	first = rows->segment_cnt;
	for (uint32_t i = 0; i < cnt; i++) {
		fd = segment_make(rows->memory, kind, segment_at(rows, first + i), &at);
		if (fd < 0) {
			while (i-- > 0)
				close(fds[i]);
			free(fds);
			shrink(rows, first);
			return -ENOSPC;
		}
		fds[i] = fd;
		rows->segment_cnt++;
	}
	if (!publisher_start(&rows->publisher, first, fds, cnt))
		return 0;
	shrink(rows, first);
	return -ENOSPC;
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
	int err = settle(rows);

	if (err)
		return err;
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
