// SPDX-License-Identifier: MIT
/* deep.c [depth] - allocates at the end of a chain of depth calls, odd and even by turns. */
#include "truth.h"

static long left;

void odd_call(void **block);

T_NOINLINE void leaf_call(void **block)
{
	*block = t_malloc(48);
	T_HIDE(block);
}

T_NOINLINE void even_call(void **block)
{
	if (--left > 0)
		odd_call(block);
	else
		leaf_call(block);
	T_HIDE(block);
}

T_NOINLINE void odd_call(void **block)
{
	if (--left > 0)
		even_call(block);
	else
		leaf_call(block);
	T_HIDE(block);
}

int main(int argc, char **argv)
{
	long depth = t_arg(argc, argv, 1, 10);
	void *block;

	t_begin();
	left = depth;
	even_call(&block);
	t_frame("leaf_call");
	for (long i = depth; i > 0; i--)
		t_frame(i % 2 ? "even_call" : "odd_call");
	t_frame("main");
	t_finish();
	return 0;
}
