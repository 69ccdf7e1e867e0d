// SPDX-License-Identifier: MIT
#include "capture/deps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/elf_file.h"
#include "capture/ld_cache.h"

#define SCRIPTS_MAX 4	       /* as the kernel */
#define SCRIPT_LINE_MAX 256    /* as the kernel */
#define OBJECTS_MAX 1024       /* a closure larger than this is cut */
#define DYN_MAX 4096	       /* entries of a dynamic section that are looked at */
#define NEEDED_MAX 512	       /* of one object */
#define CACHE_MAX (16 << 20)   /* bytes of ld.so.cache */
#define CONF_MAX (64 << 10)    /* bytes of other files of /etc */

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#define MUSL_ARCH "x86_64"
#define PLATFORM "x86_64"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#define MUSL_ARCH "aarch64"
#define PLATFORM "aarch64"
#endif

/* One object of the closure, while it is made. */
struct object {
	const char *path;   /* below root */
	const char *origin; /* its directory, links resolved: $ORIGIN */
	const char *soname, *rpath, *runpath;
	const char **needed;
	size_t needed_cnt;
	const struct object *loader; /* who asked for it */
	dev_t dev;
	ino_t ino;
	enum dep_role role;
};

struct resolver {
	const struct deps_request *request;
	const char *root;
	struct deps *out;
	struct arena *arena;
	struct object *objects[OBJECTS_MAX];
	size_t cnt;
	const char *interp;    /* path of the dynamic linker */
	const char *musl_path; /* musl: where libraries are, by colons or lines */
	char *cache;	       /* bytes of ld.so.cache */
	size_t cache_len;
};

/* ---- files below a root -------------------------------------------------------------------------- */

static int open_in(const char *root, const char *path, int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int dirfd, fd;

	if (!root || !strcmp(root, "/")) {
		fd = open(path, flags | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	dirfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	fd = fd < 0 ? -errno : fd;
	close(dirfd);
	return fd;
}

int deps_open(const char *root, const char *path)
{
	/* a fifo must not hold us up */
	int fd = open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EACCES;
	}
	return fd;
}

/* The real path of an open file below root, links resolved; NULL when the kernel does not say. */
static char *real_path(struct resolver *r, int fd)
{
	char link[64], path[4096], root[4096] = "";
	int dirfd = open(r->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	len = dirfd < 0 ? -1 : readlink(link, root, sizeof(root) - 1);
	root[len > 0 ? len : 0] = 0;
	if (dirfd >= 0)
		close(dirfd);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0 || path[0] != '/')
		return NULL;
	path[len] = 0;
	len = strlen(root);
	if (len > 1 && !strncmp(path, root, len) && path[len] == '/')
		return arena_strdup(r->arena, path + len);
	return arena_strdup(r->arena, path);
}

/* A whole small file as a string, from the arena; NULL when there is none. */
static char *read_text(struct resolver *r, const char *path, size_t max, size_t *len)
{
	int fd = deps_open(r->root, path);
	struct stat st;
	char *text = NULL;
	size_t got;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && st.st_size > 0) {
		size_t size = (size_t)st.st_size < max ? (size_t)st.st_size : max;

		text = arena_alloc(r->arena, size + 1);
		got = text ? elf_file_read_at(fd, 0, text, size) : 0;
		if (text)
			text[got] = 0;
		if (len)
			*len = got;
	}
	close(fd);
	return text;
}

/* ---- one object --------------------------------------------------------------------------------- */

static const char *dynamic_string(struct resolver *r, const struct elf_file *file, uint64_t strtab,
				  uint64_t offset)
{
	char text[4096];
	uint64_t at;

	if (!elf_file_offset(file, strtab, &at) || offset > INT64_MAX - at ||
	    !elf_file_string(file->fd, at + offset, text, sizeof(text)))
		return NULL;
	return arena_strdup(r->arena, text);
}

