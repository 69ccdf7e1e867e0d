// SPDX-License-Identifier: MIT
/* fork_threads.c - one thread forks while others allocate; the child owns nothing of theirs. */
#include "truth.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 3
#define FORKS 10

static struct t_tally tallies[THREADS];
static atomic_bool ended;

static void *hammer(void *arg)
{
	struct t_tally *tally = arg;

	while (!atomic_load(&ended)) {
		void *block = t_tally_malloc(tally, 200);

		t_tally_malloc(tally, 16);
		t_tally_free(tally, block);
		if (tally->allocs > 200000)
			break;
	}
	return NULL;
}

static void child(int number)
{
	t_forked();
	for (int i = 0; i < 20; i++) {
		void *block = t_malloc((size_t)(number + 1));

		if (i % 2)
			t_free(block);
	}
	t_write();
	_exit(0);
}

int main(void)
{
	pthread_t thread[THREADS];

	t_begin();
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, hammer, &tallies[i]))
			t_die("fork_threads: cannot make a thread\n");
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			child(i);
		waitpid(pid, NULL, 0);
	}
	atomic_store(&ended, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < THREADS; i++)
		t_add(&tallies[i]);
	t_state.threads = THREADS;
	t_state.unknown_frees_max = THREADS * (1 + 64 * 7);
	t_finish();
	return 0;
}
