// SPDX-License-Identifier: MIT
/*
 * cache_full.c [rounds [pause_us [look_ups]]] - a cache of everything that was ever asked for, of 200 keys:
 * it grows fast, then slowly, then it has them all.
 */
#include "truth.h"

#include "paced.h"

#define KEYS 200

T_NOINLINE void *cache_fill(void)
{
	return t_malloc(1000);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long look_ups = t_arg(argc, argv, 3, 4);
	void *cache[KEYS] = { 0 };
	uint32_t seed = 5;

	t_begin();
	for (long i = 0; i < rounds; i++) {
		for (long j = 0; j < look_ups; j++) {
			uint32_t key = t_random(&seed) % KEYS;

			if (!cache[key])
				cache[key] = cache_fill();
		}
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
