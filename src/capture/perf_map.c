// SPDX-License-Identifier: MIT
#include "capture/perf_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES (64U << 10) /* read at once; a line that is longer is none */

struct range {
	uint64_t start, end;
	uint32_t name; /* offset in names */
};

struct perf_map {
	struct range *ranges; /* sorted, disjoint */
	size_t cnt;
	char *names; /* each ended by a 0 */
	size_t names_len;
};

/* Entries in the order of the file. */
struct reader {
	struct perf_map *map;
	struct range *entries;
	size_t cnt, cap, names_cap;
	struct perf_map_stats stats;
	uint64_t seen_bytes;
	bool in_long_line;
};

/* ---- lines ----------------------------------------------------------------------------------------- */

/* Digits up to a space, which is passed; false when there are none or too many. */
static bool take_hex(const char **at, const char *end, uint64_t *value)
{
	const char *c = *at;

	if (end - c > 2 && c[0] == '0' && (c[1] == 'x' || c[1] == 'X'))
		c += 2;
	*value = 0;
	for (*at = c; c < end && *c != ' '; c++) {
		int digit = *c >= '0' && *c <= '9' ? *c - '0' :
			    *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 :
			    *c >= 'A' && *c <= 'F' ? *c - 'A' + 10 :
						     -1;

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
	r->entries[r->cnt++] = (struct range){ start, end, (uint32_t)map->names_len };
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
	if (!take_hex(&line, end, &start) || !take_hex(&line, end, &size) || line == end || !*line ||
	    !size || start + size < start) {
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

/* ---- ranges ---------------------------------------------------------------------------------------- */

/* Entries that hold at the place the sweep is at: a heap, the latest entry on top. */
struct sweep {
	const struct range *entries;
	uint32_t *heap;
	size_t cnt;
};

static void sift_up(struct sweep *s, uint32_t entry)
{
	size_t at = s->cnt++;

	for (; at && s->heap[(at - 1) / 2] < entry; at = (at - 1) / 2)
		s->heap[at] = s->heap[(at - 1) / 2];
	s->heap[at] = entry;
}

static void pop(struct sweep *s)
{
	uint32_t last = s->heap[--s->cnt];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < s->cnt) {
		child += child + 1 < s->cnt && s->heap[child + 1] > s->heap[child];
		if (s->heap[child] < last)
			break;
		s->heap[at] = s->heap[child];
		at = child;
	}
	s->heap[at] = last;
}

static int by_start(const void *a, const void *b, void *entries)
{
	const struct range *x = (const struct range *)entries + *(const uint32_t *)a;
	const struct range *y = (const struct range *)entries + *(const uint32_t *)b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Each step ends where an entry begins or the topmost one ends: at most two ranges an entry. */
static void sweep(struct sweep *s, const uint32_t *order, size_t cnt, struct perf_map *map)
{
	uint64_t at = 0;

	for (size_t next = 0; next < cnt || s->cnt;) {
		const struct range *top;
		struct range *last = map->cnt ? &map->ranges[map->cnt - 1] : NULL;
		uint64_t end;

		if (!s->cnt)
			at = s->entries[order[next]].start;
		while (next < cnt && s->entries[order[next]].start <= at)
			sift_up(s, order[next++]);
		top = &s->entries[s->heap[0]];
		if (top->end <= at) {
			pop(s);
			continue;
		}
		end = top->end;
		if (next < cnt && s->entries[order[next]].start < end)
			end = s->entries[order[next]].start;
		if (last && last->end == at && last->name == top->name)
			last->end = end;
		else
			map->ranges[map->cnt++] = (struct range){ at, end, top->name };
		at = end;
	}
}

static int make_ranges(struct reader *r)
{
	struct sweep s = { .entries = r->entries };
	uint32_t *order = calloc(r->cnt + 1, sizeof(*order));
	int err = -ENOMEM;

	s.heap = calloc(r->cnt + 1, sizeof(*s.heap));
	r->map->ranges = calloc(2 * r->cnt + 1, sizeof(*r->map->ranges));
	if (order && s.heap && r->map->ranges) {
		for (size_t i = 0; i < r->cnt; i++)
			order[i] = i;
		qsort_r(order, r->cnt, sizeof(*order), by_start, r->entries);
		sweep(&s, order, r->cnt, r->map);
		err = 0;
	}
	free(order);
	free(s.heap);
	return err;
}

/* ---- a map ------------------------------------------------------------------------------------------ */

static int finish(struct reader *r, int err, struct perf_map **map, struct perf_map_stats *stats)
{
	struct range *fitting;

	if (!err)
		err = make_ranges(r);
	free(r->entries);
	if (err) {
		perf_map_free(r->map);
		return err;
	}
	fitting = reallocarray(r->map->ranges, r->map->cnt + 1, sizeof(*fitting));
	if (fitting)
		r->map->ranges = fitting;
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

static const struct range *find(const struct perf_map *map, uint64_t address)
{
	size_t low = 0, high = map->cnt;

	while (low < high) { /* the first that ends behind address */
		size_t middle = low + (high - low) / 2;

		if (map->ranges[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low < map->cnt && map->ranges[low].start <= address ? &map->ranges[low] : NULL;
}

const char *perf_map_find(const struct perf_map *map, uint64_t address)
{
	const struct range *range = find(map, address);

	return range ? map->names + range->name : NULL;
}

bool perf_map_range(const struct perf_map *map, size_t i, uint64_t *start, uint64_t *end,
		    const char **name)
{
	if (i >= map->cnt)
		return false;
	*start = map->ranges[i].start;
	*end = map->ranges[i].end;
	*name = map->names + map->ranges[i].name;
	return true;
}

int perf_map_keep(struct perf_map *map, const uint64_t *addresses, size_t cnt)
{
	struct perf_map few = {};
	struct reader r = { .map = &few };
	bool *wanted = calloc(map->cnt + 1, sizeof(*wanted));
	int err = wanted ? 0 : -ENOMEM;

	for (size_t i = 0; i < cnt && !err; i++) {
		const struct range *range = find(map, addresses[i]);

		if (range)
			wanted[range - map->ranges] = true;
	}
	for (size_t i = 0; i < map->cnt && !err; i++) {
		const char *name = map->names + map->ranges[i].name;

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
