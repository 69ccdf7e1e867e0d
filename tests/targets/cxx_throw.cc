// SPDX-License-Identifier: MIT
/* cxx_throw.cc - thrown objects are blocks of the heap, with a header of the C++ runtime, and are
 * freed when caught; exceptions leave functions that hold blocks. */
#include "truth.h"

#define HEADER 128 /* __cxa_refcounted_exception, in the Itanium C++ ABI on 64 bits */

struct trouble {
	char text[72];
};

static uint64_t thrown;

T_NOINLINE void fall(int depth)
{
	char *block = new char[50];

	T_HIDE(block);
	t_got(block, 50);
	if (!depth) {
		/* the object is made by the runtime: its address is not known here */
		thrown++;
		t_state.live_bytes += sizeof(trouble) + HEADER;
		t_state.live_blocks++;
		t_peak();
		throw trouble();
	}
	fall(depth - 1);
	t_free(block);
}

int main()
{
	t_begin();
	for (int i = 0; i < 100; i++) {
		try {
			fall(i % 5);
		} catch (const trouble &) {
			t_free(t_malloc(10));
		}
		t_state.live_bytes -= sizeof(trouble) + HEADER;
		t_state.live_blocks--;
	}
	t_state.allocs += thrown;
	t_state.frees += thrown;
	t_state.alloc_bytes += thrown * (sizeof(trouble) + HEADER);
	t_state.freed_bytes += thrown * (sizeof(trouble) + HEADER);
	t_finish();
	return 0;
}
