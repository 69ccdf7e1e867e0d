/* SPDX-License-Identifier: MIT */
/*
 * preload.h - the contract between libmemtrace-preload.so and who listens to it.
 *
 * Sites. The library wraps the allocation family and fires USDT sites of the provider "memtrace",
 * described in .note.stapsdt like everybody's. The arguments are in fixed registers, those of a
 * call (x86-64: rdi rsi rdx rcx r8 r9; arm64: x0 to x5), so that a handler needs no parser:
 *
 *	claim()                                        once per address space, before anything else
 *	alloc(ptr, size, weight, count, ticket)        after the real call
 *	free(ptr)                                      before the real call
 *	realloc_begin(old)                             before the real call
 *	realloc_end(old, new, size, weight, count, ticket)
 *						       after it
 *	failed(size, weight, count)                    after a call that yielded no block
 *	batch(address, stays)                          many of them: batch.h, which has tickets too
 *
 * - claim: the allocator this process calls is seen here and nowhere else. It is not fired where
 *the program, or a library loaded before this one, has its own malloc: then no other site is
 *either. A child of fork keeps its parent's claim; after an exec there is a new one.
 * - size is what was asked for, SIZE_MAX where calloc's or reallocarray's product overflowed.
 *   weight is the bytes that the block stands for and count the blocks (MT_PRELOAD_COUNT_ONE for
 *one). Exact: weight = size, count = MT_PRELOAD_COUNT_ONE. Sampled: both are unbiased estimates of
 *1/p times the truth, where p is the chance that this block was taken, rounded at random, so that
 *   no bias is left.
 * - free and realloc_begin are fired only for blocks that may be in the account, never for NULL.
 *   realloc(NULL, n) is an alloc, or failed.
 * - realloc_end, with begun = realloc_begin was fired by this thread for this call:
 *	new != 0              the old block is gone if begun; the new one is in if count != 0
 *	new == 0, size == 0   realloc(p, 0) that freed; only if begun
 *	new == 0, size != 0   it failed: the old block is back if begun; a failed call if count != 0
 * - Only the outermost call of a nest fires.
 *
 * At every site of "memtrace" there is a standard frame: (rbp) is the caller's rbp and 8(rbp) the
 * address the caller of the allocator returns to (arm64: x29). So whoever walks stacks may skip the
 * library's own frame without a table; .eh_frame says the same. Frame 1 is always the caller.
 *
 * A site is (x86-64) 16 bytes, aligned to 16, and the note has the address of the first:
 *
 *	+0   90                               nop    every kernel emulates it
 *	+1   0f 1f 44 00 00                   nop5   6.18 makes it a call
 *	+6   66 2e 0f 1f 84 00 00 00 00 00    nop10  later kernels make that one a call, and leave
 *nop5
 *
 * One of the three is to be probed, not several. The call pushes on the stack, hence no red zone. Kernels
 * that do not know the nop10 refuse a probe there (6.18 does, for its prefix).
 *
 * All memtrace sites share one semaphore (unsigned short, in .probes). While it is 0 the library is
 * a jump to the real function.
 *
 * otel_memory:alloc(ptr, size, weighted_bytes) and otel_memory:free(ptr) are the published sites of
 * OpenTelemetry, with a semaphore each, at the same moments; a realloc is free(old) before and
 * alloc(new) after, or alloc(old) again when it failed, with the size the allocator says is usable,
 * because nobody knows what had been asked for.
 *
 * Configuration. One page of the file, read-only and never relocated, is the section
 * MT_PRELOAD_CONFIG_SECTION. A private mapping that was never written follows the file, so writing
 * it there changes all processes that have the file mapped, at their next call. Write everything
 * else first and generation last, with a write of its own: the library looks at nothing but
 * generation until that changes.
 *
 * Modes may change at any time:
 * - sampled to anything: what was sampled is still seen when it is freed.
 * - exact to anything: every free fires from then on (what was counted exactly is in no filter), so
 *a listener must ignore frees of blocks it does not know. A process whose account never was exact
 *   does not pay for that.
 *
 * What sampling means:
 * - by bytes (Poisson): a point every sample_bytes on average, in the sequence of bytes each thread
 *   asks for; a block with a point in it is taken: p = 1 - exp(-size / sample_bytes). A block of no
 *   bytes can have no point in it. It is taken as one of 1 byte is, with weight 0, so that counts
 *   of blocks have no bias either.
 * - by calls: each allocation with probability P, whatever its size.
 * - Failed calls are sampled like the others: their sum of counts is an estimate.
 */
#ifndef MEMTRACE_PRELOAD_H
#define MEMTRACE_PRELOAD_H

#include <linux/types.h>

#define MT_PRELOAD_PROVIDER "memtrace"
#define MT_PRELOAD_OTEL_PROVIDER "otel_memory"

#define MT_PRELOAD_NOP5 1 /* from a site's address; see above */
#define MT_PRELOAD_NOP10 6

#define MT_PRELOAD_COUNT_SHIFT 16
#define MT_PRELOAD_COUNT_ONE (1ULL << MT_PRELOAD_COUNT_SHIFT)

/* ---- configuration -------------------------------------------------------------------------- */

#define MT_PRELOAD_CONFIG_SECTION ".memtrace_config"
#define MT_PRELOAD_CONFIG_BYTES 4096		   /* of the section, and its alignment */
#define MT_PRELOAD_MAGIC_NUMBER 0x64616f6c6572706d /* "mpreload"; for an assembler too */
#define MT_PRELOAD_MAGIC ((__u64)MT_PRELOAD_MAGIC_NUMBER)
#define MT_PRELOAD_VERSION 2

enum mt_preload_mode {
	MT_PRELOAD_EXACT,
	MT_PRELOAD_BY_BYTES, /* sample_bytes */
	MT_PRELOAD_BY_CALLS, /* probability */
	MT_PRELOAD_OFF,	     /* nothing new; frees of what was taken before */
};

#define MT_PRELOAD_SAMPLE_BYTES_MAX (1ULL << 40) /* more is taken as that; 0 as 1 */
#define MT_PRELOAD_PROBABILITY_ONE (1ULL << 32)	 /* more is taken as that; 0 as off */

struct mt_preload_config {
	__u64 magic;
	__u32 version;
	__u32 mode;	    /* enum mt_preload_mode */
	__u64 sample_bytes; /* mean distance of two points */
	__u64 probability;  /* in units of 2^-32 */
	__u64 seed;	    /* 0: a random one for each process */
	__u64 batches;	    /* not 0: where exact, events may be kept (batch.h); frames of a stack then */
	__u64 generation;   /* any other value than before: read all this again */
};

/* ---- what the library knows of itself ------------------------------------------------------- */

#define MT_PRELOAD_STATS_SECTION ".memtrace_stats"

/* At the start of the section, in each process's memory. Each word is right by itself. */
struct mt_preload_stats {
	__u64 filter_bytes; /* mapped to tell which frees are of sampled blocks */
	__u64 sampled_live; /* sampled blocks not freed yet */
	__u64 sample_lost;  /* blocks not sampled because there was no memory for the filter */
};

#endif
