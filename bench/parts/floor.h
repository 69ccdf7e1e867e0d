/* SPDX-License-Identifier: MIT */
/*
 * floor.h - probes that do nothing, where memtrace would have its own: what is left when memtrace
 * itself costs nothing.
 *
 * The sites, the file and the kind of link are those of memtrace.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stdbool.h>
#include <sys/types.h>

struct floor;

enum floor_program { FLOOR_EMPTY, FLOOR_KERNEL_WALK /* bpf_get_stack at every return */ };

/* by_pid: links bound to the process, as memtrace makes them for one that it attaches to; else to
 * the file, as for a launched one. Ends the program with a message when it cannot. */
struct floor *floor_new(const char *build, bool by_pid);
void floor_free(struct floor *floor); /* takes NULL */

bool floor_is_multi(const struct floor *floor);

/* Probes every allocator that the process has mapped, or the sites of the preload library in that
 * file, for whoever has it mapped. 0 or -errno; floor_detach() before the next one, in any case. */
int floor_attach(struct floor *floor, pid_t pid, enum floor_program program);
int floor_attach_preload(struct floor *floor, const char *library);
void floor_detach(struct floor *floor);

#endif
