// SPDX-License-Identifier: MIT
/* exec_thread.c - exec from a thread that is not the first: it takes over the pid of the leader,
 * and all others are gone. */
#include "truth.h"

#include <pthread.h>

static char *self;

static void *replace(void *arg)
{
	char word[] = "second";
	char *next[] = { self, word, NULL };

	t_malloc(800);
	t_free(arg);
	t_state.threads = 1;
	t_write();
	execv(self, next);
	t_die("exec_thread: cannot exec\n");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *block;

	t_begin();
	if (argc > 1) {
		t_malloc(12);
		t_free(t_malloc(13));
		t_finish();
		return 0;
	}
	self = argv[0];
	block = t_malloc(700);
	t_malloc(701);
	if (pthread_create(&thread, NULL, replace, block))
		t_die("exec_thread: cannot make a thread\n");
	for (;;)
		pause();
}
