// SPDX-License-Identifier: MIT
/* jump_plain.c - longjmp over functions that hold blocks: blocks stay, later calls are counted. */
#include "truth.h"

#include <setjmp.h>

static jmp_buf back;

T_NOINLINE void sink(int depth, int jump)
{
	void *lost = t_malloc(60);

	if (depth)
		sink(depth - 1, jump);
	else if (jump)
		longjmp(back, 1);
	t_free(lost);
}

int main(void)
{
	t_begin();
	for (volatile int i = 0; i < 50; i++) {
		if (!setjmp(back))
			sink(i % 7, i % 4);
		t_free(t_malloc(80));
	}
	t_finish();
	return 0;
}
