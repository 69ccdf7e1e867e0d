/* SPDX-License-Identifier: MIT */
/* process.h - what /proc says of a process. Every answer may be stale: processes end. */
#ifndef CAPTURE_PROCESS_H
#define CAPTURE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_map {
	uint64_t start, end, pgoff;
	bool executable;
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	const char *path; /* "" when there is none; valid during the call */
};

typedef void (*process_map_fn)(void *ctx, const struct process_map *map);

/* Calls see() for every mapping. 0 or -errno. */
int process_each_map(pid_t pid, process_map_fn see, void *ctx);

/* Opens the file behind a mapping, deleted or in another mount namespace too; fd or -errno. */
int process_open_map(pid_t pid, const struct process_map *map);

/* Opens what has that path now, as the process sees paths; fd or -errno. */
int process_open_path(pid_t pid, const char *path);

/* The same by any address in the mapping, whose bounds may have changed. It is not known to be the file
 * that was there once. */
int process_open_mapped(pid_t pid, uint64_t address);

/* Is the thread, which is inside a system call, there for the dynamic linker (glibc's)? What that opens is
 * mapped to be run; what others open may be read. */
bool process_is_in_linker(pid_t tid);

/* Links to files of another root are told from the reader's root. Changes such a path to what the
 * process itself would call it, below its own root. */
void process_path_inside(pid_t pid, char *path);

/* Owned by the caller; NULL when unknown. */
char *process_exe(pid_t pid);
char *process_env(pid_t pid, const char *name);

/* "?" when unknown. */
void process_comm(pid_t pid, char *comm, size_t size);

pid_t process_parent(pid_t pid); /* 0 when unknown */
bool process_is_alive(pid_t pid); /* exists, and is no zombie */
bool process_is_thread(pid_t pid, pid_t *tgid); /* a thread id that is not a process id */
bool process_is_kernel_thread(pid_t pid);
int64_t process_rss_bytes(pid_t pid); /* negative when unknown */
int process_thread_cnt(pid_t pid);    /* 0 when unknown */
int process_seccomp(pid_t pid);	      /* 0: no filter */
bool process_in_initial_pid_namespace(void);

/* Whose files it makes (its effective user, as seen here), and its own idea of its pid. False when
 * unknown. */
bool process_owner(pid_t pid, uint32_t *uid, int *ns_pid);

/* CLOCK_BOOTTIME; in steps of a tick. 0 when unknown. */
uint64_t process_start_ns(pid_t pid);

#endif
