/* SPDX-License-Identifier: MIT */
/*
 * launch.h - a command held at its doorstep, in a mount namespace of its own.
 *
 * Probes bind to inodes and fire for everyone who maps the inode. The launched tree therefore gets
 * private copies of the allocator libraries, bind-mounted over the originals in a mount namespace
 * that only the tree lives in: probes on the copies fire for exactly this tree, children included,
 * and nobody else pays.
 *
 *	host        /usr/lib/libc.so.6 -> inode 7
 *	the tree    /usr/lib/libc.so.6 -> inode 42 (a tmpfs nobody else can see), probed
 */
#ifndef CAPTURE_LAUNCH_H
#define CAPTURE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct memtrace_command;
struct message;
struct launch;

/* Finds argv[0] as a shell would. path must hold PATH_MAX bytes. */
int launch_find_program(const char *name, char *path, struct message *why);

/* Forks the child that will become the command, and waits until it sits in its namespace. preload: its
 * LD_PRELOAD; NULL: as it is. */
int launch_new(const struct memtrace_command *command, const char *program, const char *preload,
	       struct launch **launch, struct message *why);

pid_t launch_pid(const struct launch *launch);

/* Puts a private copy of the open file over path in the tree's namespace (path as the command itself
 * would name it). *fd is the copy, opened read-only, owned by the caller. */
int launch_replace(struct launch *launch, int source, const char *path, int *fd);

/* Is the process in the tree's own mount namespace still, and below the command's first root, so that a
 * path means the same file to both? */
bool launch_shares_paths(const struct launch *launch, pid_t pid);

int launch_namespace(const struct launch *launch); /* an fd, owned by launch */

/* Lets the child exec. */
int launch_go(struct launch *launch, struct message *why);

/* Becomes readable when launch_result() knows. */
int launch_result_fd(const struct launch *launch);

/* Waits until the child has run exec: 0, or why it could not. */
int launch_result(struct launch *launch, struct message *why);

/* The command's wait status; -EAGAIN while it runs. */
int launch_status(struct launch *launch, int *wait_status);

/* CPU time that the command and all it waited for used, once it has ended and launch_status() has
 * said so; else -EAGAIN. */
int launch_used_ns(const struct launch *launch, int64_t *used_ns);

/* A child that was never let go is ended. Takes NULL. */
void launch_free(struct launch *launch);

#endif
