// SPDX-License-Identifier: MIT
#include "capture/code.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "capture/cfi_cache.h"
#include "capture/elf_file.h"
#include "capture/modules.h"
#include "capture/unwind_rows.h"

/* Rows of one build id (or of one file without). */
struct rows {
	uint8_t build_id[CFI_CACHE_ID_MAX];
	size_t build_id_len; /* 0: none */
	struct mt_code_table table;
};

struct file {
	struct mt_code_file key;
	size_t rows; /* index, or NO_ROWS */
};

/* A module of some process's map, and which rows are its file's. */
struct known_module {
	struct module *module; /* held */
	size_t rows;
	uint64_t ino;	 /* 0: unknown */
	bool in_overlay; /* the kernel maps another inode than user space is told of */
};

#define NO_ROWS ((size_t)-1)

struct code {
	struct unwind_rows *kernel_rows;
	char *cache_dir;
	struct rows *rows;
	size_t rows_cnt;
	size_t generated; /* index, or NO_ROWS */
	struct file *files;
	size_t file_cnt;
	struct known_module *modules;
	size_t module_cnt;
	void (*log)(void *ctx, const char *line);
	void *ctx;
};

struct code *code_new(struct unwind_rows *kernel_rows, const char *cache_dir,
		      void (*log)(void *ctx, const char *line), void *ctx)
{
	struct code *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->kernel_rows = kernel_rows;
	c->generated = NO_ROWS;
	c->log = log;
	c->ctx = ctx;
	c->cache_dir = cache_dir ? strdup(cache_dir) : NULL;
	if (cache_dir && !c->cache_dir) {
		free(c);
		return NULL;
	}
	return c;
}

void code_free(struct code *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->module_cnt; i++)
		module_put(c->modules[i].module);
	free(c->cache_dir);
	free(c->rows);
	free(c->files);
	free(c->modules);
	free(c);
}

