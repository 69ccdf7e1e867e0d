/* SPDX-License-Identifier: MIT */
/*
 * preload.h - the session's side of the preload library: its file, who can take it, its sites, its page
 * of settings. memtrace/preload.h has the contract with the library itself.
 *
 * A launched tree sees a private copy of the library's file (launch.h), so its sites fire for this session
 * alone, and what is written to the copy's page of settings is read by this tree alone.
 */
#ifndef CAPTURE_PRELOAD_H
#define CAPTURE_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "memtrace/memtrace.h"
#include "memtrace/preload.h"

struct allocators;
struct message;
struct preload;
struct probe_set;
struct programs;

/* Finds the library: path, or where it is installed if that is NULL (beside this program, or in
 * ../lib/memtrace). -ENOENT, or -ENOEXEC when it is not the one that belongs to this memtrace. */
int preload_new(const char *path, struct preload **preload, struct message *why);
void preload_free(struct preload *preload); /* takes NULL */

/* Its path, as the environment of a program names it; and the file, owned by preload. */
const char *preload_path(const struct preload *preload);
int preload_file(const struct preload *preload);

/* Why a program cannot take the library, as the end of a sentence "it ..."; NULL: it can. exe: its path below
 * root, where #! lines are followed; ld_preload: what it has beside ours, or NULL. */
const char *preload_refusal(struct allocators *allocators, const char *root, const char *exe,
			    const char *ld_preload);

/* Can a process of that user open the library? By the bits of its path: what else may grant it (groups, access
 * lists) is not looked at. */
bool preload_is_readable_by(const struct preload *preload, uid_t uid);
bool preload_is_readable_by_all(const struct preload *preload);

/* Is one of the libraries that a program's LD_PRELOAD (NULL: not set) names an allocator? */
bool preload_has_allocator(struct allocators *allocators, const char *root, const char *exe,
			   const char *already);

/* LD_PRELOAD for a program: what it is already (NULL: nothing) and the library. Behind what is there; but
 * an allocator there would never call the next one, so then before. Owned by the caller; NULL without
 * memory. */
char *preload_words(const struct preload *preload, struct allocators *allocators, const char *root,
		    const char *exe, const char *already);

/* Hangs the programs on the sites of the copy, which is open in fd (borrowed). inspected: a debugger will
 * look at who is stopped there, so the kernel's faster way, by a page no debugger knows, is not taken. */
int preload_attach(struct preload *preload, struct programs *programs, int fd, bool inspected);
void preload_detach(struct preload *preload);
/* Nobody in the tree can write to the copy any more, and everybody can read it. After preload_attach(). */
void preload_protect(const struct preload *preload);

/* Is that file the copy? Is it what a process with that root finds by the library's path? Has the process mapped
 * it? */
bool preload_is(const struct preload *preload, const struct stat *st);
bool preload_is_below(const struct preload *preload, const char *root);
bool preload_is_mapped(const struct preload *preload, pid_t pid);

/* Every process of the tree follows these settings from its next call on; magic, version and generation are
 * filled in. 0 or -errno. Before preload_attach() they are kept for then. */
int preload_configure(struct preload *preload, const struct mt_preload_config *config);

/* May processes keep events, to tell many at once? Not where one of them is to be acted upon in its place, and
 * they find their call paths by unwind tables. */
bool preload_batches(const struct memtrace_options *options);

/* The settings that options ask for. */
struct mt_preload_config preload_sampling(const struct memtrace_options *options);

/* Bytes that a running process has mapped to tell which frees are of sampled blocks; MEMTRACE_UNKNOWN when it
 * is gone, or without the library. */
int64_t preload_filter_bytes(const struct preload *preload, pid_t pid);

#endif
