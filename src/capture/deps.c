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
#include "capture/lib_search.h"

#define SCRIPTS_MAX 4	       /* as the kernel */
#define SCRIPT_LINE_MAX 256    /* as the kernel */
#define OBJECTS_MAX 1024       /* a closure larger than this is cut */
#define CACHE_MAX (16 << 20)   /* bytes of ld.so.cache */
#define CONF_MAX (64 << 10)    /* bytes of other files of /etc */

#if defined(__x86_64__)
#define MUSL_ARCH "x86_64"
#elif defined(__aarch64__)
#define MUSL_ARCH "aarch64"
#endif

/* One object of the closure, while it is made. */
struct object {
	struct lib_loader lib;
	const char *path; /* below root */
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
	struct lib_search search; /* .interp: NULL as long as there is none */
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
		    const struct lib_loader *loader)
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
		*o = (struct object){ .path = arena_strdup(r->arena, path), .lib.loader = loader,
				      .dev = st.st_dev, .ino = st.st_ino, .role = role };
		o->lib.origin = directory_of(r, real_path(r, fd));
		err = elf_dynamic_read(&file, r->arena, &o->lib.dynamic);
	}
	if (o && !err && role == DEP_EXECUTABLE && file.interp.p_type == PT_INTERP) {
		char interp[4096];

		if (elf_file_string(fd, file.interp.p_offset, interp, sizeof(interp)))
			r->search.interp = arena_strdup(r->arena, interp);
	}
	elf_file_close(&file);
	if (!o || !o->path)
		return -ENOMEM;
	if (!err)
		r->objects[r->cnt++] = o;
	return err;
}

static bool try_path(struct resolver *r, const char *path, enum dep_role role,
		     const struct lib_loader *loader)
{
	int fd = deps_open(r->root, path), err;

	if (fd < 0)
		return false;
	err = add_file(r, fd, path, role, loader);
	close(fd);
	return !err;
}

/* ---- libraries ----------------------------------------------------------------------------------- */

static bool is_loaded(const struct resolver *r, const char *name)
{
	for (size_t i = 0; i < r->cnt; i++) {
		const char *slash = strrchr(r->objects[i]->path, '/');

		const char *soname = r->objects[i]->lib.dynamic.soname;

		if (soname && !strcmp(soname, name))
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

/* What is looked for, and for whom. */
struct wanted {
	struct resolver *r;
	enum dep_role role;
	const struct lib_loader *loader;
};

static bool try_candidate(void *ctx, const char *path)
{
	const struct wanted *w = ctx;

	return try_path(w->r, path, w->role, w->loader);
}

static int add_needed(struct resolver *r, const char *name, enum dep_role role,
		      const struct lib_loader *loader)
{
	struct wanted wanted = { r, role, loader };
	char path[4096];

	if (strchr(name, '/')) {
		if (lib_expand(name, strlen(name), loader, path, sizeof(path)) &&
		    try_path(r, path, role, loader))
			return 0;
		return add_missing(r, name);
	}
	if (is_loaded(r, name) || lib_search(&r->search, name, loader, try_candidate, &wanted))
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
			err = add_needed(r, name, DEP_PRELOAD, &r->objects[0]->lib);
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

/* Which linker it is, and what tells it where to look. */
static void read_configuration(struct resolver *r)
{
	struct lib_search *search = &r->search;
	const char *name = strrchr(search->interp, '/');

	name = name ? name + 1 : search->interp;
	search->executable = &r->objects[0]->lib;
	search->ld_library_path = r->request->ld_library_path;
	search->is_musl = r->out->is_musl = !strncmp(name, "ld-musl", 7);
	if (search->is_musl) {
		search->musl_path = read_text(r, "/etc/ld-musl-" MUSL_ARCH ".path", CONF_MAX, NULL);
		if (!search->musl_path)
			search->musl_path = "/lib:/usr/local/lib:/usr/lib";
	} else {
		search->cache = read_text(r, "/etc/ld.so.cache", CACHE_MAX, &search->cache_len);
	}
}

static int add_closure(struct resolver *r)
{
	int err;

	if (!try_path(r, r->search.interp, DEP_INTERPRETER, NULL)) {
		err = add_missing(r, r->search.interp);
		if (err)
			return err;
	}
	err = add_preloads(r, r->request->ld_preload, " :\n");
	if (!err && !r->out->is_musl)
		err = add_preloads(r, read_text(r, "/etc/ld.so.preload", CONF_MAX, NULL), " :\t\n");
	for (size_t i = 0; !err && i < r->cnt; i++) {
		const struct lib_loader *lib = &r->objects[i]->lib;

		for (size_t j = 0; !err && j < lib->dynamic.needed_cnt; j++)
			err = add_needed(r, lib->dynamic.needed[j], DEP_LIBRARY, lib);
	}
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
	if (!err && r->search.interp) {
		read_configuration(r);
		err = add_closure(r);
	}
	out->is_static = !r->search.interp;
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
