// SPDX-License-Identifier: MIT
#include "capture/code.h"

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
#include "capture/code_id.h"
#include "capture/code_rows.h"
#include "capture/modules.h"
#include "capture/unwind_rows.h"

/* Rows of one build id (or of one file without). */
struct rows {
	uint8_t build_id[CODE_ID_BYTES_MAX];
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
	struct cfi_cache cache;
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
	cfi_cache_init(&c->cache, cache_dir);
	return c;
}

void code_free(struct code *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->module_cnt; i++)
		module_put(c->modules[i].module);
	cfi_cache_fini(&c->cache);
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

/* Adds the file's table to the rows; its index, or NO_ROWS with *err. */
static size_t load_rows(struct code *c, int fd, const struct stat *st, const struct code_id *id,
			const char *name, int *err)
{
	struct rows *grown = realloc(c->rows, (c->rows_cnt + 1) * sizeof(*grown));
	struct rows fresh = { .build_id_len = id->build_id_len };
	double start = now_s();

	*err = -ENOMEM;
	if (!grown)
		return NO_ROWS;
	c->rows = grown;
	*err = code_rows_add(c->kernel_rows, &c->cache, fd, st, id, &fresh.table);
	if (*err == -ENOEXEC || *err == -EIO || *err == -E2BIG)
		*err = 0;
	if (*err || !fresh.table.cnt)
		return NO_ROWS;
	memcpy(fresh.build_id, id->build_id, id->build_id_len);
	grown[c->rows_cnt] = fresh;
	tell(c, name, fresh.table.cnt, now_s() - start);
	return c->rows_cnt++;
}

/* The rows of what is no ELF file and has no name in any directory: compilers put what they make into such
 * files to map it twice, to be written and to be run. */
static size_t generated_rows(struct code *c, int *err)
{
	struct rows *grown, fresh = {};
	struct mt_row *room;

	if (c->generated != NO_ROWS)
		return c->generated;
	*err = -ENOMEM;
	grown = realloc(c->rows, (c->rows_cnt + 1) * sizeof(*grown));
	if (!grown)
		return NO_ROWS;
	c->rows = grown;
	*err = unwind_rows_room(c->kernel_rows, 1, &room);
	if (*err)
		return NO_ROWS;
	*room = (struct mt_row){ 0, MT_RULE(MT_ROW_GENERATED, 0, 0) };
	*err = unwind_rows_take(c->kernel_rows, 1, &fresh.table);
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
	const struct mt_code_table *table = rows == NO_ROWS ? &none : &c->rows[rows].table;

	return unwind_rows_publish(c->kernel_rows, key, table);
}

static struct file *add(struct code *c, int fd, const char *name, const struct stat *st,
			const struct mt_code_file *key, int *err)
{
	struct file *grown = realloc(c->files, (c->file_cnt + 1) * sizeof(*grown));
	size_t rows = NO_ROWS;
	struct code_id id;

	*err = -ENOMEM;
	if (!grown)
		return NULL;
	c->files = grown;
	*err = 0;
	if (!code_id_read(&id, fd)) {
		rows = find_rows(c, id.build_id, id.build_id_len);
		if (rows == NO_ROWS)
			rows = load_rows(c, fd, st, &id, name, err);
	} else if (!st->st_nlink) {
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
	return file ? file : add(c, fd, name, &st, &key, err);
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
