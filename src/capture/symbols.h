/* SPDX-License-Identifier: MIT */
/*
 * symbols.h - from a place in a file to function, source file and line.
 *
 * A struct symbols is a cache: each file is opened once, each place is looked up once, and all
 * strings live as long as the cache. It works when the process is gone, as long as the file (or
 * its separate debug file, found by build id) is still there, or was kept open when it was mapped
 * (symbols_meet). A file whose build id is not the expected one gives no names: never the wrong
 * ones. Nothing is fetched over the network without symbols_use_server().
 */
#ifndef CAPTURE_SYMBOLS_H
#define CAPTURE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct debug_server;
struct module_id;
struct module_range;
struct symbols;

/* NULL when memory ran out. */
struct symbols *symbols_new(void);
void symbols_free(struct symbols *symbols); /* takes NULL */

/* Debug files that are not here may come from servers; server is borrowed. wait: places that are asked for
 * from now on may take a while (see debug_server.h). */
void symbols_use_server(struct symbols *symbols, struct debug_server *server);
void symbols_wait(struct symbols *symbols, bool wait);

struct symbol_frame {
	const char *symbol; /* demangled; NULL when unknown */
	const char *file;   /* source file; NULL when unknown */
	uint32_t line;	    /* 0 when unknown */
	bool inlined;	    /* its body is in the next frame's function */
	uint64_t address;   /* in the ELF file's own addresses, as addr2line takes it; the file
			     * offset itself when the file could not be read */
	uint64_t symbol_offset; /* of address from the start of symbol; of inlined frames 0 */
};

/*
 * What is at file_offset of a mapped file: the innermost inlined function first, the function that
 * is really there last. Of a return address the caller asks for the byte before.
 *
 * pid: if not 0, the file is looked for in that process's root first (a container's file); it may
 * be gone. *frames is the cache's: it stays valid and unchanged, but the next answer may be another one
 * when a server sent a file meanwhile. Returns the count, at least 1
 * (one frame with all unknown when nothing is known), or -ENOMEM.
 */
int symbols_resolve(struct symbols *symbols, const struct module_id *module, pid_t pid,
		    uint64_t file_offset, const struct symbol_frame **frames);

/*
 * A file is mapped in the living process pid: it is opened where that has it, whatever its name leads
 * to by now, and kept for when there is no name and no process. So are the first SYMBOLS_KEPT_MAX
 * files; cheap for one that is known. Never fails: what was not kept is looked for by name.
 */
#define SYMBOLS_KEPT_MAX 256
void symbols_meet(struct symbols *symbols, const struct module_range *range, pid_t pid);

/*
 * Keeps a file that may be deleted or out of reach later: fd is duplicated and used for that
 * module. 0, -ENOMEM, or -errno of dup.
 */
int symbols_keep(struct symbols *symbols, const struct module_id *module, int fd);

#endif
