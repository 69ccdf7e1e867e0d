// SPDX-License-Identifier: MIT
/*
 * fuzz_cfi.c - damages small ELF files and cached tables, and holds what is read to its rules.
 *
 *	fuzz_cfi CORPUS_DIR [SEED [SECONDS]]
 *
 * An input is a file of the corpus with a few changes. Whatever it is: building a table ends within
 * seconds, a table obeys its rules (cfi_check.h), each of its rows makes steps that obey theirs,
 * rows by offset are those by address, and a damaged cache file is a miss or gives the same table.
 * A finding aborts; the input stays in ./fuzz_cfi.input, to be made small and added to the corpus,
 * which the unit tests replay.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../unit/cfi_check.h"
#include "capture/cfi.h"
#include "capture/cfi_cache.h"
#include "capture/code_rows.h"

#define INPUT "fuzz_cfi.input"
#define KEPT "01020304.unwind4"
#define INPUT_BYTES_MAX (64 << 10)
#define SEEDS_MAX 256
#define HANG_S 20
#define STEPS_MAX 200 /* rows tried of a table */

struct random {
	uint64_t state;
};

static uint64_t next(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x9e3779b97f4a7c15ULL;
}

static uint64_t below(struct random *r, uint64_t limit)
{
	return limit ? (next(r) >> 16) % limit : 0;
}

/* ---- what must hold ----------------------------------------------------------------------------
 */

static void fail(const char *what)
{
	fprintf(stderr, "fuzz_cfi: %s (see " INPUT ")\n", what);
	abort();
}

static int read_random(struct random *r, uint64_t addr, __u64 *word)
{
	if (addr & 7)
		fail("a read of a word that is not aligned");
	if (!below(r, 16))
		return -EFAULT;
	*word = next(r) >> below(r, 64);
	return 0;
}

#define MT_UNWIND_READ(stack, addr, word) read_random(stack, addr, word)
#include "memtrace/unwind.h"

static void check_step(struct random *r, uint32_t rule)
{
	struct mt_frame before = {
		.pc = next(r) >> below(r, 64),
		.sp = next(r) >> below(r, 64) & ~7ULL,
		.fp = next(r) >> below(r, 64),
		.exact = below(r, 2),
	};
	struct mt_frame after = before;
	int result = mt_unwind_step(r, rule, &after);

	if (result < 0 || result >= MT_STEP_CNT)
		fail("a step's result has no name");
	after.to = before.to; /* its scratch */
	if (result != MT_STEP_CALLER && memcmp(&before, &after, sizeof(before)) != 0)
		fail("a step that is none changed the frame");
	if (result != MT_STEP_CALLER)
		return;
	if (after.sp <= before.sp && MT_RULE_KIND(rule) != MT_ROW_SIGNAL)
		fail("the stack did not grow");
	if (after.pc < MT_USER_MIN || after.pc >= MT_USER_MAX)
		fail("a return address outside of user space");
}

static void check_table(struct random *r, const struct cfi_table *table)
{
	const char *broken = cfi_check_table(table);

	if (broken)
		fail(broken);
	for (size_t i = 0; i < table->row_cnt && i < STEPS_MAX; i++)
		check_step(r, table->rows[i].rule);
}

/* ---- inputs ------------------------------------------------------------------------------------
 */

struct input {
	uint8_t data[INPUT_BYTES_MAX];
	size_t len;
};

struct corpus {
	struct input seeds[SEEDS_MAX];
	size_t cnt;
};

static bool load_input(struct input *in, int fd)
{
	ssize_t len = pread(fd, in->data, sizeof(in->data), 0);

	in->len = len > 0 ? len : 0;
	return len > 0;
}

static void load_corpus(struct corpus *corpus, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) && corpus->cnt < SEEDS_MAX) {
		int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);

		if (fd >= 0 && load_input(&corpus->seeds[corpus->cnt], fd))
			corpus->cnt++;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
}

/* Most of a file is zeros that nobody reads: where there is something is where to change it. */
static size_t place(struct random *r, const struct input *in)
{
	size_t at = below(r, in->len);

	for (unsigned i = 0; i < 64 && !in->data[at]; i++)
		at = below(r, in->len);
	at += below(r, 9);
	return at < in->len ? at : in->len - 1;
}

