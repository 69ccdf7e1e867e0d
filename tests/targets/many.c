// SPDX-License-Identifier: MIT
/* many.c [blocks [free_every]] - many small blocks live at once; of which every n-th is freed. The
 * blocks are linked, so that the program needs no table of its own. */
#include "truth.h"

struct link {
	struct link *next;
	uint64_t number;
};

static struct link *grow(long blocks)
{
	struct link *last = NULL;

	for (long i = 0; i < blocks; i++) {
		struct link *block = malloc(sizeof(*block));

		T_HIDE(block);
		if (!block)
			t_die("many: out of memory\n");
		block->next = last;
		block->number = (uint64_t)i;
		last = block;
	}
	return last;
}

static long prune(struct link *head, long every)
{
	long freed = 0;

	for (struct link *next, *block = head; block; block = next) {
		next = block->next;
		if (block->number % (uint64_t)every)
			continue;
		free(block);
		freed++;
	}
	return freed;
}

int main(int argc, char **argv)
{
	long blocks = t_arg(argc, argv, 1, 100000), every = t_arg(argc, argv, 2, 0), freed = 0;
	struct link *head;

	t_begin();
	head = grow(blocks);
	if (every)
		freed = prune(head, every);
	t_state.allocs = (uint64_t)blocks;
	t_state.frees = (uint64_t)freed;
	t_state.alloc_bytes = t_state.allocs * sizeof(*head);
	t_state.freed_bytes = t_state.frees * sizeof(*head);
	t_state.live_blocks = t_state.allocs - t_state.frees;
	t_state.live_bytes = t_state.alloc_bytes - t_state.freed_bytes;
	t_state.peak_bytes = t_state.alloc_bytes;
	t_state.peak_blocks = t_state.allocs;
	t_finish();
	return 0;
}
