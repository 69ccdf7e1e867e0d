// SPDX-License-Identifier: MIT
/*
 * pairs.c - a loop of malloc and free at a given depth of the stack.
 *
 *	pairs PAIRS DEPTH THREADS
 *
 * Says "ready" on stdout, waits for a byte on stdin, runs, prints nanoseconds per pair, waits for
 * the end of stdin.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long pairs;
static int depth;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static __attribute__((noinline)) void loop(void)
{
	for (long i = 0; i < pairs; i++) {
		void *volatile p = malloc(64);

		free(p);
	}
}

static __attribute__((noinline)) void descend(int left)
{
	if (left > 0)
		descend(left - 1);
	else
		loop();
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

static void *run(void *unused)
{
	descend(depth > 2 ? depth - 3 : 0); /* main, descend, loop */
	return unused;
}

int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[3]) : 1;
	static pthread_t others[64]; /* keeps the frame small */
	double start, end;
	char byte;

	pairs = argc > 1 ? atol(argv[1]) : 100000;
	depth = argc > 2 ? atoi(argv[2]) : 3;
	if (threads > 64)
		threads = 64;
	if (write(1, "ready\n", 6) != 6 || read(0, &byte, 1) != 1)
		return 1;
	start = now_ns();
	for (int i = 1; i < threads; i++)
		pthread_create(&others[i], NULL, run, NULL);
	run(NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(others[i], NULL);
	end = now_ns();
	dprintf(1, "%.2f\n", (end - start) / pairs);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
