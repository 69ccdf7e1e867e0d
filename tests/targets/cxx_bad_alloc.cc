// SPDX-License-Identifier: MIT
/* cxx_bad_alloc.cc - operator new that fails yields no block and throws one of the runtime's. */
#include "truth.h"

#include <new>

#define HEADER 128 /* __cxa_refcounted_exception, in the Itanium C++ ABI on 64 bits */
#define THROWN_BYTES (sizeof(std::bad_alloc) + HEADER)

static void thrown()
{
	t_state.allocs++;
	t_state.alloc_bytes += THROWN_BYTES;
	t_state.live_blocks++;
	t_state.live_bytes += THROWN_BYTES;
	t_peak();
}

static void caught()
{
	t_state.frees++;
	t_state.freed_bytes += THROWN_BYTES;
	t_state.live_blocks--;
	t_state.live_bytes -= THROWN_BYTES;
}

int main()
{
	volatile size_t huge = (size_t)PTRDIFF_MAX - 65536;

	t_begin();
	for (int i = 0; i < 10; i++) {
		t_free(t_malloc(100));
		try {
			void *block = ::operator new(huge);

			T_HIDE(block);
			t_die("cxx_bad_alloc: new returned\n");
		} catch (const std::bad_alloc &) {
			thrown(); /* while it was thrown nothing else changed */
			t_state.failed_allocs++;
		}
		caught();
		t_malloc(10);
	}
	t_finish();
	return 0;
}
