/* SPDX-License-Identifier: MIT */
/*
 * overhead.h - what tracing costs the targets: the arithmetic.
 *
 * cost_s is CPU time that the targets spent in probes; cpu_s is all CPU time they spent, that
 * included.
 *
 *	cpu_s 2.0, cost_s 0.5	without tracing they would have needed 1.5: 25 % of it is tracing's
 *
 * How much longer they take for that depends on whether anybody waits for a CPU. Targets that keep
 * one (or several) busy take 2.0/1.5 times as long. Targets that sleep most of the time are late by
 * no more than the cost: of 10 seconds that passed 0.5 are tracing's, 10/9.5 times. So the slowdown
 * is that of the larger of both times. Of the time that passed what they waited for a CPU is no
 * sleep: on a CPU that is shared everything takes longer by the same factor.
 */
#ifndef MEMTRACE_MODEL_OVERHEAD_H
#define MEMTRACE_MODEL_OVERHEAD_H

#include "memtrace/memtrace.h"

/* What is left of the time when nine tenths are tracing's is too little to say more than that it is
 * little: this slowdown stands for itself and all above. */
#define OVERHEAD_SLOWDOWN_MAX 10.0

/* Of the time that passed; what costs less is not worth a word, or an end. */
#define OVERHEAD_MATTERS 0.01

/* Calls of the allocator: a realloc is one, though it is a free and an allocation. free(NULL) is
 * none. In a sample an estimate, as the figures it is made of. */
uint64_t overhead_calls(const struct memtrace_totals *totals);

/* NAN where something is not known. */
double overhead_ns_per_call(const struct memtrace_overhead *overhead);
double overhead_share(const struct memtrace_overhead *overhead);    /* of the CPU time: 0 to 1 */
double overhead_slowdown(const struct memtrace_overhead *overhead); /* times as long: 1 to 10 */

/* How far apart points of a sample by bytes should be for a cost that is so many times smaller,
 * when so many bytes were a point until now (the mean size of a block, where every block was). A
 * power of two, with some room: at least 4 times as far, and at most the maximum. */
#define OVERHEAD_SAMPLE_BYTES_MAX (64ULL << 20)
uint64_t overhead_sample_bytes(double bytes, double times);

/* The slowdown as --max-overhead has it: 100 is twice as long. */
double overhead_percent(const struct memtrace_overhead *overhead);

#endif
