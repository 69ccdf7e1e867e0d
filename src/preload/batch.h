/* SPDX-License-Identifier: MIT */
/*
 * batch.h - events that this process keeps, to tell many of them in one trap (memtrace/batch.h).
 *
 * One thread writes: the one that made the first event. When there is to be another one, what is kept is
 * told, and nothing is kept any more. Signal handlers that interrupt the writing fire sites of their own:
 * what they free or allocate cannot be what is being written.
 */
#ifndef PRELOAD_BATCH_H
#define PRELOAD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/batch.h"
#include "preload/site.h"

struct batching {
	struct mt_batch *pages; /* NULL: nothing is ever kept */
	uintptr_t stack_end;	/* of the first thread; what is below, down to a frame, is mapped */
	uint64_t tables[MT_PATH_GENERATIONS]; /* as in pages, but not wiped */
	uint32_t depth;		/* of stacks, at most */
	bool wanted;		/* the configuration allows it */
	bool over;		/* there are, or were, several threads */
};

extern struct batching batching __attribute__((visibility("hidden")));

#define BATCH_HIDDEN __attribute__((visibility("hidden")))

/* Once, before there are threads, after arm_start(). */
BATCH_HIDDEN void batch_start(void);
/* What the configuration says. */
BATCH_HIDDEN void batch_want(bool wanted, uint32_t depth);

/* Keeps an event; false: it is to be told now, after batch_tell(). frame is one of the library's, whose
 * caller is the program. *ticket goes with an allocation that is not kept. */
BATCH_HIDDEN bool batch_alloc(const uintptr_t *frame, void *block, size_t size, uint64_t *ticket);
BATCH_HIDDEN bool batch_free(void *block);

/* May a realloc be told when it is over? While one thread is alone nobody is given the old block
 * meanwhile. Then, if it came to a block: keeps that; false: it is to be told now. */
BATCH_HIDDEN bool batch_is_open(void);
BATCH_HIDDEN bool batch_realloc(const uintptr_t *frame, void *old, void *block, size_t size,
				uint64_t *ticket);

/* Fires the site for what is kept. stays: more will be. */
BATCH_HIDDEN void batch_fire(struct mt_batch *pages, bool stays);

/* Before any other site. */
static inline __attribute__((always_inline)) void batch_tell(void)
{
	struct mt_batch *pages = batching.pages;

	if (pages && pages->head != pages->told)
		batch_fire(pages, true);
}

/* The next event begins anew, if there is one: before an exec, or the end. */
BATCH_HIDDEN void batch_pause(void);
/* There will be other threads. */
BATCH_HIDDEN void batch_end(void);
/* Code comes or goes: the call paths are no longer what they were. */
BATCH_HIDDEN void batch_forget(void);
/* In a forked child, whose pages are wiped. */
BATCH_HIDDEN void batch_child(void);

#endif
