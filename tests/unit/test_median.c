// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <math.h>

#include "base/median.h"

#define MEDIAN(...) \
	median((double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

Test(median, is_the_one_in_the_middle)
{
	cr_expect_eq(MEDIAN(7), 7);
	cr_expect_eq(MEDIAN(3, 1e9, -2), 3);
	cr_expect_eq(MEDIAN(5, 1, 4, 2, 3), 3);
}

Test(median, of_two_in_the_middle_is_their_mean)
{
	cr_expect_eq(MEDIAN(4, 1), 2.5);
	cr_expect_eq(MEDIAN(100, 1, 3, 2), 2.5);
}

Test(median, of_nothing_is_not_known)
{
	cr_expect(isnan(median(NULL, 0)));
}
