/* SPDX-License-Identifier: MIT */
/*
 * segments.h - memory of BPF arrays that is mapped into this process, within a budget.
 *
 * An array is allocated whole when it is made, so what grows is an array of arrays. Its segments
 * are of one size, because the kernel inlines look-ups only into equal ones.
 *
 *	outer map   | 0 | 1 | 2 | - | - |
 *	              |   |   '-> an array of items, mapped
 */
#ifndef CAPTURE_SEGMENTS_H
#define CAPTURE_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What arrays take. Any thread may add to it. */
struct table_memory {
	uint64_t bytes;	 /* kernel memory of all that are mapped */
	uint64_t budget; /* no segment is made beyond this */
};

/* Maps an array, at an address that is reserved or, when at is NULL, anywhere. NULL with errno set
 * when it cannot be. */
void *table_map(struct table_memory *memory, int fd, size_t bytes, void *at);
void table_unmap(void *at, size_t bytes); /* takes NULL */

/* Addresses for arrays to be mapped at; table_unmap() ends that. NULL with errno set. */
void *table_reserve(size_t bytes);

/* What all segments of an outer map are like. */
struct segment_kind {
	int outer_fd;
	size_t item; /* bytes */
	uint32_t items;
};

size_t segment_bytes(const struct segment_kind *kind);

/* Is there room for cnt of them in the budget? */
bool segments_fit(const struct table_memory *memory, const struct segment_kind *kind, uint32_t cnt);

/* Makes a segment and maps it, as table_map(). Its file descriptor, or -errno. The mapping keeps
 * the segment when that is closed. */
int segment_make(struct table_memory *memory, const struct segment_kind *kind, void *at,
		 void **out);

/* Unmaps one that was not published; its address may stay reserved. */
void segment_drop(struct table_memory *memory, const struct segment_kind *kind, void *at,
		  bool stay_reserved);

/* Puts segments into the outer map, from first on, all or none. Probes see them at once; the call
 * returns when every program that began before has ended, up to 20 ms later. 0 or -errno. */
int segments_publish(const struct segment_kind *kind, uint32_t first, const int *fds, uint32_t cnt);

/* Makes cnt segments and publishes them, all or none; segments[first + i] get their mappings. 0 or
 * -ENOSPC. */
int segments_add(struct table_memory *memory, const struct segment_kind *kind, void **segments,
		 uint32_t first, uint32_t cnt);

#endif
