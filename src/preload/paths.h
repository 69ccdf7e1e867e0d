/* SPDX-License-Identifier: MIT */
/*
 * paths.h - the call paths that this process knows (memtrace/batch.h has how).
 */
#ifndef PRELOAD_PATHS_H
#define PRELOAD_PATHS_H

#include <stdint.h>

#include "memtrace/batch.h"

/* Below the end of the first thread's stack the kernel maps nothing else in at least 128 MiB. */
#define PATHS_STACK_MAX (64UL << 20)

/* The number of the site of the call path that begins with the caller of this frame, which is one of the
 * library's; 0: not known. Stacks have at most depth frames. All that is read lies between the frame and
 * stack_end, the end of the first thread's stack; a frame that is not on that has no known path. */
__attribute__((visibility("hidden"))) uint32_t paths_find(const struct mt_batch *batch,
							  const uintptr_t *frame, uintptr_t stack_end,
							  uint32_t depth);

#endif
