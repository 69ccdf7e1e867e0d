// SPDX-License-Identifier: MIT
#include "capture/cfi_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 3 /* of the layout, and of what rows mean */
#define MAGIC "mtunwind"
#define CHUNK_BYTES (256 << 10) /* read, then summed while it is in the processor's cache */
#define NAME_LEN (2 * CFI_CACHE_ID_MAX + 48)
#define LANES 4
#define PAGE_BYTES ((size_t)4 << 10)
#define LARGE_PAGE_BYTES ((size_t)2 << 20)

#define CHECKSUM_PRIME 0x9e3779b97f4a7c15ULL

struct header {
	char magic[8];
	uint32_t version;
	uint32_t id_len;
	uint8_t id[CFI_CACHE_ID_MAX];
	struct cfi_counts counts;
	uint32_t pad;
	uint64_t row_cnt;
	uint64_t checksum; /* of this header, with 0 here, and of the rows */
};

_Static_assert(sizeof(struct header) == 120, "the layout on disk");
_Static_assert(sizeof(struct header) % 8 == 0, "summed by words");

/* Against damage, not against forgery: each word goes through a function that is one to one, so no
 * change within a word can go unseen. Lanes, as one multiplication has to wait for the last. */
struct checksum {
	uint64_t lane[LANES];
};

static uint64_t mix(uint64_t lane, uint64_t word)
{
	lane = (lane ^ word) * CHECKSUM_PRIME;
	return lane ^ lane >> 29;
}

static void checksum_add(struct checksum *sum, const void *words, size_t word_cnt)
{
	struct checksum s = *sum;
	const uint64_t *word = words, *end = word + word_cnt;

	for (; end - word >= LANES; word += LANES) {
		s.lane[0] = mix(s.lane[0], word[0]);
		s.lane[1] = mix(s.lane[1], word[1]);
		s.lane[2] = mix(s.lane[2], word[2]);
		s.lane[3] = mix(s.lane[3], word[3]);
	}
	for (size_t i = 0; word + i < end; i++)
		s.lane[i] = mix(s.lane[i], word[i]);
	*sum = s;
}

static uint64_t checksum_value(const struct checksum *sum)
{
	uint64_t value = 0;

	for (size_t i = 0; i < LANES; i++)
		value = mix(value, sum->lane[i]);
	return value;
}

/* The directory, when nobody else can have put files there. */
static int open_dir(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static bool id_is_usable(size_t id_len)
{
	return id_len && id_len <= CFI_CACHE_ID_MAX;
}

/* HEX.unwind2 */
static void file_name(char name[static NAME_LEN], const uint8_t *id, size_t id_len)
{
	for (size_t i = 0; i < id_len; i++)
		snprintf(name + 2 * i, 3, "%02x", id[i]);
	snprintf(name + 2 * id_len, NAME_LEN - 2 * id_len, ".unwind%d", VERSION);
}

static bool read_all(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t n = read(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf = (char *)buf + n;
		len -= n;
	}
	return true;
}

static bool write_all(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf = (const char *)buf + n;
		len -= n;
	}
	return true;
}

/* ---- loading -----------------------------------------------------------------------------------
 */

static bool header_is_good(const struct header *h, const struct stat *st, const void *id,
			   size_t id_len)
{
	return !memcmp(h->magic, MAGIC, sizeof(h->magic)) && h->version == VERSION &&
	       h->id_len == id_len && !memcmp(h->id, id, id_len) && h->row_cnt <= CFI_ROWS_MAX &&
	       (uint64_t)st->st_size == sizeof(*h) + h->row_cnt * sizeof(struct mt_row);
}

/* What table users rely on, of rows[from] up to rows[to - 1]; those before are known to be good. */
static bool rows_are_good(const struct mt_row *rows, size_t from, size_t to)
{
	int64_t last = from ? (int64_t)rows[from - 1].pc : -1;
	bool good = true;

	for (size_t i = from; i < to; i++) {
		good &= last < rows[i].pc && MT_RULE_KIND(rows[i].rule) < MT_ROW_KIND_CNT;
		last = rows[i].pc;
	}
	return good;
}

/* Most of a load's time would be page faults: small pages are asked for at once (from Linux 5.14
 * on), large tables get large pages. Where the system refuses, faults it is. */
static struct mt_row *allocate_rows(size_t cnt)
{
	size_t bytes = cnt * sizeof(struct mt_row);
	bool large = bytes >= LARGE_PAGE_BYTES / 2;
	size_t page = large ? LARGE_PAGE_BYTES : PAGE_BYTES;
	void *rows;

	bytes = bytes ? (bytes + page - 1) & ~(page - 1) : page;
	rows = aligned_alloc(page, bytes);
	if (rows && large)
		madvise(rows, bytes, MADV_HUGEPAGE);
	else if (rows)
		madvise(rows, bytes, MADV_POPULATE_WRITE);
	return rows;
}

