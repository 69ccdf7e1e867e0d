// SPDX-License-Identifier: MIT
/* lacking.c - uses what a C library may lack, by asking the loader for it: "good" if all of it
 * works. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *find(const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);

	if (!found) {
		printf("no %s\n", name);
		exit(1);
	}
	return found;
}

int main(void)
{
	void *(*page_alloc)(size_t) = (void *(*)(size_t))find("pvalloc");
	void (*old_free)(void *) = (void (*)(void *))find("cfree");
	void (*sized)(void *, size_t) = (void (*)(void *, size_t))find("free_sized");
	void (*aligned_sized)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))find("free_aligned_sized");
	unsigned char *block = page_alloc(5000);

	if (!block || (uintptr_t)block % 4096)
		return 1;
	block[8191] = 1; /* whole pages */
	old_free(block);
	sized(malloc(9), 9);
	sized(NULL, 0);
	aligned_sized(aligned_alloc(64, 64), 64, 64);
	puts(page_alloc(SIZE_MAX - 5) ? "bad" : "good");
	return 0;
}
