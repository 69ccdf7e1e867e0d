/* SPDX-License-Identifier: MIT */
/*
 * publisher.h - puts segments into an outer map without waiting for more than that probes see them.
 *
 * They do as soon as the segment is in the outer map. But the call that puts it there returns only
 * when every program that began before has ended (maybe_wait_bpf_programs() in the kernel), 8 to 16
 * ms later. So threads make the calls, and a small program looks, as a probe would, whether a
 * segment is there.
 */
#ifndef CAPTURE_PUBLISHER_H
#define CAPTURE_PUBLISHER_H

#include <stdint.h>

#include "capture/segments.h"

struct publication;

struct publisher {
	struct segment_kind kind;
	int look_fd;		   /* the program; -1: calls are waited for */
	struct publication *calls; /* last one first */
};

void publisher_init(struct publisher *publisher, const struct segment_kind *kind);
void publisher_fini(struct publisher *publisher); /* waits for all calls */

/* Starts putting segments in, from first on. Takes fds; the mappings keep the segments. 0 or
 * -errno. */
int publisher_start(struct publisher *publisher, uint32_t first, int *fds, uint32_t cnt);

/* Waits until probes see all segments that were started. 0, or -errno: they do not see the last
 * ones started. */
int publisher_wait(struct publisher *publisher);

#endif
