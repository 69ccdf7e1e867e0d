/* SPDX-License-Identifier: MIT */
/*
 * paths.h - teaches processes their call paths, so that they can keep events (memtrace/batch.h).
 *
 * What is written goes to the address space that asked, whatever its process does meanwhile: the file
 * through which it is written belongs to that space, and is opened while its account lives.
 */
#ifndef CAPTURE_PATHS_H
#define CAPTURE_PATHS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mt_acct;
struct paths;

/* accts is borrowed. NULL without memory. */
struct paths *paths_new(const struct mt_acct *accts, uint32_t acct_cnt);
void paths_free(struct paths *paths); /* takes NULL */

/* Takes one struct mt_path; a function for ring buffers. ctx: the struct paths. Always 0. */
int paths_tell(void *ctx, void *data, size_t size);

/* A process that is held keeps no events from its next one on: it finds another thread's name there. keeping_fd:
 * the map of that name; slot: of the account. */
void paths_stop(int keeping_fd, uint32_t slot, pid_t pid);

/* Answers tickets for paths that cannot be known, or have no room. They are not to be asked for again and again:
 * who waits for enough answers does not ask. To be called now and then. */
void paths_settle(struct paths *paths, uint64_t now_ns);

/* Paths that processes were told, and those that were not, because they cannot be known or had no room. */
void paths_count(const struct paths *paths, uint64_t *taught, uint64_t *refused);

#endif
