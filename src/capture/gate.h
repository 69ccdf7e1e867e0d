/* SPDX-License-Identifier: MIT */
/*
 * gate.h - holds a launched tree where it opens a program or a library, until its allocators are
 * probed.
 *
 * The kernel asks (fanotify, permission events) before a file is opened through one of the mounts of
 * the tree's own mount namespace, and waits for the answer inside open() or execve(): nobody sees a
 * stopped process, and nothing of the file is mapped yet. A thread answers at once for whatever is
 * only read, and the kernel does not ask for a data file again until it changes:
 *
 *	data file             first open  -> the thread: let through, not asked again
 *	program or library    to be run   -> the session: look, probe; then the same, if the session
 *					     says that the next one may have it unasked
 *	                      to be read  -> the thread: let through, never probed for that
 *
 * To be run is what execve opens, and what the dynamic linker opens (seen by where the system call was
 * made). Nobody is held longer than a second by a session that does not come: it may itself wait for a
 * file that a program of the tree serves.
 *
 * Closing the gate, or the end of this process, lets everyone through.
 */
#ifndef CAPTURE_GATE_H
#define CAPTURE_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct gate;

/* Someone who waits. path is for people and may be of another root. */
struct gate_visit {
	pid_t pid; /* the thread */
	int fd;	   /* the file, for reading; closed after the visit */
	bool exec; /* opened to be executed */
	const char *path;
};

/* Watches the mounts of the namespace. -ENOTSUP and the like where the kernel cannot. */
int gate_open(int ns_fd, struct gate **gate);

/* Readable when someone waits for gate_serve(); owned by the gate. */
int gate_fd(const struct gate *gate);

/* Calls see() for each program and library that waits, then lets it through; false: whoever opens this
 * file next is to be seen as well. What this process opens meanwhile is never held. */
typedef bool (*gate_fn)(void *ctx, const struct gate_visit *visit);
void gate_serve(struct gate *gate, gate_fn see, void *ctx);

/* How many were let through because the session did not come. */
uint64_t gate_unseen(const struct gate *gate);

/* Takes NULL. */
void gate_close(struct gate *gate);

#endif
