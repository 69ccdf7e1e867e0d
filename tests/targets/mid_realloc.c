// SPDX-License-Identifier: MIT
/*
 * mid_realloc.c [hold|kill|exec] - a realloc that does not come back: it waits, its process is killed,
 * or becomes another program. The old block is one of the heap as long as realloc has not returned.
 */
#include "truth.h"

#include <signal.h>

#include "own_heap.h"

static const char *what; /* happens in the next realloc */
static char *self;

OWN_EXPORT void *malloc(size_t size)
{
	return own_cut(16, size);
}

OWN_EXPORT void *calloc(size_t count, size_t size)
{
	return own_cut(16, count * size); /* of static memory, and never used before */
}

OWN_EXPORT void free(void *block)
{
	T_HIDE(block);
}

static void happen(void)
{
	char word[] = "second";
	char *next[] = { self, word, NULL };

	if (!strcmp(what, "kill")) {
		t_write();
		kill(getpid(), SIGKILL);
	} else if (!strcmp(what, "exec")) {
		t_write();
		execv(self, next);
		t_die("mid_realloc: cannot exec\n");
	}
	t_finish();
}

OWN_EXPORT void *realloc(void *old, size_t size)
{
	void *block;

	if (what)
		happen();
	block = own_cut(16, size);
	if (old && block)
		memcpy(block, old, own_size(old) < size ? own_size(old) : size);
	return block;
}

int main(int argc, char **argv)
{
	void *block;

	t_begin();
	self = argv[0];
	block = t_malloc(1000);
	t_calloc(3, 7);
	block = t_realloc(block, 3000);
	t_free(t_malloc(50));
	if (argc > 1 && !strcmp(argv[1], "second")) {
		t_finish();
		return 0;
	}
	what = argc > 1 ? argv[1] : "hold";
	block = realloc(block, 7000);
	T_HIDE(block);
	return 0;
}
