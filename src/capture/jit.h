/* SPDX-License-Identifier: MIT */
/*
 * jit.h - names of the code that one process made at run time, from its /tmp/perf-PID.map.
 *
 * PID is the process's own idea of it, and /tmp is that of its mount namespace; both are learned
 * while it lives (jit_look), so that the file can be read when it is gone. It is read only when it
 * is a regular file of the process's user or of root, and not older than the process: a map that an
 * earlier process of that number left says nothing of this one.
 *
 * A forked child runs code its parent made: then the parent's map answers what its own cannot.
 * Only the names that were asked for are kept. Every failure is "unknown".
 */
#ifndef CAPTURE_JIT_H
#define CAPTURE_JIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jit;

/* Of the process tgid, whose image began at begin_ns (CLOCK_MONOTONIC). parent: whom it was forked
 * from, or NULL. NULL when memory ran out. */
struct jit *jit_new(uint32_t tgid, uint64_t begin_ns, struct jit *parent);
struct jit *jit_ref(struct jit *jit);
void jit_put(struct jit *jit); /* takes NULL */

/* The process was running before anyone looked: its image may be as old as itself. */
void jit_was_there(struct jit *jit);

/* It has code without a file. */
void jit_made_code(struct jit *jit);
bool jit_has_code(const struct jit *jit);

/* Learns of the living process what is needed to find its file, and opens the file if it is there.
 * Costs some system calls, and little once the file is open. */
void jit_look(struct jit *jit);

/* Reads the names of these addresses. 0 or -ENOMEM. */
int jit_read(struct jit *jit, const uint64_t *addresses, size_t cnt);

/* The process has ended and everything was read: lets go of its files. */
void jit_settle(struct jit *jit);

/* Valid until the next jit_read(); NULL when unknown. */
const char *jit_name(const struct jit *jit, uint64_t address);

/*
 * The map of the process pid (as in the file's name) in a directory: an fd, or -errno. -ESTALE: it
 * was last written before since_ns (CLOCK_REALTIME); -EPERM: it belongs to somebody else, or is no
 * regular file.
 */
int jit_open_map(int dir_fd, int pid, uint32_t uid, int64_t since_ns);

#endif
