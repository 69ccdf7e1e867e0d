/* SPDX-License-Identifier: MIT */
/*
 * spaces.h - which file was mapped where, for every address space of interest, over time.
 *
 * A thread group has a list of spaces: fork copies the parent's, exec starts an empty one. A space
 * lives as long as someone holds it, so that stacks of a process can be named after it is gone.
 */
#ifndef CAPTURE_SPACES_H
#define CAPTURE_SPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record;
struct space;
struct spaces;
struct modules;

struct spaces *spaces_new(void);
void spaces_free(struct spaces *spaces);

/* everyone: keep maps of every thread group, not only of tracked ones and their descendants. */
void spaces_track_all(struct spaces *spaces);

/* Keep maps of this thread group and its descendants from now on. 0 or -ENOMEM. */
int spaces_track(struct spaces *spaces, uint32_t tgid);

/* The same, beginning with what /proc says is mapped now. */
int spaces_load(struct spaces *spaces, uint32_t tgid, uint64_t now_ns);

/* Takes one record in. */
void spaces_see(struct spaces *spaces, const struct record *record);

/* The space that began last at or before time_ns in this thread group, or NULL. The caller holds it
 * until space_put(). */
struct space *spaces_get(struct spaces *spaces, uint32_t tgid, uint64_t time_ns);
void space_put(struct space *space);

const struct modules *space_modules(const struct space *space);

/* Learns of the living process what is needed to name code it makes at run time, even when it is gone. */
void spaces_look(struct spaces *spaces, uint32_t tgid);

/* Reads the names of code that was made at run time, for these return addresses; the process has
 * ended, or not. 0 or -ENOMEM. */
int space_read_names(struct space *space, const uint64_t *pcs, size_t cnt, bool ended);

/* The name of such code; NULL when unknown. Valid until the next space_read_names(). */
const char *space_name(const struct space *space, uint64_t address);

#endif
