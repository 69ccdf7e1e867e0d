// SPDX-License-Identifier: MIT
/* thread_exit.c [threads] - short-lived threads one after another; each frees what the one before
 * left, and leaves a block itself. At its end the C library frees the thread's cache: blocks that
 * no allocation function returned, or that were freed already. */
#include "truth.h"

#include <pthread.h>

static void *left_behind;

static void *work(void *arg)
{
	void *own[10];

	t_free(left_behind);
	for (int i = 0; i < 10; i++)
		own[i] = t_malloc(24 * (size_t)(i + 1));
	for (int i = 0; i < 9; i++)
		t_free(own[i]);
	left_behind = own[9];
	return arg;
}

int main(int argc, char **argv)
{
	long threads = t_arg(argc, argv, 1, 200);
	pthread_t thread;

	t_begin();
	for (long i = 0; i < threads; i++) {
		if (pthread_create(&thread, NULL, work, NULL))
			t_die("thread_exit: cannot make a thread\n");
		pthread_join(thread, NULL);
	}
	t_state.threads = 1; /* at once: the next one gets the stack of the last */
	t_state.unknown_frees_max = (uint64_t)threads * (1 + 10);
	t_finish();
	return 0;
}
