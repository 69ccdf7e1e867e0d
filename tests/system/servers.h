/* SPDX-License-Identifier: MIT */
/* servers.h - programs that must be installed, and servers that are spoken to on a socket of the
 * stage. */
#ifndef TESTS_SYSTEM_SERVERS_H
#define TESTS_SYSTEM_SERVERS_H

#include "harness.h"

/* The path of a program, or the test is skipped. */
const char *need(const char *program);

/* Watches the stage's directory; then waits until a file was written there, and ends the watch. */
int stage_watch(void);
void wait_for_file(int watch, const char *name);

/* A configuration for nginx: one process, which answers every request on the socket, and writes
 * nginx.pid to the stage's directory once it listens. */
const char *nginx_config(const char *socket);

/* One request over a socket that listens already. */
void http_request(const char *socket_path);

#endif
