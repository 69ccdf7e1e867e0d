/* SPDX-License-Identifier: MIT */
/*
 * deps.h - the files that running a program will map: itself, its interpreter, and the closure of
 * shared objects as the dynamic linker will find them.
 *
 *	root/usr/bin/app  ->  #! interpreter, up to four times  ->  ELF
 *	   PT_INTERP, LD_PRELOAD and /etc/ld.so.preload, then DT_NEEDED breadth first, looked for in
 *	   DT_RPATH, LD_LIBRARY_PATH, DT_RUNPATH, /etc/ld.so.cache, default directories (glibc) or
 *	   LD_LIBRARY_PATH, rpaths, /etc/ld-musl-*.path or default directories (musl)
 *
 * Everything is looked up below root (also what symbolic links there say), so root can be
 * /proc/PID/root of a container. This is a forecast: dlopen() is not in it, and a file it calls
 * missing may yet be found some other way. Every file read is hostile.
 */
#ifndef CAPTURE_DEPS_H
#define CAPTURE_DEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"

struct deps_request {
	const char *root;	     /* NULL: "/" */
	const char *exe;	     /* absolute path below root */
	const char *ld_preload;	     /* the variables' values; NULL: not set, or ignored because the */
	const char *ld_library_path; /* program is setuid */
};

enum dep_role { DEP_EXECUTABLE, DEP_INTERPRETER, DEP_PRELOAD, DEP_LIBRARY };

struct dep {
	const char *path; /* below root, as the linker names it */
	dev_t dev;
	ino_t ino;
	enum dep_role role;
};

struct deps {
	struct dep *list; /* unique by (dev, ino); the executable first, then in load order */
	size_t cnt;
	bool is_static; /* no interpreter: the list is the executable alone */
	bool is_musl;
	const char **missing; /* names that were not found */
	size_t missing_cnt;
	struct arena arena; /* owns it all */
};

/*
 * 0; -ENOENT, -EACCES ... as opening exe fails; -ENOEXEC when it (or the end of its #! chain) is no
 * 64-bit ELF file of this machine; -ELOOP for a #! chain that is too long; -ENOMEM. out is to be
 * given to deps_fini after 0 only.
 */
int deps_resolve(const struct deps_request *request, struct deps *out);
void deps_fini(struct deps *deps);

/* Calls see with each path of the closure, in order: for who needs nothing else of it. Returns as
 * deps_resolve does; see is not called on failure. */
int deps_each(const char *root, const char *exe, const char *ld_preload,
	      const char *ld_library_path, void (*see)(void *ctx, const char *path), void *ctx);

/* Opens path for reading as a process with that root would. A regular file's fd, or -errno. */
int deps_open(const char *root, const char *path);

#endif