/* The dynamic section by its segment, as the linker reads it: sections may be stripped. */
static int read_dynamic(struct resolver *r, const struct elf_file *file, struct object *o)
{
	size_t size = file->dynamic.p_filesz / sizeof(Elf64_Dyn), cnt, needed = 0;
	uint64_t strtab = 0;
	Elf64_Dyn *dyn;

	if (file->dynamic.p_type != PT_DYNAMIC)
		return 0;
	size = size < DYN_MAX ? size : DYN_MAX;
	dyn = arena_array(r->arena, size + 1, sizeof(*dyn));
	if (!dyn)
		return -ENOMEM;
	cnt = elf_file_read_at(file->fd, file->dynamic.p_offset, dyn, size * sizeof(*dyn)) /
	      sizeof(*dyn);
	for (size_t i = 0; i < cnt && dyn[i].d_tag != DT_NULL; i++) {
		if (dyn[i].d_tag == DT_STRTAB)
			strtab = dyn[i].d_un.d_ptr;
		needed += dyn[i].d_tag == DT_NEEDED;
	}
	needed = needed < NEEDED_MAX ? needed : NEEDED_MAX;
	o->needed = arena_array(r->arena, needed + 1, sizeof(*o->needed));
	if (!o->needed)
		return -ENOMEM;
	for (size_t i = 0; i < cnt && dyn[i].d_tag != DT_NULL; i++) {
		const char **where = NULL;

		if (dyn[i].d_tag == DT_SONAME)
			where = &o->soname;
		else if (dyn[i].d_tag == DT_RPATH)
			where = &o->rpath;
		else if (dyn[i].d_tag == DT_RUNPATH)
			where = &o->runpath;
		else if (dyn[i].d_tag == DT_NEEDED && o->needed_cnt < needed)
			where = &o->needed[o->needed_cnt];
		else
			continue;
		*where = dynamic_string(r, file, strtab, dyn[i].d_un.d_val);
		o->needed_cnt += dyn[i].d_tag == DT_NEEDED && *where;
	}
	if (o->runpath)
		o->rpath = NULL; /* as the linkers: one replaces the other */
	return 0;
}

static const char *directory_of(struct resolver *r, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return NULL;
	return arena_strndup(r->arena, path, slash == path ? 1 : slash - path);
}

static struct object *find_inode(struct resolver *r, const struct stat *st)
{
	for (size_t i = 0; i < r->cnt; i++)
		if (r->objects[i]->dev == st->st_dev && r->objects[i]->ino == st->st_ino)
			return r->objects[i];
	return NULL;
}

/*
 * Adds an opened file to the closure unless it is there. -ENOEXEC when it cannot be loaded, which
 * for the linker means to look on.
 */
static int add_file(struct resolver *r, int fd, const char *path, enum dep_role role,
		    const struct object *loader)
{
	enum elf_file_error why;
	struct elf_file file;
	struct object *o;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (find_inode(r, &st))
		return 0;
	if (r->cnt == OBJECTS_MAX)
		return 0;
	err = elf_file_open(&file, fd, &why);
	if (err)
		return err;
	o = arena_alloc(r->arena, sizeof(*o));
	if (o) {
		*o = (struct object){ .path = arena_strdup(r->arena, path), .loader = loader,
				      .dev = st.st_dev, .ino = st.st_ino, .role = role };
		o->origin = directory_of(r, real_path(r, fd));
		err = read_dynamic(r, &file, o);
	}
	if (o && !err && role == DEP_EXECUTABLE && file.interp.p_type == PT_INTERP) {
		char interp[4096];

		if (elf_file_string(fd, file.interp.p_offset, interp, sizeof(interp)))
			r->interp = arena_strdup(r->arena, interp);
	}
	elf_file_close(&file);
	if (!o || !o->path)
		return -ENOMEM;
	if (!err)
		r->objects[r->cnt++] = o;
	return err;
}

static bool try_path(struct resolver *r, const char *path, enum dep_role role,
		     const struct object *loader)
{
	int fd = deps_open(r->root, path), err;

	if (fd < 0)
		return false;
	err = add_file(r, fd, path, role, loader);
	close(fd);
	return !err;
}

/* ---- where libraries are ------------------------------------------------------------------------- */

struct search {
	struct resolver *r;
	const char *name;
	enum dep_role role;
	const struct object *loader;
};

static bool try_in(const struct search *s, const char *dir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, s->name) >= sizeof(path))
		return false;
	return try_path(s->r, path, s->role, s->loader);
}

/* A directory and its glibc-hwcaps below. */
static bool try_dir(const struct search *s, const char *dir)
{
	const char *const *hwcaps = s->r->out->is_musl ? NULL : ld_hwcaps();
	char path[4096];

	for (; hwcaps && *hwcaps; hwcaps++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, *hwcaps) < sizeof(path) &&
		    try_in(s, path))
			return true;
	return try_in(s, dir);
}

static const char *token_value(const char *at, const struct object *owner, size_t *len)
{
	static const struct {
		const char *name, *value;
	} tokens[] = {
		{ "$ORIGIN", NULL },	 { "${ORIGIN}", NULL },
		{ "$LIB", "lib/" MULTIARCH }, { "${LIB}", "lib/" MULTIARCH },
		{ "$PLATFORM", PLATFORM },    { "${PLATFORM}", PLATFORM },
	};

	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		*len = strlen(tokens[i].name);
		if (!strncmp(at, tokens[i].name, *len))
			return tokens[i].value ? tokens[i].value : owner ? owner->origin : NULL;
	}
	return NULL;
}

