// SPDX-License-Identifier: MIT
/*
 * jump_own.c - an allocator that leaves malloc, realloc and free by longjmp when told so, as one
 * with an error handler does: those calls never return, and everything after them counts.
 */
#include "truth.h"

#include <setjmp.h>

#include "own_heap.h"

static jmp_buf back;
static volatile int jump; /* the next call of the family leaves by longjmp */

static __attribute__((noinline)) void maybe_jump(void)
{
	if (jump) {
		jump = 0;
		longjmp(back, 1);
	}
}

OWN_EXPORT void *malloc(size_t size)
{
	maybe_jump();
	return own_cut(16, size);
}

OWN_EXPORT void free(void *block)
{
	T_HIDE(block);
}

OWN_EXPORT void *calloc(size_t count, size_t size)
{
	void *block = malloc(count * size); /* jumps out of two calls at once */

	T_HIDE(block);
	if (block)
		memset(block, 0, count * size);
	return block;
}

OWN_EXPORT void *realloc(void *old, size_t size)
{
	void *block;

	maybe_jump();
	block = own_cut(16, size);
	if (old && block)
		memcpy(block, old, own_size(old) < size ? own_size(old) : size);
	return block;
}

/* Deeper than where it is called from next, so that the stale entry lies below it. */
T_NOINLINE void call_from_below(int depth, int way)
{
	volatile char room[256];

	room[0] = (char)depth;
	if (depth) {
		call_from_below(depth - 1, way);
	} else if (way) {
		void *block = malloc(99);

		T_HIDE(block);
	} else {
		void *block = calloc(9, 11);

		T_HIDE(block);
	}
	room[1] = room[0];
}

static void jump_out(int depth, int way)
{
	if (setjmp(back))
		return;
	jump = 1;
	call_from_below(depth, way);
	t_die("jump_own: the call returned\n");
}

/* Goes deeper than the call that was left, over an array that nobody writes to: what that call left
 * on the stack stays there while these calls run below it. */
T_NOINLINE void call_below_what_was_left(int calls)
{
	char untouched[16384];

	__asm__ volatile("" : : "r"(untouched) : "memory");
	for (int i = 0; i < calls; i++)
		t_malloc(50 + (size_t)i);
	__asm__ volatile("" : : "r"(untouched) : "memory");
}

int main(void)
{
	void *block;

	t_begin();
	block = t_malloc(1000);
	for (int i = 0; i < 30; i++) {
		jump_out(i % 5, i % 2);
		t_free(t_malloc(10));
		t_calloc(4, 5);
		block = t_realloc(block, 1000 + (size_t)i);
	}
	/* many that never return, one after another */
	for (int i = 0; i < 200; i++)
		jump_out(0, 1);
	jump_out(4, 1);
	call_below_what_was_left(100);
	t_malloc(17);
	/* a free from where the jump landed, and one from deeper */
	t_free(block);
	t_finish();
	return 0;
}
