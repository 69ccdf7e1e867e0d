// SPDX-License-Identifier: MIT
/* turns.c [threads [calls]] - threads that allocate by turns, one call at a time: the peak is
 * exact although many threads made it. */
#include "truth.h"

#include <pthread.h>

#define THREADS_MAX 16
#define SLOTS 32

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static void *slots[SLOTS];
static long calls;

static void *work(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	pthread_barrier_wait(&barrier);
	for (long i = 0; i < calls; i++) {
		uint32_t slot = t_random(&seed) % SLOTS;

		pthread_mutex_lock(&turn);
		if (t_random(&seed) % 3) {
			slots[slot] = t_realloc(slots[slot], t_random(&seed) % 3000 + 1);
		} else {
			t_free(slots[slot]);
			slots[slot] = NULL;
		}
		pthread_mutex_unlock(&turn);
	}
	pthread_barrier_wait(&barrier);
	return NULL;
}

int main(int argc, char **argv)
{
	long threads = t_arg(argc, argv, 1, 4);
	pthread_t thread[THREADS_MAX];

	calls = t_arg(argc, argv, 2, 2000);
	t_begin();
	pthread_barrier_init(&barrier, NULL, (unsigned int)threads);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i))
			t_die("turns: cannot make a thread\n");
	for (long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	t_state.threads = (uint64_t)threads;
	t_state.unknown_frees_max = (uint64_t)threads * (1 + 64 * 7);
	t_finish();
	return 0;
}