/* Replaces $ORIGIN and its like; false when the result does not fit or the origin is unknown. */
static bool expand(const char *text, size_t len, const struct object *owner, char *out, size_t max)
{
	size_t used = 0, token_len;

	for (size_t i = 0; i < len;) {
		const char *value = text[i] == '$' ? token_value(text + i, owner, &token_len) : NULL;

		if (value && i + token_len <= len) {
			size_t value_len = strlen(value);

			if (used + value_len >= max)
				return false;
			memcpy(out + used, value, value_len);
			used += value_len;
			i += token_len;
			continue;
		}
		if (text[i] == '$' || used + 1 >= max)
			return false;
		out[used++] = text[i++];
	}
	out[used] = 0;
	return used > 0;
}

/* Each directory of a list; relative ones are the process's business and are not followed. */
static bool try_list(const struct search *s, const char *list, const char *separators,
		     const struct object *owner)
{
	char dir[4096];

	while (list && *list) {
		size_t len = strcspn(list, separators);

		if (len && expand(list, len, owner, dir, sizeof(dir)) && dir[0] == '/' &&
		    try_dir(s, dir))
			return true;
		list += len;
		list += *list != 0;
	}
	return false;
}

/* DT_RPATH of the loader and of who loaded it, up to the executable. */
static bool try_rpaths(const struct search *s)
{
	const struct object *top = s->r->cnt ? s->r->objects[0] : NULL;

	if (s->loader && s->loader->runpath)
		return false;
	for (const struct object *o = s->loader; o; o = o->loader) {
		if (try_list(s, o->rpath, ":", o))
			return true;
		if (o == top)
			return false;
	}
	return top && !top->runpath && try_list(s, top->rpath, ":", top);
}

static bool try_cached(void *ctx, const char *path)
{
	const struct search *s = ctx;

	return try_path(s->r, path, s->role, s->loader);
}

static bool search_glibc(struct search *s)
{
	static const char *const dirs[] = { "/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib64",
					    "/usr/lib64", "/lib", "/usr/lib" };
	struct resolver *r = s->r;

	if (try_rpaths(s) || try_list(s, r->request->ld_library_path, ":;", r->objects[0]) ||
	    try_list(s, s->loader ? s->loader->runpath : NULL, ":", s->loader))
		return true;
	if (r->cache && ld_cache_find(r->cache, r->cache_len, s->name, try_cached, s))
		return true;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (try_dir(s, dirs[i]))
			return true;
	return false;
}

/* Names that musl serves from the one file it is. */
static bool is_musl_itself(const char *name)
{
	static const char *const parts[] = { "c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet.",
					     "c.musl-" };

	if (strncmp(name, "lib", 3))
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strncmp(name + 3, parts[i], strlen(parts[i])))
			return true;
	return false;
}

static bool search_musl(const struct search *s)
{
	if (is_musl_itself(s->name) && try_path(s->r, s->r->interp, DEP_INTERPRETER, NULL))
		return true;
	if (try_list(s, s->r->request->ld_library_path, ":\n", NULL))
		return true;
	for (const struct object *o = s->loader; o; o = o->loader)
		if (try_list(s, o->rpath ? o->rpath : o->runpath, ":\n", o))
			return true;
	return try_list(s, s->r->musl_path, ":\n", NULL);
}

static bool is_loaded(const struct resolver *r, const char *name)
{
	for (size_t i = 0; i < r->cnt; i++) {
		const char *slash = strrchr(r->objects[i]->path, '/');

		if (r->objects[i]->soname && !strcmp(r->objects[i]->soname, name))
			return true;
		/* the linker knows an object by the name it was asked for, too */
		if (r->objects[i]->role != DEP_EXECUTABLE && slash && !strcmp(slash + 1, name))
			return true;
	}
	return false;
}

