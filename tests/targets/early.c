// SPDX-License-Identifier: MIT
/* early.c - blocks from before it was attached to are freed after: nobody saw them come. */
#include "truth.h"

int main(void)
{
	bool attached = getenv("MT_READY_FD") != NULL;
	void *early[10];

	for (int i = 0; i < 10; i++)
		early[i] = attached ? malloc(500) : t_malloc(500);
	t_begin();
	t_malloc(20);
	for (int i = 0; i < 7; i++) {
		T_HIDE(early[i]);
		if (attached)
			free(early[i]);
		else
			t_free(early[i]);
		t_free(t_malloc(30));
	}
	if (attached)
		t_state.unknown_frees = 7;
	t_finish();
	return 0;
}
