// SPDX-License-Identifier: MIT
#include "capture/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "capture/deps.h"
#include "capture/modules.h"
#include "capture/process.h"
#include "capture/symbol_file.h"
#include "capture/vdso.h"

/* One place that was asked for. */
struct place {
	uint64_t file_offset; /* key */
	const struct symbol_frame *frames;
	uint32_t frame_cnt; /* 0: an empty slot */
};

/* One file: opened at first use, and when that failed, again when another process has it too. */
struct cached {
	struct cached *next;
	struct module_id id; /* path in the arena */
	pid_t pid;	     /* whose root it was looked for in */
	struct symbol_file *file;
	int kept_fd; /* -1: none */
	bool tried;
	pid_t met; /* the process it was last opened, or not to be opened, in */
	struct place *places; /* open addressing, a power of two */
	size_t place_cnt, place_cap;
};

#define FILE_BUCKETS 256

struct symbols {
	struct cached *files[FILE_BUCKETS];
	struct arena arena; /* strings, frames, struct cached */
	unsigned int kept_cnt;
	struct debug_server *server; /* NULL: none */
	bool wait;		     /* for it */
};

struct symbols *symbols_new(void)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (s)
		arena_init(&s->arena);
	return s;
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < FILE_BUCKETS; i++) {
		for (struct cached *c = s->files[i]; c; c = c->next) {
			symbol_file_close(c->file);
			if (c->kept_fd >= 0)
				close(c->kept_fd);
			free(c->places);
		}
	}
	arena_fini(&s->arena);
	free(s);
}

void symbols_use_server(struct symbols *s, struct debug_server *server)
{
	s->server = server;
}

