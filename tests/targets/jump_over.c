// SPDX-License-Identifier: MIT
/* jump_over.c - calls of the allocator that are left by longjmp, out of the depth of other calls:
 * each is gone, and everything after counts. With jump_heap preloaded. */
#include "truth.h"

#include <setjmp.h>

extern jmp_buf *jump_heap_back __attribute__((weak));

static jmp_buf back;

T_NOINLINE void call_from_below(int depth, int way)
{
	volatile char room[256];
	void *block;

	room[0] = (char)depth;
	if (depth)
		call_from_below(depth - 1, way);
	else {
		block = way ? malloc(99) : calloc(9, 11);
		T_HIDE(block);
	}
	room[1] = room[0];
}

static void jump_out(int depth, int way)
{
	if (setjmp(back))
		return;
	jump_heap_back = &back;
	call_from_below(depth, way);
	t_die("jump_over: the call returned\n");
}

int main(void)
{
	void *block;

	if (!&jump_heap_back)
		t_die("jump_over: jump_heap is not preloaded\n");
	t_begin();
	block = t_malloc(1000);
	for (int i = 0; i < 30; i++) {
		jump_out(i % 5, i % 2);
		t_free(t_malloc(10));
		t_calloc(4, 5);
		block = t_realloc(block, 1000 + (size_t)i);
	}
	for (int i = 0; i < 200; i++)
		jump_out(0, 1);
	t_malloc(17);
	t_free(block);
	t_finish();
	return 0;
}
