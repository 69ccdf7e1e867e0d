// SPDX-License-Identifier: MIT
#include "capture/code_rows.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

_Static_assert(CODE_ID_BYTES_MAX + 8 <= CFI_CACHE_ID_MAX, "a build id and a hash");

/* ---- kept rows ------------------------------------------------------------------------------ */

/* The build id, and a hash of where the segments are. */
struct kept_id {
	uint8_t bytes[CFI_CACHE_ID_MAX];
	size_t len; /* 0: the file's rows are not kept */
};

/* Whether nobody but root or the caller can have written the file. */
static bool is_trusted(const struct stat *st)
{
	return (!st->st_uid || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static struct kept_id kept_id(const struct stat *stat, const struct code_id *id)
{
	const uint32_t *word = (const uint32_t *)id->segments;
	struct kept_id kept = { .len = 0 };
	uint64_t where = FNV_OFFSET;

	if (!id->build_id_len || !is_trusted(stat))
		return kept;
	for (size_t i = 0; i < id->segment_cnt * sizeof(*id->segments) / sizeof(*word); i++)
		where = (where ^ word[i]) * FNV_PRIME;
	memcpy(kept.bytes, id->build_id, id->build_id_len);
	memcpy(kept.bytes + id->build_id_len, &where, sizeof(where));
	kept.len = id->build_id_len + sizeof(where);
	return kept;
}

/* -ENOENT: there are none. */
static int load(struct unwind_rows *rows, const struct cfi_cache *cache, const struct kept_id *id,
		struct mt_code_table *out)
{
	struct cfi_kept kept;
	struct mt_row *room;
	int err = cfi_cache_find(cache, id->bytes, id->len, &kept);

	if (err)
		return err;
	err = unwind_rows_room(rows, kept.row_cnt, &room);
	if (err) {
		cfi_kept_drop(&kept);
		return err;
	}
	err = cfi_kept_read(&kept, room);
	return err ?: unwind_rows_take(rows, kept.row_cnt, out);
}

/* ---- new rows ------------------------------------------------------------------------------- */

/* Rows for all segments, and for each the one it begins with and the gap behind it. Segments may
 * share addresses. */
static size_t room_wanted(const struct cfi_table *table, const struct code_id *id)
{
	size_t cnt = 0;

	for (size_t s = 0; s < id->segment_cnt; s++) {
		const struct code_segment *seg = &id->segments[s];

		cnt += cfi_table_behind(table, (uint64_t)seg->vaddr + seg->size) -
		       cfi_table_behind(table, seg->vaddr) + 2;
	}
	return cnt;
}

/* Writes rows by offset, rising strictly. Where segments share bytes of the file the first one has
 * them. */
static size_t write_rows(const struct cfi_table *table, const struct code_id *id,
			 struct mt_row *out)
{
	uint32_t covered = 0;
	size_t n = 0;

	for (size_t s = 0; s < id->segment_cnt; s++) {
		const struct code_segment *seg = &id->segments[s];
		uint32_t end = seg->offset + seg->size, from = seg->offset, pc;

		if (n && from <= covered) {
			if (end <= covered)
				continue;
			from = covered;
			n--; /* the gap behind the one before */
		}
		pc = from - seg->offset + seg->vaddr;
		out[n++] = (struct mt_row){ from, cfi_table_rule(table, pc) };
		for (size_t i = cfi_table_behind(table, pc); i < table->row_cnt; i++) {
			if (table->rows[i].pc - seg->vaddr >= seg->size)
				break;
			out[n++] = (struct mt_row){ table->rows[i].pc - seg->vaddr + seg->offset,
						    table->rows[i].rule };
		}
		out[n++] = (struct mt_row){ end, MT_RULE(MT_ROW_NONE, 0, 0) };
		covered = end;
	}
	return n;
}

static int build(struct unwind_rows *rows, int fd, const struct code_id *id,
		 struct mt_code_table *out)
{
	struct cfi_table table;
	struct mt_row *room;
	size_t wanted;
	int err = cfi_table_build(&table, fd);

	if (err)
		return err;
	*out = (struct mt_code_table){ 0 };
	wanted = table.row_cnt ? room_wanted(&table, id) : 0;
	if (wanted > CFI_ROWS_MAX)
		err = -E2BIG;
	else if (wanted)
		err = unwind_rows_room(rows, wanted, &room);
	if (!err && wanted)
		err = unwind_rows_take(rows, write_rows(&table, id, room), out);
	cfi_table_fini(&table);
	return err;
}

int code_rows_add(struct unwind_rows *rows, const struct cfi_cache *cache, int fd,
		  const struct stat *stat, const struct code_id *id, struct mt_code_table *out)
{
	const struct kept_id name = kept_id(stat, id);
	int err = load(rows, cache, &name, out);

	if (err != -ENOENT)
		return err;
	err = build(rows, fd, id, out);
	if (!err && out->cnt) /* if it cannot be kept, it is built again next time */
		cfi_cache_store(cache, name.bytes, name.len, rows->row + out->first, out->cnt);
	return err;
}
