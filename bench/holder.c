// SPDX-License-Identifier: MIT
/*
 * holder.c - allocates BLOCKS blocks of 16 bytes and holds them.
 *
 *	holder BLOCKS
 *
 * Says 'r', waits for a byte, allocates, says 'd', waits for the end of stdin.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static __attribute__((noinline)) void *hold(void)
{
	void *p = malloc(16);

	__asm__ volatile("" : "+r"(p));
	return p;
}

int main(int argc, char **argv)
{
	long cnt = argc > 1 ? atol(argv[1]) : 1000000;
	/* not from malloc: the array is no part of what is counted */
	void **held = mmap(NULL, cnt * sizeof(*held), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char byte;

	if (held == MAP_FAILED || write(1, "r", 1) != 1 || read(0, &byte, 1) != 1)
		return 1;
	for (long i = 0; i < cnt; i++)
		held[i] = hold();
	if (write(1, "d", 1) != 1)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
