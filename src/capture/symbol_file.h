/* SPDX-License-Identifier: MIT */
/*
 * symbol_file.h - one ELF file and its debug information, asked for what is at an address.
 *
 * Uncached; symbols.h is what others use. Debug information is looked for in the file and where
 * debug_file.h says. Whatever a hostile file makes libdw say, the answer is at worst "unknown".
 */
#ifndef CAPTURE_SYMBOL_FILE_H
#define CAPTURE_SYMBOL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "capture/symbols.h"

struct debug_server;
struct symbol_file;

#define SYMBOL_FRAMES_MAX 32 /* inlined functions at one address, and the real one */

/*
 * Opens what fd names (the fd stays the caller's); path is where it is, for finding what is
 * beside. 0; -ENOEXEC when it is no ELF file of this machine; -ESTALE when its build id is another
 * than the one given (len 0: any will do); -ENOMEM. server may be NULL, and is borrowed.
 */
int symbol_file_open(struct symbol_file **file, int fd, const char *path, const uint8_t *build_id,
		     size_t build_id_len, struct debug_server *server);
void symbol_file_close(struct symbol_file *file); /* takes NULL */

/* True when a server was asked and has answered since (or may be waited for): opened again the file may say
 * more. */
bool symbol_file_is_behind(const struct symbol_file *file, bool wait);

/*
 * Frames at a file offset, as symbols_resolve() says, into frames (SYMBOL_FRAMES_MAX of them) with
 * strings in arena; wait: for a server's answer. Returns the count, at least 1, or -ENOMEM.
 */
int symbol_file_resolve(struct symbol_file *file, uint64_t file_offset, struct arena *arena,
			bool wait, struct symbol_frame *frames);

#endif
