// SPDX-License-Identifier: MIT
/*
 * fork_crowd.c [forks] - threads of forked children whose first calls of the allocator are at the
 * same time.
 *
 * Their stacks are those of the parent's threads, so making them allocates nothing that would come
 * first.
 */
#include "truth.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 3
#define CALLS 50

static struct t_tally tallies[THREADS];
static void *inherited[THREADS];
static atomic_int arrived;
static pthread_barrier_t barrier;

static void *idle(void *arg)
{
	pthread_barrier_wait(&barrier); /* each its own stack */
	return arg;
}

static void *crowd(void *arg)
{
	struct t_tally *tally = arg;

	atomic_fetch_add(&arrived, 1);
	while (atomic_load(&arrived) < THREADS)
		;
	for (int i = 0; i < CALLS; i++) {
		void *block = t_tally_malloc(tally, 40 + (size_t)i);

		if (i % 5)
			t_tally_free(tally, block);
	}
	return NULL;
}

static void run(void *(*what)(void *arg))
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, what, &tallies[i]))
			t_die("fork_crowd: cannot make a thread\n");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void child(void)
{
	t_forked();
	run(crowd);
	for (int i = 0; i < THREADS; i++)
		t_add(&tallies[i]);
	for (int i = 0; i < THREADS; i++)
		t_free(inherited[i]);
	t_state.unknown_frees_max = THREADS * (1 + 64 * 7);
	t_write();
	_exit(0);
}

int main(int argc, char **argv)
{
	long forks = t_arg(argc, argv, 1, 20);
	int status;

	t_begin();
	pthread_barrier_init(&barrier, NULL, THREADS);
	run(idle);
	for (int i = 0; i < THREADS; i++)
		inherited[i] = t_malloc(500);
	for (int i = 0; i < 100; i++)
		t_free(t_realloc(t_malloc(10), 200));
	for (long i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (!pid)
			child();
		waitpid(pid, &status, 0);
		if (status)
			t_die("fork_crowd: a child died\n");
	}
	t_state.threads = THREADS;
	t_state.unknown_frees_max = THREADS * (1 + 64 * 7);
	t_finish();
	return 0;
}
