/* SPDX-License-Identifier: MIT */
/*
 * debug_server.h - debug files from the servers that DEBUGINFOD_URLS names.
 *
 * libdebuginfod is loaded when it is asked for, and does its work (cache, URLs, checks) in a thread
 * of its own: a report asks for a file, goes on without it, and has it the next time. The last
 * report waits, and how long is bounded: servers that send nothing for a while (DEBUGINFOD_TIMEOUT
 * seconds, or 10) are given up for the session, and all waiting together ends after
 * DEBUGINFOD_MAXTIME seconds, or 60.
 */
#ifndef CAPTURE_DEBUG_SERVER_H
#define CAPTURE_DEBUG_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/message.h"

struct debug_server;

/* -ENOENT: DEBUGINFOD_URLS names no server; -ENOSYS: libdebuginfod is not installed; why says so
 * with a remedy. log may be NULL; it is called from debug_server_find(). */
int debug_server_new(struct debug_server **server, void (*log)(void *ctx, const char *line),
		     void *ctx, struct message *why);

/* Never waits for a server. Takes NULL. */
void debug_server_free(struct debug_server *server);

/*
 * The debug file of that build id: an fd that is the caller's; -EAGAIN: asked for, not there yet
 * (without wait only); -ENOENT: no server has it, or they were given up.
 */
int debug_server_find(struct debug_server *server, const void *build_id, size_t len, bool wait);

/* True when debug_server_find() would not say -EAGAIN. */
bool debug_server_has_answer(struct debug_server *server, const void *build_id, size_t len);

#endif
