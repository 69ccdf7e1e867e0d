// SPDX-License-Identifier: MIT
#include "capture/cfi_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 4 /* of the layout, and of what rows mean; also in SUFFIX */
#define MAGIC "mtunwind"
#define CHUNK_ROWS \
	((size_t)8 << 10) /* read, then checked while they are in the processor's cache */
#define SUFFIX ".unwind4"
#define NAME_LEN (2 * CFI_CACHE_ID_MAX + sizeof(SUFFIX))
#define LANES 4

#define CHECKSUM_PRIME 0x9e3779b97f4a7c15ULL

struct header {
	char magic[8];
	uint32_t version;
	uint32_t id_len;
	uint8_t id[CFI_CACHE_ID_MAX];
	uint64_t row_cnt;
	uint64_t rows_sum;
	uint64_t sum; /* of all before */
};

_Static_assert(sizeof(struct header) == 112, "the layout on disk");
_Static_assert(offsetof(struct header, sum) % 8 == 0, "summed by words");

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

static uint64_t header_sum(const struct header *h)
{
	struct checksum sum = { 0 };

	checksum_add(&sum, h, offsetof(struct header, sum) / 8);
	return checksum_value(&sum);
}

/* Is it ours, and can nobody else have written it? */
static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static bool dir_is_ours(const struct cfi_cache *cache)
{
	struct stat st;

	return !fstat(cache->dir_fd, &st) && is_ours(&st);
}

void cfi_cache_init(struct cfi_cache *cache, const char *dir)
{
	cache->dir_fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
}

void cfi_cache_fini(struct cfi_cache *cache)
{
	if (cache->dir_fd >= 0)
		close(cache->dir_fd);
	cache->dir_fd = -1;
}

static bool id_is_usable(size_t id_len)
{
	return id_len && id_len <= CFI_CACHE_ID_MAX;
}

/* HEX.unwind4 */
static void file_name(char name[static NAME_LEN], const uint8_t *id, size_t id_len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < id_len; i++) {
		name[2 * i] = digits[id[i] >> 4];
		name[2 * i + 1] = digits[id[i] & 15];
	}
	strcpy(name + 2 * id_len, SUFFIX);
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
	       (uint64_t)st->st_size == sizeof(*h) + h->row_cnt * sizeof(struct mt_row) &&
	       h->sum == header_sum(h);
}

int cfi_cache_find(const struct cfi_cache *cache, const void *id, size_t id_len,
		   struct cfi_kept *kept)
{
	char name[NAME_LEN];
	struct header h;
	struct stat st;
	int fd;

	if (cache->dir_fd < 0 || !id_is_usable(id_len) || !dir_is_ours(cache))
		return -ENOENT;
	file_name(name, id, id_len);
	/* not to wait for a pipe's other end */
	fd = openat(cache->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_ours(&st) ||
	    !read_all(fd, &h, sizeof(h)) || !header_is_good(&h, &st, id, id_len)) {
		close(fd);
		return -ENOENT;
	}
	*kept = (struct cfi_kept){ fd, h.row_cnt, h.rows_sum };
	return 0;
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

int cfi_kept_read(struct cfi_kept *kept, struct mt_row *rows)
{
	struct checksum sum = { 0 };
	bool good = true;

	for (size_t from = 0; good && from < kept->row_cnt; from += CHUNK_ROWS) {
		size_t left = kept->row_cnt - from, cnt = left < CHUNK_ROWS ? left : CHUNK_ROWS;

		good = read_all(kept->fd, rows + from, cnt * sizeof(*rows)) &&
		       rows_are_good(rows, from, from + cnt);
		checksum_add(&sum, rows + from, cnt);
	}
	good &= checksum_value(&sum) == kept->rows_sum;
	cfi_kept_drop(kept);
	return good ? 0 : -ENOENT;
}

void cfi_kept_drop(struct cfi_kept *kept)
{
	close(kept->fd);
	kept->fd = -1;
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

static int write_rows(int fd, const struct mt_row *rows, size_t cnt, const void *id, size_t id_len)
{
	struct header h = {
		.magic = MAGIC,
		.version = VERSION,
		.id_len = id_len,
		.row_cnt = cnt,
	};
	struct checksum sum = { 0 };

	memcpy(h.id, id, id_len);
	for (size_t from = 0; from < cnt; from += CHUNK_ROWS)
		checksum_add(&sum, rows + from, cnt - from < CHUNK_ROWS ? cnt - from : CHUNK_ROWS);
	h.rows_sum = checksum_value(&sum);
	h.sum = header_sum(&h);
	if (!write_all(fd, &h, sizeof(h)) || !write_all(fd, rows, cnt * sizeof(*rows)))
		return errno ? -errno : -EIO;
	return 0;
}

int cfi_cache_store(const struct cfi_cache *cache, const void *id, size_t id_len,
		    const struct mt_row *rows, size_t cnt)
{
	char name[NAME_LEN], temporary[64];
	int fd, err;

	if (!id_is_usable(id_len) || cnt > CFI_ROWS_MAX)
		return -EINVAL;
	if (cache->dir_fd < 0)
		return -ENOENT;
	if (!dir_is_ours(cache))
		return -EPERM;
	file_name(name, id, id_len);
	snprintf(temporary, sizeof(temporary), ".new-%d", (int)gettid());
	fd = create_temporary(cache->dir_fd, temporary);
	if (fd < 0)
		return fd;
	errno = 0;
	err = write_rows(fd, rows, cnt, id, id_len);
	if (close(fd) && !err)
		err = -errno;
	if (!err && renameat(cache->dir_fd, temporary, cache->dir_fd, name))
		err = -errno;
	if (err)
		unlinkat(cache->dir_fd, temporary, 0);
	return err;
}
