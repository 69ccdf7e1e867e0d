// SPDX-License-Identifier: MIT
/*
 * remap.c ROUNDS LIBRARY LIBRARY - loads the two by turns to the same address, and allocates in each.
 *
 * The truth is that of two sites: what dlopen() itself allocates is not the program's to know.
 */
#include "truth.h"

#include <dlfcn.h>

#define BLOCKS 10

/* Where the function is. */
static void *use(const char *library, const char *function, struct t_site *site, size_t size)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	void *(*allocate)(size_t size);

	if (!handle)
		t_die(dlerror());
	allocate = (void *(*)(size_t))dlsym(handle, function);
	if (!allocate)
		t_die(dlerror());
	for (int i = 0; i < BLOCKS; i++) {
		free(allocate(size));
		site->alloc_blocks++;
		site->alloc_bytes += size;
	}
	dlclose(handle);
	return (void *)allocate;
}

int main(int argc, char **argv)
{
	struct t_site *first = t_site("inner_first"), *other = t_site("inner_other");
	long rounds = t_arg(argc, argv, 1, 1);

	if (argc < 4)
		return 2;
	t_begin();
	for (long i = 0; i < rounds; i++)
		if (use(argv[2], "outer_first", first, 1000) !=
		    use(argv[3], "outer_other", other, 3000))
			t_die("remap: the libraries did not come to the same address\n");
	t_finish();
	return 0;
}