static void mutate(struct random *r, struct input *in, const struct corpus *corpus)
{
	static const uint64_t values[] = { 0,	       1,	   2,	       0x7f,
					   0x80,       0xff,	   0x7fff,     0xffff,
					   0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX,
					   1ULL << 63, UINT64_MAX };
	const struct input *other = &corpus->seeds[below(r, corpus->cnt)];
	size_t at = place(r, in), from, len;

	switch (below(r, 8)) {
	case 0:
	case 1:
		in->data[at] ^= 1U << below(r, 8);
		break;
	case 2:
		in->data[at] = next(r);
		break;
	case 3:
	case 4:
		len = (size_t)1 << below(r, 4);
		if (len <= in->len - at)
			memcpy(in->data + at, &values[below(r, sizeof(values) / 8)], len);
		break;
	case 5: /* some of the same file */
		from = place(r, in);
		len = below(r, 32);
		if (len <= in->len - at && len <= in->len - from)
			memmove(in->data + at, in->data + from, len);
		break;
	case 6: /* some of another one */
		from = place(r, other);
		len = below(r, 256);
		if (len <= in->len - at && len <= other->len - from)
			memcpy(in->data + at, other->data + from, len);
		break;
	case 7:
		if (!below(r, 16))
			in->len = at + 1;
		else
			in->data[at] += (uint8_t)(below(r, 16) - 8);
		break;
	}
}

static void write_input(int fd, const struct input *in)
{
	if (ftruncate(fd, 0) || pwrite(fd, in->data, in->len, 0) != (ssize_t)in->len)
		fail("cannot write " INPUT);
}

/* ---- the cache ---------------------------------------------------------------------------------
 */

static int load_kept(const struct cfi_cache *cache, const uint8_t id[4], struct cfi_table *table)
{
	struct cfi_kept kept;
	int err = cfi_cache_find(cache, id, 4, &kept);

	if (err)
		return err;
	*table = (struct cfi_table){ .row_cnt = kept.row_cnt };
	table->rows = malloc(kept.row_cnt * sizeof(*table->rows) + !kept.row_cnt);
	err = cfi_kept_read(&kept, table->rows);
	if (err)
		cfi_table_fini(table);
	return err;
}

static bool tables_agree(const struct cfi_table *a, const struct cfi_table *b)
{
	return a->row_cnt == b->row_cnt &&
	       (!a->row_cnt || !memcmp(a->rows, b->rows, a->row_cnt * sizeof(*a->rows)));
}

static void check_cache(struct random *r, const struct cfi_table *table, const char *dir)
{
	static const uint8_t id[4] = { 1, 2, 3, 4 };
	struct cfi_cache cache;
	struct cfi_table loaded;
	struct input in;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/" KEPT, dir);
	cfi_cache_init(&cache, dir);
	if (cfi_cache_store(&cache, id, sizeof(id), table->rows, table->row_cnt) ||
	    load_kept(&cache, id, &loaded))
		fail("a table that was kept is not found");
	if (!tables_agree(table, &loaded))
		fail("a table that was kept comes back as another one");
	cfi_table_fini(&loaded);
	fd = open(path, O_RDWR);
	if (fd < 0 || !load_input(&in, fd))
		fail("cannot read a cache file");
	in.data[below(r, in.len)] ^= 1 + below(r, 255);
	write_input(fd, &in);
	close(fd);
	if (!load_kept(&cache, id, &loaded)) {
		if (!tables_agree(table, &loaded))
			fail("a damaged cache file was believed");
		cfi_table_fini(&loaded);
	}
	cfi_cache_fini(&cache);
}

/* ---- rows by offset ------------------------------------------------------------------------------
 */

