// SPDX-License-Identifier: MIT
/* mix.c [calls] - malloc, calloc, realloc and free in random order, some blocks left at the end. */
#include "truth.h"

#define SLOTS 512

static void *slots[SLOTS];

static void step(uint32_t *seed)
{
	uint32_t i = t_random(seed) % SLOTS;
	size_t size = t_random(seed) % 900 + 1;

	switch (t_random(seed) % 4) {
	case 0:
		t_free(slots[i]);
		slots[i] = t_malloc(size);
		break;
	case 1:
		t_free(slots[i]);
		slots[i] = t_calloc(size, 2);
		break;
	case 2:
		slots[i] = t_realloc(slots[i], size);
		break;
	case 3:
		t_free(slots[i]);
		slots[i] = NULL;
		break;
	}
}

int main(int argc, char **argv)
{
	long calls = t_arg(argc, argv, 1, 20000);
	uint32_t seed = 42;

	t_begin();
	for (long i = 0; i < calls; i++)
		step(&seed);
	for (int i = 0; i < SLOTS / 2; i++) {
		t_free(slots[i]);
		slots[i] = NULL;
	}
	t_finish();
	return 0;
}
