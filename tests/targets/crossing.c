// SPDX-License-Identifier: MIT
/*
 * crossing.c [steps [limit]] - allocates 1 MiB at a time without touching it. After each call that
 * returned it notes how many did in the file MT_PROGRESS names, which survives a SIGKILL. The call
 * that crosses limit MiB is made by the function cross_limit.
 */
#include "truth.h"

#define STEP (1ul << 20)

static volatile uint64_t *progress;

static void map_progress(void)
{
	const char *path = getenv("MT_PROGRESS");
	int fd;

	if (!path)
		t_die("crossing: MT_PROGRESS is not set\n");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, 4096))
		t_die("crossing: cannot make the file MT_PROGRESS names\n");
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (progress == MAP_FAILED)
		t_die("crossing: cannot map the file MT_PROGRESS names\n");
	close(fd);
}

T_NOINLINE void *below_limit(void)
{
	return t_malloc(STEP);
}

T_NOINLINE void *cross_limit(void)
{
	return t_malloc(STEP);
}

int main(int argc, char **argv)
{
	long steps = t_arg(argc, argv, 1, 300), limit = t_arg(argc, argv, 2, 250);

	t_begin();
	map_progress();
	for (long i = 0; i < steps; i++) {
		/* live bytes pass the limit with block number limit, counted from 0 */
		if (i == limit)
			cross_limit();
		else
			below_limit();
		progress[0]++;
	}
	t_finish();
	return 0;
}