static void file_key(const struct stat *st, struct mt_code_file *key)
{
	key->ino = st->st_ino;
	key->dev = (uint64_t)major(st->st_dev) << 20 | minor(st->st_dev);
	key->version = MT_CODE_VERSION(st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static struct file *find_file(struct code *c, const struct mt_code_file *key)
{
	for (size_t i = c->file_cnt; i-- > 0;)
		if (!memcmp(&c->files[i].key, key, sizeof(*key)))
			return &c->files[i];
	return NULL;
}

static size_t find_rows(const struct code *c, const uint8_t *id, size_t len)
{
	for (size_t i = 0; i < c->rows_cnt; i++)
		if (len && c->rows[i].build_id_len == len && !memcmp(c->rows[i].build_id, id, len))
			return i;
	return NO_ROWS;
}

static size_t read_build_id(const struct elf_file *elf, uint8_t *id)
{
	const void *bits = NULL;
	ssize_t len = dwelf_elf_gnu_build_id(elf->elf, &bits);

	if (len <= 0 || len > CFI_CACHE_ID_MAX)
		return 0;
	memcpy(id, bits, len);
	return len;
}

static int by_pc(const void *a, const void *b)
{
	const struct mt_row *x = a, *y = b;

	return x->pc < y->pc ? -1 : x->pc > y->pc;
}

/* From the file's addresses to offsets in the file, which is what a mapping tells. Rows outside of
 * executable segments are for nothing; where one segment's end is not the next one's beginning, a gap
 * row says so. */
static size_t rows_to_offsets(const struct elf_file *elf, const struct cfi_table *table,
			      struct mt_row *out)
{
	size_t n = 0;

	for (size_t s = 0; s < elf->load_cnt; s++) {
		const struct elf_segment *seg = &elf->loads[s];
		uint64_t end = seg->vaddr + seg->file_size;
		uint32_t rule;

		if (!seg->executable || !seg->file_size || end > UINT32_MAX)
			continue;
		rule = cfi_table_rule(table, seg->vaddr);
		out[n++] = (struct mt_row){ seg->file_offset, rule };
		for (size_t i = 0; i < table->row_cnt; i++) {
			uint64_t pc = table->rows[i].pc;

			if (pc > seg->vaddr && pc < end)
				out[n++] = (struct mt_row){ pc - seg->vaddr + seg->file_offset,
							    table->rows[i].rule };
		}
		out[n++] = (struct mt_row){ seg->file_offset + seg->file_size, MT_ROW_NONE };
	}
	qsort(out, n, sizeof(*out), by_pc);
	return n;
}

static void tell(const struct code *c, const char *name, size_t rows, double seconds)
{
	char line[512];

	if (!c->log)
		return;
	snprintf(line, sizeof(line), "%s: unwind table of %zu rows in %.1f ms", name, rows,
		 seconds * 1e3);
	c->log(c->ctx, line);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Builds the table and stores it among the rows; its index, or NO_ROWS with *err. */
static size_t load_rows(struct code *c, int fd, const struct elf_file *elf, const char *name,
			const uint8_t *id, size_t id_len, int *err)
{
	struct rows *grown, fresh = { .build_id_len = id_len };
	struct cfi_table table = {};
	struct mt_row *offsets;
	double start = now_s();
	size_t cnt;

	*err = cfi_cache_table(&table, fd, c->cache_dir, id, id_len);
	if (*err || !table.row_cnt) {
		if (!*err)
			cfi_table_fini(&table);
		if (*err == -ENOEXEC || *err == -EIO || *err == -E2BIG)
			*err = 0;
		return NO_ROWS;
	}
	offsets = calloc(table.row_cnt + 2 * elf->load_cnt, sizeof(*offsets));
	grown = realloc(c->rows, (c->rows_cnt + 1) * sizeof(*grown));
	if (grown)
		c->rows = grown;
	*err = -ENOMEM;
	if (offsets && grown) {
		cnt = rows_to_offsets(elf, &table, offsets);
		*err = unwind_rows_add(c->kernel_rows, offsets, cnt, &fresh.table);
	}
	free(offsets);
	cfi_table_fini(&table);
	if (*err)
		return NO_ROWS;
	memcpy(fresh.build_id, id, id_len);
	c->rows[c->rows_cnt] = fresh;
	tell(c, name, fresh.table.cnt, now_s() - start);
	return c->rows_cnt++;
}

/* The rows of what is no ELF file and has no name in any directory: compilers put what they make into such
 * files to map it twice, to be written and to be run. */
static size_t generated_rows(struct code *c, int *err)
{
	static const struct mt_row row = { 0, MT_RULE(MT_ROW_GENERATED, 0, 0) };
	struct rows *grown, fresh = {};

	if (c->generated != NO_ROWS)
		return c->generated;
	*err = -ENOMEM;
	grown = realloc(c->rows, (c->rows_cnt + 1) * sizeof(*grown));
	if (!grown)
		return NO_ROWS;
	c->rows = grown;
	*err = unwind_rows_add(c->kernel_rows, &row, 1, &fresh.table);
	if (*err)
		return NO_ROWS;
	c->rows[c->rows_cnt] = fresh;
	c->generated = c->rows_cnt++;
	return c->generated;
}

/* NO_ROWS: the file has no table, which the probes should know as well. */
static int publish(struct code *c, const struct mt_code_file *key, size_t rows)
{
	static const struct mt_code_table none;

	return unwind_rows_publish(c->kernel_rows, key, rows == NO_ROWS ? &none : &c->rows[rows].table);
}

static struct file *add(struct code *c, int fd, const char *name, const struct mt_code_file *key,
			bool unnamed, int *err)
{
	struct file *grown = realloc(c->files, (c->file_cnt + 1) * sizeof(*grown));
	uint8_t id[CFI_CACHE_ID_MAX];
	struct elf_file elf;
	size_t id_len, rows;
	enum elf_file_error why;

	*err = -ENOMEM;
	if (!grown)
		return NULL;
	c->files = grown;
	rows = NO_ROWS;
	*err = 0;
	if (!elf_file_open(&elf, fd, &why)) {
		id_len = read_build_id(&elf, id);
		rows = find_rows(c, id, id_len);
		if (rows == NO_ROWS)
			rows = load_rows(c, fd, &elf, name, id, id_len, err);
		elf_file_close(&elf);
	} else if (why == ELF_FILE_NOT_ELF && unnamed) {
		rows = generated_rows(c, err);
	}
	if (!*err)
		*err = publish(c, key, rows);
	if (*err)
		return NULL;
	grown[c->file_cnt] = (struct file){ *key, rows };
	return &grown[c->file_cnt++];
}

static struct file *get(struct code *c, int fd, const char *name, int *err)
{
	struct mt_code_file key;
	struct file *file;
	struct stat st;

	*err = 0;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return NULL;
	file_key(&st, &key);
	file = find_file(c, &key);
	return file ? file : add(c, fd, name, &key, !st.st_nlink, err);
}

int code_add(struct code *c, int fd, const char *name)
{
	int err;

	get(c, fd, name, &err);
	return err;
}

int code_add_as(struct code *c, int fd, const char *name, const struct mt_code_file *key)
{
	struct file *file, *grown;
	size_t rows;
	int err;

	if (find_file(c, key))
		return 0;
	file = get(c, fd, name, &err);
	if (!file)
		return err;
	rows = file->rows;
	grown = realloc(c->files, (c->file_cnt + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->files = grown;
	grown[c->file_cnt] = (struct file){ *key, rows };
	err = publish(c, key, rows);
	if (!err)
		c->file_cnt++;
	return err;
}

static const struct known_module *find_module(const struct code *c, const struct module *module)
{
	for (size_t i = 0; i < c->module_cnt; i++)
		if (c->modules[i].module == module)
			return &c->modules[i];
	return NULL;
}

static int remember_module(struct code *c, struct module *module, size_t rows, uint64_t ino,
			   bool in_overlay)
{
	struct known_module *grown = realloc(c->modules, (c->module_cnt + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	c->modules = grown;
	grown[c->module_cnt++] = (struct known_module){ module_ref(module), rows, ino, in_overlay };
	return 0;
}

/* The file may be out of reach by now, but known by what the kernel said when it was mapped. */
bool code_knows_module(struct code *c, struct module *module)
{
	const struct module_id *id = &module->id;
	size_t rows = find_rows(c, id->build_id, id->build_id_len);

	if (find_module(c, module))
		return true;
	for (size_t i = c->file_cnt; rows == NO_ROWS && id->ino && i-- > 0;) {
		const struct mt_code_file *key = &c->files[i].key;

		if (key->ino == id->ino &&
		    key->dev == ((uint64_t)major(id->dev) << 20 | minor(id->dev)))
			rows = c->files[i].rows;
	}
	return rows != NO_ROWS && !remember_module(c, module, rows, id->ino, false);
}

int code_add_module(struct code *c, struct module *module, int fd)
{
	const struct module_id *id = &module->id;
	struct statfs fs;
	struct file *file;
	int err;

	file = get(c, fd, id->path, &err);
	if (!file)
		return err ? err : -EINVAL;
	if (id->build_id_len && file->rows != NO_ROWS &&
	    (c->rows[file->rows].build_id_len != id->build_id_len ||
	     memcmp(c->rows[file->rows].build_id, id->build_id, id->build_id_len)))
		return -ESTALE;
	return remember_module(c, module, file->rows, file->key.ino,
			       !fstatfs(fd, &fs) && fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

int code_name_module(struct code *c, const struct module *module, const struct mt_code_file *file)
{
	const struct known_module *known = find_module(c, module);

	if (!known || (known->ino != file->ino && !known->in_overlay))
		return -ENOENT;
	return publish(c, file, known->rows);
}

bool code_module_rule(const struct code *c, const struct module *module, uint64_t offset,
		      uint32_t *rule)
{
	const struct known_module *known = find_module(c, module);

	if (!known)
		return false;
	*rule = known->rows == NO_ROWS || offset > UINT32_MAX ?
			MT_ROW_NONE :
			unwind_rows_rule(c->kernel_rows, &c->rows[known->rows].table, offset);
	return true;
}
