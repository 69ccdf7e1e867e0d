// SPDX-License-Identifier: MIT
/* The sixteen bits that a block's weight is kept in. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "memtrace/weight.h"

static uint32_t log2_of(uint64_t count)
{
	return count ? 63 - (uint32_t)__builtin_clzll(count) : 0;
}

/* Cut off, as it is without a rounding up. */
static uint64_t kept(uint64_t count)
{
	return mt_weight_count(mt_weight_code(count, log2_of(count)));
}

Test(weight, one_is_no_code_at_all)
{
	cr_expect_eq(mt_weight_code(MT_COUNT_ONE, 16), 0);
	cr_expect_eq(mt_weight_count(0), MT_COUNT_ONE);
}

Test(weight, twelve_bits_are_kept)
{
	for (uint64_t count = 1; count < 1 << 12; count++)
		for (uint32_t shift = MT_COUNT_SHIFT; (count << shift) <= MT_COUNT_MAX; shift++)
			cr_assert_eq(kept(count << shift), count << shift);
}

Test(weight, less_than_one_is_kept_to_one_part_in_2048_of_one)
{
	for (uint64_t count = 0; count < MT_COUNT_ONE; count++)
		cr_assert_eq(kept(count), count & ~31ULL);
}

Test(weight, what_is_cut_off_is_what_rounding_needs)
{
	for (uint64_t count = 1; count < MT_COUNT_MAX; count += count / 7 + 1) {
		uint64_t rest = mt_weight_rest(log2_of(count));

		cr_assert_eq(kept(count), count & ~rest, "%#lx", (unsigned long)count);
		/* rounded up it is the next that can be kept */
		cr_assert_eq(kept((count & ~rest) + rest + 1), (count & ~rest) + rest + 1);
	}
}

Test(weight, every_code_fits_beside_the_time_of_birth)
{
	for (uint64_t count = 1; count <= MT_COUNT_MAX; count += count / 5 + 1) {
		uint64_t code = mt_weight_code(count, log2_of(count));
		uint64_t word = mt_born_word(5000000256, 256, code);

		cr_assert_lt(code, 1 << MT_WEIGHT_BITS);
		cr_assert_eq(mt_born_code(word), code);
		cr_assert_eq(mt_born_ns(word, 256), 5000000256);
	}
}

Test(weight, bytes_are_size_times_count)
{
	cr_expect_eq(mt_weight_bytes(100, MT_COUNT_ONE), 100);
	cr_expect_eq(mt_weight_bytes(100, MT_COUNT_ONE / 4), 25);
	cr_expect_eq(mt_weight_bytes(48, 3 * MT_COUNT_ONE / 2), 72);
	cr_expect_eq(mt_weight_bytes((1ULL << 40) + 8, 5 * MT_COUNT_ONE), (5ULL << 40) + 40);
}
