/* SPDX-License-Identifier: MIT */
/*
 * widen.h - counts less when counting costs too much: from all blocks to a sample, and to a wider
 * one.
 *
 * Only the preload lane can do that, and only a session that is prepared for it: its blocks have
 * weights, all of them one at first. What was counted before stays as exact as it was.
 */
#ifndef CAPTURE_WIDEN_H
#define CAPTURE_WIDEN_H

#include <stdbool.h>

#include "memtrace/memtrace.h"
#include "memtrace/preload.h"

/* May it come to that in this session? Known once its lane is chosen. */
bool widen_possible(const struct memtrace *s);

/* How the preload library begins: if it may have to sample later, it takes each block with a chance
 * of one. That is as exact, and it knows from the start which blocks it took: when it samples,
 * frees of all others cost nothing. */
struct mt_preload_config widen_first_sampling(const struct memtrace_options *options);

/* Takes a wider sample from now on, because this one slows the targets down by so many per cent;
 * options.sampling says which. False when there is none, or no way to. */
bool widen_sample(struct memtrace *s, double percent);

#endif
