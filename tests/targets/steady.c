// SPDX-License-Identifier: MIT
/* steady.c - allocates and frees without a pause until MT_HOLD_FD is readable or closed, then says
 * how it went: for tests that end the tracer meanwhile. */
#include "truth.h"

#include <poll.h>

int main(void)
{
	struct pollfd hold = { .fd = t_env_fd("MT_HOLD_FD"), .events = POLLIN };
	void *slots[64] = { 0 };
	uint32_t seed = 7;

	t_begin();
	if (hold.fd < 0)
		t_die("steady: MT_HOLD_FD is not set\n");
	do {
		for (int i = 0; i < 256; i++) {
			uint32_t slot = t_random(&seed) % 64;
			size_t size = t_random(&seed) % 2000 + 1;

			t_free(slots[slot]);
			slots[slot] = t_malloc(size);
			memset(slots[slot], (int)slot + 1, size);
		}
	} while (!poll(&hold, 1, 0));
	/* every block still holds what was put into it */
	for (int i = 0; i < 64; i++)
		if (slots[i] && *(unsigned char *)slots[i] != i + 1)
			t_die("steady: a block was spoiled\n");
	t_write();
	return 0;
}
