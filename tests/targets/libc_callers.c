// SPDX-License-Identifier: MIT
/* libc_callers.c - blocks the C library allocates on behalf of its caller. */
#include "truth.h"

#include <wchar.h>

T_NOINLINE char *duplicate(const char *text)
{
	char *copy = strdup(text);

	t_got(copy, strlen(text) + 1);
	return copy;
}

int main(void)
{
	char *a, *b;
	wchar_t *wide;

	t_begin();
	a = duplicate("a string of some length");
	b = strndup(a, 8);
	t_got(b, 9);
	wide = wcsdup(L"wide");
	t_got(wide, 5 * sizeof(wchar_t));
	t_free(a);
	t_free(wide);
	t_finish();
	return 0;
}
