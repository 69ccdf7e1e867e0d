/* SPDX-License-Identifier: MIT */
/*
 * overlap.h - from ranges that overlap to ranges that do not.
 *
 *	in, by rising precedence    0: |-------------|      out: |--0--|--1--|-0-|  |-2-|
 *	                            1:       |-----|
 *	                            2:                    |---|
 */
#ifndef CAPTURE_OVERLAP_H
#define CAPTURE_OVERLAP_H

#include <stddef.h>
#include <stdint.h>

struct overlap_range {
	uint64_t start, end; /* [start, end) */
	uint32_t id;	     /* the caller's */
};

/* Of each address the range that comes last in the array holds; empty ranges hold nothing. *out is
 * the caller's to free: sorted and disjoint, *out_cnt is at most twice cnt. 0 or -ENOMEM. */
int overlap_resolve(const struct overlap_range *ranges, size_t cnt, struct overlap_range **out,
		    size_t *out_cnt);

/* The range of a sorted, disjoint array that holds address, or NULL. */
const struct overlap_range *overlap_find(const struct overlap_range *ranges, size_t cnt,
					 uint64_t address);

#endif