static int add_missing(struct resolver *r, const char *name)
{
	struct deps *out = r->out;
	const char **more = arena_grow(r->arena, out->missing, out->missing_cnt,
				       out->missing_cnt + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	out->missing = more;
	more[out->missing_cnt] = arena_strdup(r->arena, name);
	out->missing_cnt += more[out->missing_cnt] != NULL;
	return 0;
}

static int add_needed(struct resolver *r, const char *name, enum dep_role role,
		      const struct object *loader)
{
	struct search s = { .r = r, .name = name, .role = role, .loader = loader };
	char path[4096];

	if (strchr(name, '/')) {
		if (expand(name, strlen(name), loader, path, sizeof(path)) &&
		    try_path(r, path, role, loader))
			return 0;
		return add_missing(r, name);
	}
	if (is_loaded(r, name))
		return 0;
	if (r->out->is_musl ? search_musl(&s) : search_glibc(&s))
		return 0;
	return add_missing(r, name);
}

/* ---- the whole ----------------------------------------------------------------------------------- */

static int add_preloads(struct resolver *r, const char *list, const char *separators)
{
	char name[4096];
	int err = 0;

	while (!err && list && *list) {
		size_t len = strcspn(list, separators);

		if (len && len < sizeof(name)) {
			memcpy(name, list, len);
			name[len] = 0;
			err = add_needed(r, name, DEP_PRELOAD, r->objects[0]);
		}
		list += len;
		list += *list != 0;
	}
	return err;
}

/*
 * "#! /bin/sh -e\n": the interpreter's path, in the way the kernel cuts it. 1 when line has one, 0
 * when it is no script.
 */
static int script_interpreter(const char *line, size_t len, char *out)
{
	const char *at = line + 2, *end = memchr(line, '\n', len);

	if (len < 2 || memcmp(line, "#!", 2))
		return 0;
	end = end ? end : line + len;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	len = 0;
	while (at + len < end && at[len] != ' ' && at[len] != '\t' && at[len])
		len++;
	if (!len || at[0] != '/')
		return -ENOEXEC;
	memcpy(out, at, len);
	out[len] = 0;
	return 1;
}

/* Follows #! lines from the requested file to a program. */
static int add_executable(struct resolver *r)
{
	char path[4096], line[SCRIPT_LINE_MAX];

	if (strlen(r->request->exe) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, r->request->exe);
	for (int i = 0; i <= SCRIPTS_MAX; i++) {
		int fd = deps_open(r->root, path), err;
		size_t len;

		if (fd < 0)
			return fd;
		len = elf_file_read_at(fd, 0, line, sizeof(line));
		err = script_interpreter(line, len, path);
		if (!err) {
			err = add_file(r, fd, path, DEP_EXECUTABLE, NULL);
			close(fd);
			return err;
		}
		close(fd);
		if (err < 0)
			return err;
	}
	return -ELOOP;
}

static void read_configuration(struct resolver *r)
{
	const char *name = strrchr(r->interp, '/');

	name = name ? name + 1 : r->interp;
	if (!strncmp(name, "ld-musl", 7)) {
		r->out->is_musl = true;
		r->musl_path = read_text(r, "/etc/ld-musl-" MUSL_ARCH ".path", CONF_MAX, NULL);
		if (!r->musl_path)
			r->musl_path = "/lib:/usr/local/lib:/usr/lib";
	} else {
		r->cache = read_text(r, "/etc/ld.so.cache", CACHE_MAX, &r->cache_len);
	}
}

static int add_closure(struct resolver *r)
{
	int err;

	if (!try_path(r, r->interp, DEP_INTERPRETER, NULL)) {
		err = add_missing(r, r->interp);
		if (err)
			return err;
	}
	err = add_preloads(r, r->request->ld_preload, " :\n");
	if (!err && !r->out->is_musl)
		err = add_preloads(r, read_text(r, "/etc/ld.so.preload", CONF_MAX, NULL), " :\t\n");
	for (size_t i = 0; !err && i < r->cnt; i++)
		for (size_t j = 0; !err && j < r->objects[i]->needed_cnt; j++)
			err = add_needed(r, r->objects[i]->needed[j], DEP_LIBRARY, r->objects[i]);
	return err;
}

static int publish(struct resolver *r)
{
	struct deps *out = r->out;

	out->list = arena_array(r->arena, r->cnt, sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (size_t i = 0; i < r->cnt; i++) {
		const struct object *o = r->objects[i];

		out->list[i] = (struct dep){ o->path, o->dev, o->ino, o->role };
	}
	out->cnt = r->cnt;
	return 0;
}

int deps_resolve(const struct deps_request *request, struct deps *out)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*out = (struct deps){ 0 };
	arena_init(&out->arena);
	r->request = request;
	r->root = request->root ? request->root : "/";
	r->out = out;
	r->arena = &out->arena;
	err = add_executable(r);
	if (!err && r->interp) {
		read_configuration(r);
		err = add_closure(r);
	}
	out->is_static = !r->interp;
	if (!err)
		err = publish(r);
	if (err)
		deps_fini(out);
	free(r);
	return err;
}

void deps_fini(struct deps *deps)
{
	arena_fini(&deps->arena);
	*deps = (struct deps){ 0 };
}

int deps_each(const char *root, const char *exe, const char *ld_preload,
	      const char *ld_library_path, void (*see)(void *ctx, const char *path), void *ctx)
{
	struct deps_request request = { root, exe, ld_preload, ld_library_path };
	struct deps deps;
	int err = deps_resolve(&request, &deps);

	if (err)
		return err;
	for (size_t i = 0; i < deps.cnt; i++)
		see(ctx, deps.list[i].path);
	deps_fini(&deps);
	return 0;
}
