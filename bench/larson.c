// SPDX-License-Identifier: MIT
/*
 * larson.c - two threads that hand blocks to each other, as servers do with requests.
 *
 *	larson PAIRS
 *
 * The threads share a table of blocks. Each puts new ones of 16 to 511 bytes into places drawn at
 * random, and frees what was there: as often as not a block of the other thread. Nobody ever waits,
 * so it is the allocator that is measured, and its tracer. Each thread makes PAIRS blocks; at the
 * end none is left.
 *
 * Says "ready" on stdout, waits for a byte on stdin, runs, prints the nanoseconds for a pair of one
 * thread and how many blocks went to the other one, waits for the end of stdin.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PLACES 1024 /* about 270 KiB of blocks */

struct table {
	_Atomic(unsigned char *) places[PLACES];
	long pairs;
};

struct worker {
	struct table *table;
	uint64_t random;
	unsigned char id;
	long handed; /* blocks freed that the other one made */
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* xorshift64 */
static uint64_t draw(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;

	for (long i = 0; i < w->table->pairs; i++) {
		uint64_t random = draw(w);
		unsigned char *block = malloc(16 + (random >> 32) % 496), *old;

		if (!block)
			exit(1);
		*block = w->id;
		old = atomic_exchange(&w->table->places[random % PLACES], block);
		w->handed += old && *old != w->id;
		free(old);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct table table; /* not from malloc: no part of what is counted */
	struct worker workers[2] = { { .table = &table, .random = 88172645463325252, .id = 1 },
				     { .table = &table, .random = 362436069362436069, .id = 2 } };
	pthread_t other;
	double start, end;
	char byte;

	table.pairs = argc > 1 ? atol(argv[1]) : 100000;
	if (write(1, "ready\n", 6) != 6 || read(0, &byte, 1) != 1)
		return 1;
	start = now_ns();
	if (pthread_create(&other, NULL, work, &workers[1]))
		return 1;
	work(&workers[0]);
	pthread_join(other, NULL);
	end = now_ns();
	for (size_t i = 0; i < PLACES; i++)
		free(table.places[i]);
	dprintf(1, "%.2f ns, %ld handed over\n", (end - start) / (double)table.pairs,
		workers[0].handed + workers[1].handed);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
