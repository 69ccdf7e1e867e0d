/* SPDX-License-Identifier: MIT */
/*
 * debug_file.h - where debug information is when it is not in the file itself.
 *
 *	by build id      /usr/lib/debug/.build-id/ab/cdef....debug
 *	.gnu_debuglink   beside the file, in .debug beside it, below /usr/lib/debug
 *	.gnu_debugaltlink, of a debug file that shares some with others: as it says, or in
 *	                 /usr/lib/debug/.dwz
 *	servers          by build id, if the user wants that (debug_server.h)
 *
 * A file is taken when it has the right build id. One for a file without build id is taken when it
 *has the checksum that the link asks for. What is found by the name of a link is somebody's file:
 *it may be a pipe, or be cut while it is read (elf_bounds.h).
 */
#ifndef CAPTURE_DEBUG_FILE_H
#define CAPTURE_DEBUG_FILE_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdint.h>

struct debug_server;

/* Where to look, and what came of it. */
struct debug_file_search {
	struct debug_server *server; /* NULL: none */
	bool wait;		     /* for the server's answer */
	bool awaiting;		     /* the server was asked, and has not answered yet */
};

/* As libdwfl's find_debuginfo callback says; module_path is the file's. */
int debug_file_find(struct debug_file_search *search, Dwfl_Module *module, const char *module_path,
		    const char *link, uint32_t crc, char **name);

#endif
