// SPDX-License-Identifier: MIT
/*
 * fuzz_perf_map.c - damages lists of generated code, and holds what is read to the plain reading.
 *
 *	fuzz_perf_map CORPUS_DIR [SEED [SECONDS]]
 *
 * An input is a file of the corpus with a few changes. Whatever it is: the ranges are sorted and
 * disjoint, each address has the name that the last good line says, the same from a file as from
 *memory and after all else is forgotten. A finding aborts; the input stays in
 *./fuzz_perf_map.input, to be made small and added to the corpus, which the unit tests replay.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/perf_map_check.h"

#define INPUT "fuzz_perf_map.input"
#define INPUT_BYTES_MAX (16 << 10)
#define SEEDS_MAX 64
#define HANG_S 20

struct input {
	char data[INPUT_BYTES_MAX];
	size_t len;
};

struct corpus {
	struct input seeds[SEEDS_MAX];
	size_t cnt;
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x9e3779b97f4a7c15ULL;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
	return limit ? (next(state) >> 16) % limit : 0;
}

static void fail(const char *what)
{
	fprintf(stderr, "fuzz_perf_map: %s (see " INPUT ")\n", what);
	abort();
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void check_address(const struct perf_map *map, const struct input *in, uint64_t address)
{
	size_t len = 0;
	const char *expected = perf_map_expected(in->data, in->len, address, &len);
	const char *got = perf_map_find(map, address);

	if (!expected != !got)
		fail(got ? "a name from nowhere" : "a name is missing");
	if (got && (strlen(got) != len || memcmp(got, expected, len) != 0))
		fail("another name than the last line's");
}

static void check_same(const struct perf_map *a, const struct perf_map *b)
{
	uint64_t start, end, other_start, other_end;
	const char *name, *other;

	for (size_t i = 0;; i++) {
		bool more = perf_map_range(a, i, &start, &end, &name);

		if (more != perf_map_range(b, i, &other_start, &other_end, &other))
			fail("a file gives other ranges than memory");
		if (!more)
			return;
		if (start != other_start || end != other_end || strcmp(name, other) != 0)
			fail("a file gives another range than memory");
	}
}

static void check_kept(uint64_t *state, struct perf_map *map, const struct input *in)
{
	uint64_t addresses[8], start, end;
	const char *name;
	size_t cnt = 0;

	while (perf_map_range(map, cnt, &start, &end, &name) && cnt < 1000)
		cnt++;
	for (size_t i = 0; i < 8; i++) {
		addresses[i] = next(state);
		if (perf_map_range(map, below(state, cnt), &start, &end, &name))
			addresses[i] = start + below(state, end - start);
	}
	if (perf_map_keep(map, addresses, 8))
		fail("no memory");
	if (perf_map_check(map))
		fail(perf_map_check(map));
	for (size_t i = 0; i < 8; i++)
		check_address(map, in, addresses[i]);
}

static uint64_t try_input(uint64_t *state, int fd, const struct input *in)
{
	struct perf_map *map, *read_map;
	struct perf_map_stats stats;
	uint64_t start, end;
	const char *name;

	alarm(HANG_S);
	if (perf_map_parse(&map, in->data, in->len, &stats) || perf_map_read(&read_map, fd, NULL))
		fail("cannot read it");
	if (perf_map_check(map))
		fail(perf_map_check(map));
	check_same(map, read_map);
	for (size_t i = 0;
	     i < 40 && perf_map_range(map, below(state, 4 * i + 1), &start, &end, &name); i++) {
		check_address(map, in, start);
		check_address(map, in, end - 1);
		check_address(map, in, end);
		check_address(map, in, start - 1);
	}
	check_kept(state, map, in);
	perf_map_free(map);
	perf_map_free(read_map);
	return stats.entries;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static void load_corpus(struct corpus *corpus, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) && corpus->cnt < SEEDS_MAX) {
		int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);
		struct input *in = &corpus->seeds[corpus->cnt];
		ssize_t len = fd < 0 ? -1 : read(fd, in->data, sizeof(in->data));

		in->len = len > 0 ? len : 0;
		corpus->cnt += len > 0;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
}

static void mutate(uint64_t *state, struct input *in, const struct corpus *corpus)
{
	static const char *const words[] = {
		"\n", " ",  "0",    "f",	   "ffffffffffffffff ",
		"0x", "-",  "\r\n", "1000 10 x\n", "7fffffffffffffff 2 ",
		"\0", " 0 "
	};
	const struct input *other = &corpus->seeds[below(state, corpus->cnt)];
	size_t at = below(state, in->len), from, len;
	const char *word;

	if (!in->len)
		return;
	switch (below(state, 6)) {
	case 0:
		in->data[at] ^= 1 << below(state, 8);
		break;
	case 1:
		in->data[at] = next(state);
		break;
	case 2: /* a word over what is there */
		word = words[below(state, sizeof(words) / sizeof(words[0]))];
		len = *word ? strlen(word) : 1;
		if (len <= in->len - at)
			memcpy(in->data + at, word, len);
		break;
	case 3: /* some of another one put in between */
		from = below(state, other->len);
		len = below(state, 200);
		if (len > other->len - from || in->len + len > sizeof(in->data))
			break;
		memmove(in->data + at + len, in->data + at, in->len - at);
		memmove(in->data + at, other->data + from, len);
		in->len += len;
		break;
	case 4: /* some taken out */
		len = below(state, 40);
		if (len > in->len - at)
			break;
		memmove(in->data + at, in->data + at + len, in->len - at - len);
		in->len -= len;
		break;
	case 5:
		if (!below(state, 8))
			in->len = at;
		break;
	}
}

int main(int argc, char **argv)
{
	struct corpus *corpus = calloc(1, sizeof(*corpus));
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, inputs = 0, entries = 0;
	time_t end = time(NULL) + (argc > 3 ? atoi(argv[3]) : 30);
	static struct input in;
	int fd;

	if (argc < 2 || !corpus || !state) {
		fprintf(stderr, "usage: fuzz_perf_map CORPUS_DIR [SEED [SECONDS]]\n");
		return 2;
	}
	load_corpus(corpus, argv[1]);
	fd = open(INPUT, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (!corpus->cnt || fd < 0) {
		fprintf(stderr, "fuzz_perf_map: no corpus in %s, or no place to write\n", argv[1]);
		return 1;
	}
	for (; time(NULL) < end; inputs++) {
		in = corpus->seeds[below(&state, corpus->cnt)];
		for (uint64_t n = 1 + below(&state, 12); n; n--)
			mutate(&state, &in, corpus);
		if (ftruncate(fd, 0) || pwrite(fd, in.data, in.len, 0) != (ssize_t)in.len)
			fail("cannot write " INPUT);
		entries += try_input(&state, fd, &in);
	}
	unlink(INPUT);
	close(fd);
	free(corpus);
	printf("%lu inputs with %lu good lines\n", (unsigned long)inputs, (unsigned long)entries);
	return 0;
}
