/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * weight.h - how many blocks a sampled block stands for, in 16 bits beside its time of birth.
 *
 * In a session that weighs, a figure of blocks counts in units of 1/65536 and a block adds its count,
 * which is 1/p where p was the chance that it was taken: at least one. (An allocator with sites of
 * "otel_memory" says how many bytes a block stands for, which may be less than its size.) It adds
 * size * count bytes. What it adds when it comes it takes away when it goes, so the count is kept
 * with the block:
 *
 *	third word    63                                16 15       11 10          0
 *	             +------------------------------------+-----------+-------------+
 *	             | born, in 256 ns since the session  | exponent  | mantissa    |
 *	             +------------------------------------+-----------+-------------+
 *
 *	count = (2048 + mantissa) << (5 + exponent)    in 1/65536; a code of 0 is one
 *	count = mantissa << 5                          exponent 31: less than one
 *
 * Whoever makes the code rounds the count at random, so that no bias is left.
 */
#ifndef MEMTRACE_WEIGHT_H
#define MEMTRACE_WEIGHT_H

#include <linux/types.h>

#define MT_COUNT_SHIFT 16
#define MT_COUNT_ONE (1ULL << MT_COUNT_SHIFT)
#define MT_COUNT_MAX (1ULL << 46) /* larger ones are taken as that */

#define MT_WEIGHT_BITS 16
#define MT_WEIGHT_MANTISSA_BITS 11
#define MT_WEIGHT_FRACTION 31 /* the exponent of counts below one */
#define MT_BORN_SHIFT 8

#define MT_WEIGHT_INLINE static inline __attribute__((always_inline))

/* log2 is that of the count; lower bits are cut off. Of a count below one it may be anything. */
MT_WEIGHT_INLINE __u64 mt_weight_code(__u64 count, __u32 log2)
{
	__u32 exponent = log2 - MT_COUNT_SHIFT;

	if (count < MT_COUNT_ONE)
		return MT_WEIGHT_FRACTION << MT_WEIGHT_MANTISSA_BITS |
		       count >> (MT_COUNT_SHIFT - MT_WEIGHT_MANTISSA_BITS);
	return (__u64)exponent << MT_WEIGHT_MANTISSA_BITS |
	       ((count >> (log2 - MT_WEIGHT_MANTISSA_BITS)) &
		((1 << MT_WEIGHT_MANTISSA_BITS) - 1));
}

/* Bits of a count that its code has no room for. */
MT_WEIGHT_INLINE __u64 mt_weight_rest(__u32 log2)
{
	if (log2 < MT_COUNT_SHIFT)
		log2 = MT_COUNT_SHIFT;
	return (1ULL << (log2 - MT_WEIGHT_MANTISSA_BITS)) - 1;
}

MT_WEIGHT_INLINE __u64 mt_weight_count(__u64 code)
{
	__u64 mantissa = code & ((1 << MT_WEIGHT_MANTISSA_BITS) - 1);
	__u64 exponent = code >> MT_WEIGHT_MANTISSA_BITS & 31;
	__u64 whole = 1 - ((exponent + 1) >> 5); /* 0 below one; no branch, for the verifier */

	return (mantissa | whole << MT_WEIGHT_MANTISSA_BITS)
	       << (exponent * whole + MT_COUNT_SHIFT - MT_WEIGHT_MANTISSA_BITS);
}

/* Bytes that a block of that size stands for. */
MT_WEIGHT_INLINE __u64 mt_weight_bytes(__u64 size, __u64 count)
{
	return (size >> 16) * count + ((size & 0xffff) * count >> MT_COUNT_SHIFT);
}

MT_WEIGHT_INLINE __u64 mt_born_word(__u64 born_ns, __u64 began_ns, __u64 code)
{
	return (born_ns - began_ns) >> MT_BORN_SHIFT << MT_WEIGHT_BITS | code;
}

MT_WEIGHT_INLINE __u64 mt_born_ns(__u64 word, __u64 began_ns)
{
	return (word >> MT_WEIGHT_BITS << MT_BORN_SHIFT) + began_ns;
}

MT_WEIGHT_INLINE __u64 mt_born_code(__u64 word)
{
	return word & ((1 << MT_WEIGHT_BITS) - 1);
}

#endif
