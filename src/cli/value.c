// SPDX-License-Identifier: MIT
/* value.c - numbers as people type them, read strictly. */
#include "cli/value.h"

#include <errno.h>
#include <stdbool.h>

int value_count(const char *text, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return -EINVAL;
	for (const char *c = text; *c; c++)
		if (*c < '0' || *c > '9')
			return -EINVAL;
	for (const char *c = text; *c; c++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*c - '0'), &sum))
			return -ERANGE;
	*value = sum;
	return 0;
}

int value_seconds(const char *text, double *value)
{
	double sum = 0, scale = 0;
	bool digits = false;

	for (const char *c = text; *c; c++) {
		if (*c == '.' && scale == 0) {
			scale = 1;
			continue;
		}
		if (*c < '0' || *c > '9')
			return -EINVAL;
		digits = true;
		sum = sum * 10 + (*c - '0');
		scale *= 10;
	}
	if (!digits)
		return -EINVAL;
	/* Too long for a double: the sum or the scale ran over. */
	if (sum > 1e300 || scale > 1e300)
		return -ERANGE;
	*value = scale > 1 ? sum / scale : sum;
	return 0;
}
