/* SPDX-License-Identifier: MIT */
/*
 * gate.h - holds every exec of a launched tree until its allocators are probed.
 *
 * The kernel asks (fanotify, FAN_OPEN_EXEC_PERM) before it opens a file to execute it through one of
 * the mounts of the tree's own mount namespace, and waits for the answer inside execve: nobody sees a
 * stopped process. Closing the gate, or the end of this process, lets everyone through.
 */
#ifndef CAPTURE_GATE_H
#define CAPTURE_GATE_H

#include <sys/types.h>

struct gate;

/* Watches the mounts of the namespace. -ENOTSUP and the like where the kernel cannot. */
int gate_open(int ns_fd, struct gate **gate);

/* Readable when someone waits; owned by the gate. */
int gate_fd(const struct gate *gate);

/* Calls see() for each exec that waits (path as in the namespace), then lets it through, and every later
 * one of the same file without asking. */
typedef void (*gate_fn)(void *ctx, pid_t pid, const char *path);
void gate_serve(struct gate *gate, gate_fn see, void *ctx);

/* Takes NULL. */
void gate_close(struct gate *gate);

#endif