/* Rows of each segment that has its bytes for itself are the table's. */
static void check_rows(const struct unwind_rows *rows, const struct mt_code_table *by_offset,
		       const struct code_id *id, const struct cfi_table *table)
{
	for (uint32_t i = 0; i < by_offset->cnt; i++) {
		if (i && rows->row[i].pc <= rows->row[i - 1].pc)
			fail("rows by offset out of order");
		if (MT_RULE_KIND(rows->row[i].rule) >= MT_ROW_KIND_CNT)
			fail("a row by offset of an unknown kind");
	}
	for (size_t s = 0; id->segment_cnt == 1 && s < table->row_cnt; s++) {
		const struct code_segment *seg = &id->segments[0];
		uint32_t in = table->rows[s].pc - seg->vaddr;

		if (in < seg->size && unwind_rows_rule(rows, by_offset, in + seg->offset) !=
					      table->rows[s].rule)
			fail("a row by offset is not the one by address");
	}
}

static void check_by_offset(int fd, const struct cfi_table *table)
{
	struct table_memory no_budget = { 0 };
	struct unwind_rows rows = { .memory = &no_budget, .segment_cnt = 1, .seen_cnt = 1 };
	struct cfi_cache nowhere;
	struct mt_code_table by_offset;
	struct code_id id;
	struct stat st;

	cfi_cache_init(&nowhere, NULL);
	if (code_id_read(&id, fd) || fstat(fd, &st))
		fail("a file with a table is no ELF file");
	rows.row = malloc(MT_ROW_SEGMENT * sizeof(*rows.row));
	if (!code_rows_add(&rows, &nowhere, fd, &st, &id, &by_offset))
		check_rows(&rows, &by_offset, &id, table);
	free(rows.row);
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

struct tally {
	uint64_t inputs, refused, tables, rows, cached;
};

static void try_input(struct random *r, int fd, const char *dir, struct tally *tally)
{
	struct cfi_table table;
	int err;

	alarm(HANG_S);
	err = cfi_table_build(&table, fd);
	tally->inputs++;
	if (err) {
		tally->refused++;
		return;
	}
	check_table(r, &table);
	if (!below(r, 8))
		check_by_offset(fd, &table);
	tally->tables += table.row_cnt > 0;
	tally->rows += table.row_cnt;
	if (!below(r, 64)) {
		check_cache(r, &table, dir);
		tally->cached++;
	}
	cfi_table_fini(&table);
}

static void run(struct random *r, const struct corpus *corpus, int fd, const char *dir,
		unsigned seconds, struct tally *tally)
{
	time_t end = time(NULL) + seconds;
	struct input in;

	while (time(NULL) < end)
		for (unsigned i = 0; i < 256; i++) {
			in = corpus->seeds[below(r, corpus->cnt)];
			for (uint64_t n = 1 + below(r, 8); n; n--)
				mutate(r, &in, corpus);
			write_input(fd, &in);
			try_input(r, fd, dir, tally);
		}
}

int main(int argc, char **argv)
{
	struct corpus *corpus = calloc(1, sizeof(*corpus));
	struct random r = { .state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1 };
	unsigned seconds = argc > 3 ? strtoul(argv[3], NULL, 0) : 30;
	char dir[] = "/tmp/fuzz_cfi-XXXXXX", path[64];
	struct tally tally = { 0 };
	int fd;

	if (argc < 2 || !corpus || !r.state) {
		fprintf(stderr, "usage: fuzz_cfi CORPUS_DIR [SEED [SECONDS]]\n");
		return 2;
	}
	load_corpus(corpus, argv[1]);
	fd = open(INPUT, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (!corpus->cnt || fd < 0 || !mkdtemp(dir)) {
		fprintf(stderr, "fuzz_cfi: no corpus in %s, or no place to write\n", argv[1]);
		return 1;
	}
	run(&r, corpus, fd, dir, seconds, &tally);
	snprintf(path, sizeof(path), "%s/" KEPT, dir);
	unlink(path);
	rmdir(dir);
	unlink(INPUT);
	close(fd);
	free(corpus);
	printf("%lu inputs: %lu refused, %lu with rows (%lu rows), %lu cache files damaged\n",
	       (unsigned long)tally.inputs, (unsigned long)tally.refused,
	       (unsigned long)tally.tables, (unsigned long)tally.rows, (unsigned long)tally.cached);
	return 0;
}
