// SPDX-License-Identifier: MIT
/* omit_fp.cc [depth] - allocates at the end of a chain of frames of every shape compilers make when
 * they need no frame pointer: large, full of saved registers, of a size known at run time only,
 * realigned, and left by exceptions. Built with -O3 -fomit-frame-pointer (rules.mk). */
#include <alloca.h>

#include "truth.h"

#define NEVER_COPIED __attribute__((noipa)) /* the names in the truth stay the names in the file */

/* Each argument is needed after the call, so they are kept in registers that are saved, the frame
 * pointer's among them. */
#define KEEP(...) __asm__ volatile("" : : __VA_ARGS__ : "memory")

struct over {
	int depth;
};

static long left;
static void *block;

extern "C" {
void busy_call(long a, long b, long c, long d, long e, long f);

NEVER_COPIED void leaf_call(void)
{
	block = t_malloc(56);
	T_HIDE(block);
}

NEVER_COPIED void large_call(void)
{
	volatile char room[20000];

	room[left] = 1;
	leaf_call();
	room[left] = 2;
}

/* a local that wants 64 bytes, and arguments on the stack that must be found beside it */
NEVER_COPIED long realigned_call(long a, long b, long c, long d, long e, long f, long g, long h)
{
	alignas(64) volatile char line[64];
	char *more = (char *)alloca(a + 1);

	more[0] = line[a] = 1;
	T_HIDE(more);
	if (--left > 0)
		busy_call(b, c, d, e, f, g);
	else
		large_call();
	return line[a] + more[0] + g + h;
}

NEVER_COPIED void sized_call(long size)
{
	volatile char *room = (volatile char *)alloca(size);

	room[0] = 1;
	realigned_call(1, 2, 3, 4, 5, 6, 7, 8);
	room[size - 1] = 2;
}

NEVER_COPIED void busy_call(long a, long b, long c, long d, long e, long f)
{
	sized_call(100 + a);
	KEEP("r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f));
}

NEVER_COPIED void throwing_call(int depth)
{
	volatile char room[300];

	room[depth] = 1;
	if (!depth)
		throw over{ 1 };
	throwing_call(depth - 1);
	room[depth] = 2;
}

NEVER_COPIED void catching_call(int depth)
{
	try {
		throwing_call(depth);
	} catch (const over &o) {
		left += o.depth - 1;
	}
	busy_call(1, 2, 3, 4, 5, 6);
}
}

int main(int argc, char **argv)
{
	long depth = t_arg(argc, argv, 1, 3);

	t_begin();
	left = depth;
	/* the runtime's block for the thrown object lives and dies before ours; it is in the sums */
	t_state.allocs = t_state.frees = 1;
	t_state.alloc_bytes = t_state.freed_bytes = sizeof(over) + 128;
	t_state.live_bytes = sizeof(over) + 128;
	t_state.live_blocks = 1;
	t_peak();
	t_state.live_bytes = t_state.live_blocks = 0;
	catching_call(3);
	t_frame("leaf_call");
	t_frame("large_call");
	for (long i = 0; i < (depth > 0 ? depth : 1); i++) {
		t_frame("realigned_call");
		t_frame("sized_call");
		t_frame("busy_call");
	}
	t_frame("catching_call");
	t_frame("main");
	t_finish();
	return 0;
}
