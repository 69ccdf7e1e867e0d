// SPDX-License-Identifier: MIT
/* late_cxx.c PLUGIN ROUNDS - a C program that loads C++ with dlopen, and lets it go again, five
 * times. */
#include "truth.h"

#include <dlfcn.h>

static void load_and_work(const char *path, long rounds)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void (*late_round)(void);
	int (*late_failures)(void);

	if (!library)
		t_die("late_cxx: cannot load the plugin\n");
	late_round = (void (*)(void))dlsym(library, "late_round");
	late_failures = (int (*)(void))dlsym(library, "late_failures");
	for (long i = 0; i < rounds; i++) {
		late_round();
		t_state.allocs += 4;
		t_state.frees += 4;
		t_state.alloc_bytes += 4 + 1000 + 256 + 50;
		t_state.freed_bytes += 4 + 1000 + 256 + 50;
	}
	if (late_failures() != 3)
		t_die("late_cxx: memory that has run out is not told right\n");
	dlclose(library);
}

int main(int argc, char **argv)
{
	t_begin();
	for (int i = 0; i < 5; i++)
		load_and_work(argv[1], t_arg(argc, argv, 2, 0));
	t_finish();
	return 0;
}
