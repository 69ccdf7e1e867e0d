// SPDX-License-Identifier: MIT
/* leader_exit.c [calls] - the first thread ends and another goes on allocating. */
#include "truth.h"

#include <pthread.h>
#include <sys/syscall.h>

static pid_t leader;
static long calls;

/* Until the leader is a zombie: what the kernel says of it, without a library that allocates. */
static void wait_for_leader(void)
{
	char path[64], text[512], *state;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)leader);
	for (;;) {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return;
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (len <= 0)
			return;
		text[len] = '\0';
		state = strrchr(text, ')');
		if (state && state[2] == 'Z')
			return;
	}
}

static void *work(void *arg)
{
	wait_for_leader();
	for (long i = 0; i < calls; i++) {
		void *block = t_malloc(50);

		if (i % 10)
			t_free(block);
	}
	t_state.threads = 1;
	t_finish();
	_exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	calls = t_arg(argc, argv, 1, 1000);
	t_begin();
	leader = getpid();
	t_malloc(1234);
	if (pthread_create(&thread, NULL, work, NULL))
		t_die("leader_exit: cannot make a thread\n");
	syscall(SYS_exit, 0);
	return 0;
}
