// SPDX-License-Identifier: MIT
/*
 * survive.c - what is hard on a library that stands between a program and its allocator: forks
 * while other threads allocate, children that go on allocating or end in different ways, vfork,
 * blocks allocated and freed by destructors of thread-specific data, by signal handlers, and while
 * libraries come and go. Prints "survived" and ends with 0.
 */
#include "truth.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 3
#define FORKS 60

static atomic_bool over;
static pthread_key_t key;
static char *volatile from_handler;

static void churn(uint32_t *seed, int calls)
{
	void *kept[16] = { NULL };

	for (int i = 0; i < calls; i++) {
		uint32_t slot = t_random(seed) % 16;
		size_t size = t_random(seed) % 3000;

		if (t_random(seed) % 3) {
			free(kept[slot]);
			kept[slot] = malloc(size + 1);
		} else {
			kept[slot] = realloc(kept[slot], size + 1);
		}
		if (!kept[slot])
			t_die("survive: out of memory\n");
		memset(kept[slot], (int)slot, size + 1);
	}
	for (int i = 0; i < 16; i++)
		free(kept[i]);
}

static void *work(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	pthread_setspecific(key, malloc(50));
	while (!over)
		churn(&seed, 100);
	return malloc(20);
}

/* At a thread's end: frees, and allocates once more, which makes libc call it again. */
static void end_of_thread(void *block)
{
	static atomic_int again = THREADS;

	free(block);
	if (again-- > 0)
		pthread_setspecific(key, malloc(70));
}

static void handler(int number)
{
	char *block = malloc(64);

	(void)number;
	free(from_handler);
	from_handler = block;
}

static void at_end(void)
{
	free(malloc(10));
}

static void child(int n)
{
	uint32_t seed = (uint32_t)n;

	churn(&seed, 300);
	switch (n % 3) {
	case 0:
		_exit(0);
	case 1:
		exit(0);
	default:
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
}

static void expect_ended(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		t_die("survive: a child did not end as it should\n");
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	void *result;

	atexit(at_end);
	signal(SIGUSR1, handler);
	pthread_key_create(&key, end_of_thread);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)(i + 1));
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			child(i);
		raise(SIGUSR1);
		expect_ended(pid);
		pid = vfork();
		if (!pid) {
			free(malloc(100));
			_exit(0);
		}
		expect_ended(pid);
		if (argc > 1) {
			void *library = dlopen(argv[1], RTLD_NOW);

			if (!library)
				t_die("survive: the library cannot be loaded\n");
			dlclose(library);
		}
	}
	over = true;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		free(result);
	}
	free(from_handler);
	puts("survived");
	return 0;
}