static int read_rows(int fd, const struct header *h, struct mt_row *rows)
{
	struct header summed = *h;
	struct checksum sum = { 0 };
	const size_t chunk = CHUNK_BYTES / sizeof(*rows);

	summed.checksum = 0;
	checksum_add(&sum, &summed, sizeof(summed) / 8);
	for (size_t from = 0; from < h->row_cnt; from += chunk) {
		size_t cnt = h->row_cnt - from < chunk ? h->row_cnt - from : chunk;

		if (!read_all(fd, rows + from, cnt * sizeof(*rows)) ||
		    !rows_are_good(rows, from, from + cnt))
			return -ENOENT;
		checksum_add(&sum, rows + from, cnt);
	}
	return checksum_value(&sum) == h->checksum ? 0 : -ENOENT;
}

static int load_file(struct cfi_table *table, int fd, const void *id, size_t id_len)
{
	struct mt_row *rows;
	struct header h;
	struct stat st;
	int err;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_mode & (S_IWGRP | S_IWOTH) || !read_all(fd, &h, sizeof(h)) ||
	    !header_is_good(&h, &st, id, id_len))
		return -ENOENT;
	rows = allocate_rows(h.row_cnt);
	if (!rows)
		return -ENOMEM;
	err = read_rows(fd, &h, rows);
	if (err) {
		free(rows);
		return err;
	}
	*table = (struct cfi_table){ .rows = rows, .row_cnt = h.row_cnt, .counts = h.counts };
	return 0;
}

int cfi_cache_load(struct cfi_table *table, const char *dir, const void *id, size_t id_len)
{
	char name[NAME_LEN];
	int dir_fd, fd, err;

	if (!id_is_usable(id_len))
		return -ENOENT;
	dir_fd = open_dir(dir);
	if (dir_fd < 0)
		return -ENOENT;
	file_name(name, id, id_len);
	/* not to wait for a pipe's other end */
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	close(dir_fd);
	if (fd < 0)
		return -ENOENT;
	err = load_file(table, fd, id, id_len);
	close(fd);
	return err;
}

/* ---- storing -----------------------------------------------------------------------------------
 */

/* A new file that only this thread knows; one of that name was left by a thread that is gone. */
static int create_temporary(int dir_fd, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && !unlinkat(dir_fd, name, 0))
		fd = openat(dir_fd, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_table(int fd, const struct cfi_table *table, const void *id, size_t id_len)
{
	struct header h = {
		.magic = MAGIC,
		.version = VERSION,
		.id_len = id_len,
		.counts = table->counts,
		.row_cnt = table->row_cnt,
	};
	struct checksum sum = { 0 };
	const size_t chunk = CHUNK_BYTES / sizeof(*table->rows);

	memcpy(h.id, id, id_len);
	checksum_add(&sum, &h, sizeof(h) / 8);
	for (size_t from = 0; from < table->row_cnt; from += chunk) {
		size_t cnt = table->row_cnt - from < chunk ? table->row_cnt - from : chunk;

		checksum_add(&sum, table->rows + from, cnt);
	}
	h.checksum = checksum_value(&sum);
	if (!write_all(fd, &h, sizeof(h)) ||
	    !write_all(fd, table->rows, table->row_cnt * sizeof(*table->rows)))
		return errno ? -errno : -EIO;
	return 0;
}

static int store_in(int dir_fd, const struct cfi_table *table, const void *id, size_t id_len)
{
	char name[NAME_LEN], temporary[64];
	int fd, err;

	file_name(name, id, id_len);
	snprintf(temporary, sizeof(temporary), ".new-%d", (int)gettid());
	fd = create_temporary(dir_fd, temporary);
	if (fd < 0)
		return fd;
	errno = 0;
	err = write_table(fd, table, id, id_len);
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(dir_fd, temporary, dir_fd, name))
		err = -errno;
	if (err)
		unlinkat(dir_fd, temporary, 0);
	return err;
}

int cfi_cache_store(const struct cfi_table *table, const char *dir, const void *id, size_t id_len)
{
	int dir_fd, err;

	if (!id_is_usable(id_len))
		return -EINVAL;
	dir_fd = open_dir(dir);
	if (dir_fd < 0)
		return dir_fd;
	err = store_in(dir_fd, table, id, id_len);
	close(dir_fd);
	return err;
}

/* Whether nobody but root or the caller can have written the file. */
static bool file_is_trusted(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && (!st.st_uid || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

int cfi_cache_table(struct cfi_table *table, int fd, const char *dir, const void *id, size_t id_len)
{
	bool cached = dir && id_is_usable(id_len) && file_is_trusted(fd);
	int err;

	if (cached && !cfi_cache_load(table, dir, id, id_len))
		return 0;
	err = cfi_table_build(table, fd);
	if (!err && cached)
		cfi_cache_store(table, dir, id, id_len); /* else it is built again next time */
	return err;
}
