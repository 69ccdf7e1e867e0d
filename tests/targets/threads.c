// SPDX-License-Identifier: MIT
/* threads.c [threads [calls]] - threads allocate as fast as they can and hand every block to a
 * neighbour, who frees it: on another CPU, while others allocate. */
#include "truth.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS_MAX 64
#define SLOTS 64

struct worker {
	pthread_t thread;
	struct worker *neighbour;
	long calls;
	uint32_t seed;
	struct t_tally tally;
	_Atomic(void *) inbox[SLOTS];
};

static struct worker workers[THREADS_MAX];
static pthread_barrier_t barrier;

static void *work(void *arg)
{
	struct worker *self = arg;

	/* all live at once: none gets the stack of one that ended */
	pthread_barrier_wait(&barrier);
	for (long i = 0; i < self->calls; i++) {
		uint32_t slot = t_random(&self->seed) % SLOTS;
		size_t size = sizeof(size_t) + t_random(&self->seed) % 500;
		void *block = t_tally_malloc(&self->tally, size);
		void *old = atomic_exchange(&self->neighbour->inbox[slot], block);

		if (old)
			t_tally_free(&self->tally, old);
	}
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Half of what is left; the other half stays live. */
static void drain(struct worker *worker)
{
	for (int i = 0; i < SLOTS; i += 2) {
		void *block = atomic_exchange(&worker->inbox[i], NULL);

		if (block)
			t_tally_free(&worker->tally, block);
	}
}

int main(int argc, char **argv)
{
	long threads = t_arg(argc, argv, 1, 4), calls = t_arg(argc, argv, 2, 20000);

	if (threads < 1 || threads > THREADS_MAX)
		t_die("threads: too many\n");
	t_begin();
	pthread_barrier_init(&barrier, NULL, (unsigned int)threads);
	for (long i = 0; i < threads; i++) {
		workers[i].neighbour = &workers[(i + 1) % threads];
		workers[i].calls = calls;
		workers[i].seed = (uint32_t)i;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			t_die("threads: cannot make a thread\n");
	}
	for (long i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	for (long i = 0; i < threads; i++) {
		drain(&workers[i]);
		t_add(&workers[i].tally);
	}
	t_state.threads = (uint64_t)threads;
	/* an ending thread frees its cache: its own table, and blocks that were freed before */
	t_state.unknown_frees_max = (uint64_t)threads * (1 + 64 * 7);
	t_finish();
	return 0;
}
