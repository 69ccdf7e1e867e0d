// SPDX-License-Identifier: MIT
/*
 * tables.c - what a file's unwind table costs: made anew, and kept from another session.
 *
 *	tables FILE...
 *
 * Both are timed from an open file to rows that the probes can find, in maps that were just made;
 * the two take turns, and a file's figures are medians. Files stay in the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "capture/code.h"
#include "capture/unwind_rows.h"

#define ROUNDS 51

static void die(const char *what)
{
	fprintf(stderr, "tables: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* The probes' maps for rows, with nothing in them. */
struct maps {
	int outer, first, files;
};

static void maps_open(struct maps *maps)
{
	LIBBPF_OPTS(bpf_map_create_opts, array, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_map_create_opts, hash, .map_flags = BPF_F_NO_PREALLOC);
	LIBBPF_OPTS(bpf_map_create_opts, arrays);

	maps->first = bpf_map_create(BPF_MAP_TYPE_ARRAY, "first", sizeof(uint32_t),
				     sizeof(struct mt_row), MT_ROW_SEGMENT, &array);
	arrays.inner_map_fd = maps->first;
	maps->outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rows", sizeof(uint32_t),
				     sizeof(uint32_t), MT_ROW_SEGMENTS, &arrays);
	maps->files = bpf_map_create(BPF_MAP_TYPE_HASH, "files", sizeof(struct mt_code_file),
				     sizeof(struct mt_code_table), 16384, &hash);
	if (maps->first < 0 || maps->outer < 0 || maps->files < 0)
		die("maps");
}

static void maps_close(struct maps *maps)
{
	close(maps->first);
	close(maps->outer);
	close(maps->files);
}

/* Adds the file to a session that has none but an empty one: the first entry of a map costs 15 us
 * more, once. */
static double add_once(const char *path, const char *cache_dir, uint32_t *row_cnt)
{
	static const struct mt_code_file other = { .ino = 1 };
	static const struct mt_code_table none;
	struct table_memory memory = { .budget = 1ULL << 30 };
	struct unwind_rows rows;
	struct code *code;
	struct maps maps;
	double took;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	maps_open(&maps);
	if (fd < 0 || unwind_rows_init(&rows, &memory, maps.outer, maps.first, maps.files))
		die(path);
	code = code_new(&rows, cache_dir, NULL, NULL);
	if (!code || unwind_rows_publish(&rows, &other, &none))
		die(path);
	took = now_us();
	if (code_add(code, fd, path))
		die(path);
	took = now_us() - took;
	*row_cnt = rows.cnt;
	code_free(code);
	unwind_rows_fini(&rows);
	maps_close(&maps);
	close(fd);
	return took;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *path, const char *cache_dir)
{
	double made[ROUNDS], kept[ROUNDS];
	uint32_t row_cnt, again;

	add_once(path, cache_dir, &row_cnt); /* keeps it */
	for (int i = 0; i < ROUNDS; i++) {
		made[i] = add_once(path, NULL, &row_cnt);
		kept[i] = add_once(path, cache_dir, &again);
		if (again != row_cnt)
			die("the table that was kept is another one");
	}
	qsort(made, ROUNDS, sizeof(*made), by_value);
	qsort(kept, ROUNDS, sizeof(*kept), by_value);
	printf("%-44s %7u rows: made in %9.1f us, kept %7.1f us: %5.1f times faster\n", path,
	       row_cnt, made[ROUNDS / 2], kept[ROUNDS / 2], made[ROUNDS / 2] / kept[ROUNDS / 2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/memtrace-bench-XXXXXX", command[64];

	if (argc < 2) {
		fprintf(stderr, "usage: tables FILE...\n");
		return 2;
	}
	if (!mkdtemp(dir))
		die(dir);
	for (int i = 1; i < argc; i++)
		if (!access(argv[i], R_OK))
			measure(argv[i], dir);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? 1 : 0;
}
