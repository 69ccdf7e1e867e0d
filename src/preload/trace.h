/* SPDX-License-Identifier: MIT */
/*
 * trace.h - the way of a call while someone listens.
 *
 * The exported functions are two or three comparisons and a jump. They jump here, leaving no frame,
 * when there may be something to fire; what is here makes the real call itself, between its sites,
 * and its caller is the program.
 *
 * A call made inside another (an allocator that goes through its public names) is let through. The
 * thread keeps the frame of the outermost one, not a depth: a frame that is gone, because the call
 * was left by longjmp or an exception, is recognised by the stack, and forgotten.
 */
#ifndef PRELOAD_TRACE_H
#define PRELOAD_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/preload.h"
#include "preload/filter.h"
#include "preload/next.h"
#include "preload/sample.h"
#include "preload/site.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define EXPORT __attribute__((visibility("default"), used))
/* Not a call: what follows is a jump. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define HIDDEN __attribute__((visibility("hidden")))

/* A real function of up to three words. One that takes fewer does not look at the rest. */
typedef void *(*real_call)(uintptr_t a, uintptr_t b, uintptr_t c);
#define REAL_CALL(function) ((real_call)(void (*)(void))(function))

struct thread {
	/* While the configuration has this generation, the sampler alone decides who comes here. */
	uint64_t passing;
	struct sampler sampler;
	uint64_t generation;		       /* of the configuration in sampler.rule */
	uintptr_t outer_frame, outer_words[2]; /* the outermost call's, and what is there */
	bool seeded;
};

/* What all threads share. Changes are rare. */
struct process {
	/* While the configuration has this generation, the filter alone decides which frees are of
	 * interest. */
	uint64_t passing;
	struct filter filter;
	bool every_free; /* is fired: there are blocks that no filter knows */
};

extern __thread struct thread thread HIDDEN __attribute__((tls_model("initial-exec")));
extern struct process process HIDDEN;
extern const struct mt_preload_config memtrace_config HIDDEN;

/* Volatile: it follows the file. */
#define config ((const volatile struct mt_preload_config *)&memtrace_config)

ALWAYS_INLINE bool anyone_listens(void)
{
	return unlikely(semaphores->any);
}

/* An allocation that is not taken, and is counted as such. */
ALWAYS_INLINE bool trace_passes(size_t size)
{
	return likely(thread.passing == config->generation) &&
	       likely(sampler_passes(&thread.sampler, size));
}

/* A block that is in no account. */
ALWAYS_INLINE bool trace_free_passes(const void *block)
{
	return likely(process.passing == config->generation) &&
	       likely(!filter_may_have(&process.filter, block));
}

/* call(a, b, c) allocates size bytes. */
void *trace_alloc(size_t size, real_call call, uintptr_t a, uintptr_t b, uintptr_t c);
int trace_posix_memalign(void **out, size_t align, size_t size);
/* call(old, b, c) makes size bytes of a block, which is not NULL. */
void *trace_realloc(void *old, size_t size, real_call call, uintptr_t b, uintptr_t c);
/* call(block, b, c) frees it; it is not NULL. */
void trace_free(void *block, real_call call, uintptr_t b, uintptr_t c);

/* What the caller, whose frame this is, calls from here on is nested in the call being traced. */
void trace_nest(const void *frame);

#endif
