// SPDX-License-Identifier: MIT
/* thread_base.c [threads] - threads that do nothing: what the C library allocates for them. */
#include "truth.h"

#include <pthread.h>

#define THREADS_MAX 64

static pthread_barrier_t barrier;

static void *idle(void *arg)
{
	pthread_barrier_wait(&barrier);
	return arg;
}

int main(int argc, char **argv)
{
	long threads = t_arg(argc, argv, 1, 1);
	pthread_t thread[THREADS_MAX];

	t_begin();
	pthread_barrier_init(&barrier, NULL, (unsigned int)threads);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, idle, NULL))
			t_die("thread_base: cannot make a thread\n");
	for (long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	t_state.threads = (uint64_t)threads;
	t_state.unknown_frees_max = (uint64_t)threads;
	t_finish();
	return 0;
}