void symbols_wait(struct symbols *s, bool wait)
{
	s->wait = wait;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A build id says it all; else device and inode; else only the path, in some process's root. */
static bool same_file(const struct cached *c, const struct module_id *id, pid_t pid)
{
	if (c->id.build_id_len || id->build_id_len)
		return c->id.build_id_len == id->build_id_len &&
		       !memcmp(c->id.build_id, id->build_id, id->build_id_len);
	if (c->id.ino || id->ino)
		return c->id.ino == id->ino && c->id.dev == id->dev &&
		       c->id.generation == id->generation && !strcmp(c->id.path, id->path);
	return c->pid == pid && !strcmp(c->id.path, id->path);
}

static size_t file_bucket(const struct module_id *id)
{
	uint64_t hash = id->ino * 0x9e3779b97f4a7c15ULL;

	if (id->build_id_len)
		memcpy(&hash, id->build_id, id->build_id_len < 8 ? id->build_id_len : 8);
	else if (!id->ino)
		for (const char *c = id->path; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
	return (hash ^ hash >> 32) % FILE_BUCKETS;
}

static struct cached *file_get(struct symbols *s, const struct module_id *id, pid_t pid)
{
	struct cached **bucket = &s->files[file_bucket(id)], *c;

	for (c = *bucket; c; c = c->next)
		if (same_file(c, id, pid))
			return c;
	c = arena_alloc(&s->arena, sizeof(*c));
	if (!c)
		return NULL;
	*c = (struct cached){ .id = *id, .pid = pid, .kept_fd = -1 };
	c->id.path = arena_strdup(&s->arena, id->path);
	if (!c->id.path)
		return NULL;
	c->next = *bucket;
	*bucket = c;
	return c;
}

/*
 * Without a build id the inode is what tells a file from a newer one of its name. The device is no
 * help: some file systems show one to stat and another to the maps of a process.
 */
static bool is_that_inode(int fd, const struct module_id *id)
{
	unsigned int generation = 0;
	struct stat st;

	if (id->build_id_len || !id->ino)
		return true;
	/* numbers of deleted files are given out again; most file systems tell */
	if (id->generation && !ioctl(fd, FS_IOC_GETVERSION, &generation) && generation &&
	    generation != id->generation)
		return false;
	return !fstat(fd, &st) && st.st_ino == id->ino;
}

/* Takes the file behind fd if it is the one. */
static int try_fd(struct symbols *s, struct cached *c, int fd, const char *path)
{
	if (!is_that_inode(fd, &c->id))
		return -ESTALE;
	return symbol_file_open(&c->file, fd, path, c->id.build_id, c->id.build_id_len, s->server);
}

static int try_root(struct symbols *s, struct cached *c, const char *root, const char *path)
{
	int fd = deps_open(root, path), err;

	if (fd < 0)
		return fd;
	err = try_fd(s, c, fd, path);
	close(fd);
	return err;
}

static int try_vdso(struct symbols *s, struct cached *c)
{
	int fd = vdso_open(), err;

	if (fd < 0)
		return fd;
	err = try_fd(s, c, fd, c->id.path);
	close(fd);
	return err;
}

static int open_file(struct symbols *s, struct cached *c, pid_t pid)
{
	char root[32];
	int err = -ENOENT;

	if (!strcmp(c->id.path, "[vdso]"))
		return try_vdso(s, c);
	if (c->kept_fd >= 0)
		err = try_fd(s, c, c->kept_fd, c->id.path);
	if (err == 0 || err == -ENOMEM || c->id.path[0] != '/')
		return err;
	/* what has that name now is another file; inode numbers of deleted files are given out again */
	if (c->id.deleted && !c->id.build_id_len)
		return err;
	if (pid) {
		snprintf(root, sizeof(root), "/proc/%d/root", pid);
		err = try_root(s, c, root, c->id.path);
		if (err == 0 || err == -ENOMEM)
			return err;
	}
	/* gone with its root; the same path here is as good if its identity proves it */
	if (pid && !c->id.build_id_len && !c->id.ino)
		return err;
	return try_root(s, c, NULL, c->id.path);
}

int symbols_keep(struct symbols *s, const struct module_id *module, int fd)
{
	struct cached *c = file_get(s, module, 0);

	if (!c)
		return -ENOMEM;
	if (c->kept_fd >= 0 || c->file)
		return 0;
	c->kept_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (c->kept_fd < 0)
		return -errno;
	c->tried = false;
	return 0;
}

void symbols_meet(struct symbols *s, const struct module_range *range, pid_t pid)
{
	const struct module_id *id = &range->module->id;
	struct cached *c;
	int fd;

	if (!module_has_file(id))
		return;
	c = file_get(s, id, pid);
	if (!c || c->file || c->kept_fd >= 0 || s->kept_cnt == SYMBOLS_KEPT_MAX ||
	    c->met == pid)
		return;
	c->met = pid;
	fd = process_open_mapped(pid, range->start);
	if (fd < 0)
		return;
	/* the number may be another process's by now, or the mapping another file's; a build id is
	 * looked at when the file is used */
	if (!is_that_inode(fd, id)) {
		close(fd);
		return;
	}
	c->kept_fd = fd;
	c->tried = false;
	s->kept_cnt++;
}

/* ---- places ---------------------------------------------------------------------------------- */

static struct place *place_slot(struct place *places, size_t cap, uint64_t file_offset)
{
	size_t at = (file_offset * 0x9e3779b97f4a7c15ULL >> 20) & (cap - 1);

	while (places[at].frame_cnt && places[at].file_offset != file_offset)
		at = (at + 1) & (cap - 1);
	return &places[at];
}

static int places_grow(struct cached *c)
{
	size_t cap = c->place_cap ? c->place_cap * 2 : 16;
	struct place *places;

	if ((c->place_cnt + 1) * 4 <= c->place_cap * 3)
		return 0;
	places = calloc(cap, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < c->place_cap; i++)
		if (c->places[i].frame_cnt)
			*place_slot(places, cap, c->places[i].file_offset) = c->places[i];
	free(c->places);
	c->places = places;
	c->place_cap = cap;
	return 0;
}

static int look_up(struct symbols *s, struct cached *c, uint64_t file_offset, struct place *place)
{
	struct symbol_frame found[SYMBOL_FRAMES_MAX] = { { .address = file_offset } }, *kept;
	int cnt = 1;

	if (c->file)
		cnt = symbol_file_resolve(c->file, file_offset, &s->arena, s->wait, found);
	if (cnt < 0)
		return cnt;
	kept = arena_array(&s->arena, cnt, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	memcpy(kept, found, cnt * sizeof(*kept));
	*place = (struct place){ file_offset, kept, cnt };
	c->place_cnt++;
	return 0;
}

/* Places that were asked for before a file was there must be asked for again. */
static void places_forget(struct cached *c)
{
	free(c->places);
	c->places = NULL;
	c->place_cnt = c->place_cap = 0;
}

int symbols_resolve(struct symbols *s, const struct module_id *module, pid_t pid,
		    uint64_t file_offset, const struct symbol_frame **frames)
{
	struct cached *c = file_get(s, module, pid);
	struct place *place;
	int err;

	if (!c)
		return -ENOMEM;
	if (c->file && symbol_file_is_behind(c->file, s->wait)) {
		symbol_file_close(c->file);
		c->file = NULL;
		c->tried = false;
	}
	if (!c->tried || (!c->file && c->pid != pid)) {
		err = open_file(s, c, pid);
		if (err == -ENOMEM)
			return err;
		c->tried = true;
		c->pid = pid;
		places_forget(c);
	}
	err = places_grow(c);
	if (err)
		return err;
	place = place_slot(c->places, c->place_cap, file_offset);
	if (!place->frame_cnt) {
		err = look_up(s, c, file_offset, place);
		if (err)
			return err;
	}
	*frames = place->frames;
	return place->frame_cnt;
}
