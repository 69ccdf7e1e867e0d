// SPDX-License-Identifier: MIT
/*
 * plugin.c LIBRARY [memfd] - uses an allocator that comes by dlopen(), beside the C library's.
 *
 * The truth is that of one site: what dlopen() itself allocates is not the program's to know. With
 * "memfd" the library is first copied to where no path leads.
 */
#include "truth.h"

#include <dlfcn.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define BLOCKS 100

static void *(*plugin_malloc)(size_t size);
static void (*plugin_free)(void *block);

T_NOINLINE void *use_plugin(size_t size)
{
	void *block = plugin_malloc(size);

	T_HIDE(block);
	return block;
}

static const char *copy_to_memfd(const char *path)
{
	static char copy[64];
	int in = open(path, O_RDONLY), out = memfd_create("plugin", 0);
	struct stat st;

	if (in < 0 || out < 0 || fstat(in, &st))
		t_die("plugin: cannot copy the library\n");
	while (sendfile(out, in, NULL, st.st_size) > 0)
		;
	close(in);
	snprintf(copy, sizeof(copy), "/proc/self/fd/%d", out);
	return copy;
}

static void load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		t_die(dlerror());
	plugin_malloc = (void *(*)(size_t))dlsym(library, "malloc");
	plugin_free = (void (*)(void *))dlsym(library, "free");
}

/* Every fourth block stays. */
static void work(struct t_site *site)
{
	void *block;

	for (int i = 0; i < BLOCKS; i++) {
		block = use_plugin(100 + i);
		site->alloc_blocks++;
		site->alloc_bytes += 100 + i;
		if (i % 4) {
			plugin_free(block);
			continue;
		}
		site->live_blocks++;
		site->live_bytes += 100 + i;
	}
}

int main(int argc, char **argv)
{
	struct t_site *site = t_site("use_plugin");

	t_begin();
	load(argc > 2 ? copy_to_memfd(argv[1]) : argv[1]);
	if (argc > 2) { /* told when it was found */
		t_write();
		t_done();
		t_hold();
	}
	work(site);
	t_write();
	return 0;
}
