/* SPDX-License-Identifier: MIT */
/*
 * modules.h - which file was mapped where in one address space: a map from addresses to files.
 *
 *	start         end           file offset  module
 *	7f0000026000  7f000017b000  26000        libc.so.6 (shared by every map that has it)
 *
 * Intervals are sorted and never overlap: there is no record of munmap, so a later mapping over a
 * range takes that range from what was there, splitting it where it must. "Later" is by
 * mapped_at_ns; records that come in the wrong order end in the same map. What was there is kept
 * aside, so that addresses of that time can be named. Pure data.
 */
#ifndef CAPTURE_MODULES_H
#define CAPTURE_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODULE_BUILD_ID_MAX 32

/* What is known of a mapped file. dev is as makedev() packs it; 0 and ino 0 when unknown. */
struct module_id {
	const char *path; /* as the process names it; "[vdso]", "[anon]" for what is no file */
	uint64_t dev, ino;
	uint64_t generation; /* of the inode number; 0: unknown */
	uint8_t build_id[MODULE_BUILD_ID_MAX];
	uint32_t build_id_len; /* 0: unknown */
	bool deleted;	       /* the path no longer names it */
};

/* False for memory that a program filled itself: what runs there was made at run time. A memfd may be
 * either, and counts as a file. */
bool module_has_file(const struct module_id *id);

/* True for a file, and for what the kernel maps with symbols of its own. */
bool module_has_symbols(const struct module_id *id);

/* One identity, shared by all maps that have it; never changes. */
struct module {
	struct module_id id; /* path owned by the module */
	uint32_t refs;
	struct module_table *table; /* NULL once the table is gone */
	struct module *next;	    /* of the table's bucket */
};

/* Modules by identity. Holds no reference: a module goes with its last user. */
struct module_table;

struct module_table *module_table_new(void);
/* Modules in use live on. Takes NULL. */
void module_table_free(struct module_table *table);

/* The module of that identity, with a reference for the caller; NULL when memory ran out. */
struct module *module_get(struct module_table *table, const struct module_id *id);
struct module *module_ref(struct module *module);
void module_put(struct module *module); /* takes NULL */

struct module_range {
	uint64_t start, end; /* [start, end) */
	uint64_t file_offset; /* of start */
	uint64_t mapped_at_ns;
	struct module *module;
};

struct modules {
	struct module_range *ranges;
	size_t cnt, cap;
	struct module_range *past; /* pieces that something newer took, of another file or place in it */
	size_t past_cnt, past_cap;
};

/* A zeroed struct modules is an empty map. */
void modules_fini(struct modules *modules);

/* Adds a mapping (and takes its own reference on range->module). 0, -EINVAL for an empty range,
 * -ENOMEM: then the map is as before. */
int modules_add(struct modules *modules, const struct module_range *range);

/* A copy, as fork makes one; to must be empty. 0 or -ENOMEM. */
int modules_copy(struct modules *to, const struct modules *from);

/* The range that holds pc, or NULL. Valid until the map changes. */
const struct module_range *modules_find(const struct modules *modules, uint64_t pc);

/* The range that held pc at that time; what holds it now, if nothing is known of then. */
const struct module_range *modules_find_at(const struct modules *modules, uint64_t pc,
					   uint64_t time_ns);

/* File offset of an address in range. */
static inline uint64_t module_file_offset(const struct module_range *range, uint64_t pc)
{
	return pc - range->start + range->file_offset;
}

/*
 * Adds the executable mappings of text, which is (a part of) /proc/PID/maps. Lines that are none
 * are passed over. Returns how many were added, or -ENOMEM.
 */
int modules_parse_maps(struct modules *modules, struct module_table *table, const char *text,
		       uint64_t mapped_at_ns);

#endif
