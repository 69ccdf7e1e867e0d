// SPDX-License-Identifier: MIT
/* test_exports.c - the shared library shows its own functions and nothing it was linked from. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(exports, are_the_functions_of_memtrace_h_alone)
{
	FILE *names = popen("nm -D --defined-only " MEMTRACE_LIB, "r");
	char kind, name[256];
	size_t cnt = 0;

	cr_assert_not_null(names);
	while (fscanf(names, "%*x %c %255s", &kind, name) == 2) {
		cr_expect(!strncmp(name, "memtrace_", 9), "%s is exported", name);
		cnt++;
	}
	cr_expect_eq(pclose(names), 0, "nm does not read " MEMTRACE_LIB);
	cr_expect_gt(cnt, 10, "%zu functions are exported", cnt);
}
