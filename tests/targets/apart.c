// SPDX-License-Identifier: MIT
/*
 * apart.c deep | another LIBRARY - has a library call the allocator, bound to another one than the
 * program is.
 *
 *	deep	RTLD_DEEPBIND: libc's, whatever was preloaded
 *	another	dlmopen: that of a libc of its own
 *
 * The truth is the site: what the loader allocates is not the program's to know.
 */
#include "truth.h"

#include <dlfcn.h>

#define BLOCKS 60

int main(int argc, char **argv)
{
	struct t_site *site = t_site("apart_use");
	void (*use)(int count);
	void *library;

	if (argc < 3)
		return 2;
	t_begin();
	library = !strcmp(argv[1], "deep") ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
					   : dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		t_die(dlerror());
	use = (void (*)(int))dlsym(library, "apart_use");
	use(BLOCKS);
	site->alloc_blocks = BLOCKS;
	site->alloc_bytes = BLOCKS * 700;
	site->live_blocks = BLOCKS / 2;
	site->live_bytes = BLOCKS / 2 * 700;
	site->peak_bytes = site->live_bytes + 700;
	site->bytes_at_peak = site->peak_bytes;
	t_write();
	return 0;
}
