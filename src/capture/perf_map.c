// SPDX-License-Identifier: MIT
#include "capture/perf_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/overlap.h"

#define CHUNK_BYTES (64U << 10) /* read at once; a line that is longer is none */

struct perf_map {
	struct overlap_range *ranges; /* sorted, disjoint; id: offset in names */
	size_t cnt;
	char *names; /* each ended by a 0 */
	size_t names_len;
};

/* Entries in the order of the file. */
struct reader {
	struct perf_map *map;
	struct overlap_range *entries;
	size_t cnt, cap, names_cap;
	struct perf_map_stats stats;
	uint64_t seen_bytes;
	bool in_long_line;
};

/* ---- lines ----------------------------------------------------------------------------------- */

/* Digits up to a space, which is passed; false when there are none or too many. */
static bool take_hex(const char **at, const char *end, uint64_t *value)
{
	const char *c = *at;

	if (end - c > 2 && c[0] == '0' && (c[1] == 'x' || c[1] == 'X'))
		c += 2;
	*value = 0;
	for (*at = c; c < end && *c != ' '; c++) {
		int digit = *c >= '0' && *c <= '9'   ? *c - '0'
			    : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10
			    : *c >= 'A' && *c <= 'F' ? *c - 'A' + 10
						     : -1;

		if (digit < 0 || *value >> 60)
			return false;
		*value = *value << 4 | digit;
	}
	if (c == *at || c == end)
		return false;
	*at = c + 1;
	return true;
}

static int grow(void **array, size_t *cap, size_t want, size_t size)
{
	size_t more = *cap ? *cap : 1024;
	void *grown;

	if (want <= *cap)
		return 0;
	while (more < want)
		more *= 2;
	grown = reallocarray(*array, more, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*cap = more;
	return 0;
}

static int add_entry(struct reader *r, uint64_t start, uint64_t end, const char *name, size_t len)
{
	struct perf_map *map = r->map;

	len = strnlen(name, len < PERF_MAP_NAME_MAX ? len : PERF_MAP_NAME_MAX);
	if (grow((void **)&r->entries, &r->cap, r->cnt + 1, sizeof(*r->entries)) ||
	    grow((void **)&map->names, &r->names_cap, map->names_len + len + 1, 1))
		return -ENOMEM;
	r->entries[r->cnt++] = (struct overlap_range){ start, end, (uint32_t)map->names_len };
	memcpy(map->names + map->names_len, name, len);
	map->names[map->names_len + len] = 0;
	map->names_len += len + 1;
	r->stats.entries++;
	return 0;
}

static int take_line(struct reader *r, const char *line, const char *end)
{
	uint64_t start, size;

	if (end > line && end[-1] == '\r')
		end--;
	if (!take_hex(&line, end, &start) || !take_hex(&line, end, &size) || line == end ||
	    !*line || !size || start + size < start) {
		r->stats.malformed++;
		return 0;
	}
	if (r->cnt == PERF_MAP_ENTRIES_MAX) {
		r->stats.cut = true;
		return 0;
	}
	return add_entry(r, start, start + size, line, end - line);
}

/* Takes the whole lines of text; how many bytes those were, or -ENOMEM. */
static ssize_t take_lines(struct reader *r, const char *text, size_t len)
{
	const char *at = text, *end = text + len, *newline;

	while (at < end && (newline = memchr(at, '\n', end - at))) {
		if (!r->in_long_line && take_line(r, at, newline))
			return -ENOMEM;
		r->in_long_line = false;
		at = newline + 1;
	}
	return at - text;
}

/* ---- a map ----------------------------------------------------------------------------------- */

static int finish(struct reader *r, int err, struct perf_map **map, struct perf_map_stats *stats)
{
	if (!err)
		err = overlap_resolve(r->entries, r->cnt, &r->map->ranges, &r->map->cnt);
	free(r->entries);
	if (err) {
		perf_map_free(r->map);
		return err;
	}
	if (stats)
		*stats = r->stats;
	*map = r->map;
	return 0;
}

int perf_map_parse(struct perf_map **map, const char *text, size_t len,
		   struct perf_map_stats *stats)
{
	struct reader r = { .map = calloc(1, sizeof(*r.map)) };

	if (!r.map)
		return -ENOMEM;
	return finish(&r, take_lines(&r, text, len) < 0 ? -ENOMEM : 0, map, stats);
}

/* Reads on while it is worth it. */
static int read_lines(struct reader *r, int fd, char *chunk)
{
	size_t have = 0;

	for (;;) {
		ssize_t got = pread(fd, chunk + have, CHUNK_BYTES - have, r->seen_bytes), used;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		r->seen_bytes += got;
		have += got;
		used = take_lines(r, chunk, have);
		if (used < 0)
			return used;
		have -= used;
		memmove(chunk, chunk + used, have);
		if (have == CHUNK_BYTES) {
			r->stats.malformed += !r->in_long_line;
			r->in_long_line = true;
			have = 0;
		}
		if (r->seen_bytes >= PERF_MAP_BYTES_MAX ||
		    (!r->cnt && r->seen_bytes >= PERF_MAP_HOPELESS_BYTES)) {
			r->stats.cut = true;
			return 0;
		}
	}
}

int perf_map_read(struct perf_map **map, int fd, struct perf_map_stats *stats)
{
	struct reader r = { .map = calloc(1, sizeof(*r.map)) };
	char *chunk = malloc(CHUNK_BYTES);
	int err = -ENOMEM;

	if (r.map && chunk)
		err = finish(&r, read_lines(&r, fd, chunk), map, stats);
	else
		perf_map_free(r.map);
	free(chunk);
	return err;
}

void perf_map_free(struct perf_map *map)
{
	if (!map)
		return;
	free(map->ranges);
	free(map->names);
	free(map);
}

const char *perf_map_find(const struct perf_map *map, uint64_t address)
{
	const struct overlap_range *range = overlap_find(map->ranges, map->cnt, address);

	return range ? map->names + range->id : NULL;
}

bool perf_map_range(const struct perf_map *map, size_t i, uint64_t *start, uint64_t *end,
		    const char **name)
{
	if (i >= map->cnt)
		return false;
	*start = map->ranges[i].start;
	*end = map->ranges[i].end;
	*name = map->names + map->ranges[i].id;
	return true;
}

int perf_map_keep(struct perf_map *map, const uint64_t *addresses, size_t cnt)
{
	struct perf_map few = {};
	struct reader r = { .map = &few };
	bool *wanted = calloc(map->cnt + 1, sizeof(*wanted));
	int err = wanted ? 0 : -ENOMEM;

	for (size_t i = 0; i < cnt && !err; i++) {
		const struct overlap_range *range =
			overlap_find(map->ranges, map->cnt, addresses[i]);

		if (range)
			wanted[range - map->ranges] = true;
	}
	for (size_t i = 0; i < map->cnt && !err; i++) {
		const char *name = map->names + map->ranges[i].id;

		if (wanted[i])
			err = add_entry(&r, map->ranges[i].start, map->ranges[i].end, name,
					strlen(name));
	}
	free(wanted);
	if (err) {
		free(r.entries);
		free(few.names);
		return err;
	}
	free(map->ranges);
	free(map->names);
	*map = few;
	map->ranges = r.entries; /* they were in order */
	map->cnt = r.cnt;
	return 0;
}
