// SPDX-License-Identifier: MIT
/*
 * leak_rare.c [rounds [pause_us [requests]]] - so many requests a round, each with a block that is
 * freed 32 requests later; of every thousandth request it is forgotten.
 */
#include "truth.h"

#include "paced.h"

#define IN_FLIGHT 32

T_NOINLINE void *handle_request(size_t size)
{
	return t_malloc(size);
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 300), pause_us = t_arg(argc, argv, 2, 10000);
	long requests = t_arg(argc, argv, 3, 200), cnt = 0;
	void *in_flight[IN_FLIGHT] = { 0 };
	uint32_t seed = 11;

	t_begin();
	for (long i = 0; i < rounds; i++) {
		for (long j = 0; j < requests; j++, cnt++) {
			t_free(in_flight[cnt % IN_FLIGHT]);
			in_flight[cnt % IN_FLIGHT] = handle_request(200 + t_random(&seed) % 400);
			if (cnt % 1000 == 999)
				in_flight[cnt % IN_FLIGHT] = NULL;
		}
		paced_pause(pause_us);
	}
	t_finish();
	return 0;
}
