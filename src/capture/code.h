/* SPDX-License-Identifier: MIT */
/*
 * code.h - the unwind tables the probes have: which files, and where their rows are.
 *
 * Rows of all files lie one after another in the probes' row segments; a file is known to the probes
 * by inode, device and change time, and files of one build id share their rows:
 *
 *	code_files   (inode, device, version) -> first, cnt
 *	rows         ... | libc.so.6, by offset in the file | python3.11 | ...
 *
 * Tables stay for the session.
 */
#ifndef CAPTURE_CODE_H
#define CAPTURE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/abi.h"

struct code;
struct module;
struct unwind_rows;

/* cache_dir: where tables are kept between sessions; NULL: nowhere. log may be NULL. NULL when memory ran
 * out. rows are borrowed. */
struct code *code_new(struct unwind_rows *rows, const char *cache_dir,
		      void (*log)(void *ctx, const char *line), void *ctx);
void code_free(struct code *code); /* takes NULL */

/* Gives the probes the table of an open file, unless they have it; name is for the log. 0 also for a
 * file that has none to give; -ENOSPC: no room for it within the budget; -ENOMEM. */
int code_add(struct code *code, int fd, const char *name);

/* The probes know an open file as key, whatever user space is told of it. As code_add(). */
int code_add_as(struct code *code, int fd, const char *name, const struct mt_code_file *key);

/* Was the module's file added already? */
bool code_knows_module(struct code *code, struct module *module);

/* The same as code_add() for the file of a module, which is remembered as that. -ESTALE: the file has another build id
 * than the module. */
int code_add_module(struct code *code, struct module *module, int fd);

/* The probes know the module's file as this: not every file system tells user space the inode and device
 * that the kernel sees. The module must have been added. 0 or -errno. */
int code_name_module(struct code *code, const struct module *module, const struct mt_code_file *file);

/* The rule for an offset in the module's file; false when that was not added. */
bool code_module_rule(const struct code *code, const struct module *module, uint64_t offset,
		      uint32_t *rule);

#endif
