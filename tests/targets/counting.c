// SPDX-License-Identifier: MIT
/*
 * counting.c - a library, to be preloaded before one that brings another allocator: counts what
 * goes to that allocator by name, whoever in the program calls. In a program of one thread that
 * allocates nothing this is what libraries allocate for themselves, the measure for others; never
 * traced.
 *
 *	LD_PRELOAD="counting libjemalloc.so.2" MT_COUNTED=file ./empty
 *
 * MT_COUNT_OWN_NAMES=0: calls by gperftools' own names (tc_malloc) are not counted.
 *
 * Each call adds a line to the file, with the sums so far: the last one misses nothing, however
 * late in the program's end it was.
 */
#include "truth.h"

#include <dlfcn.h>

static unsigned int depth; /* only the outermost call counts */

static void write_sums(void)
{
	const char *path = getenv("MT_COUNTED");
	size_t len;
	int fd;

	if (!path)
		return; /* asked too early: the next line has this call as well */
	len = t_put(0, "{\"pid\":%d", (int)getpid());
	len = t_put_figure(len, "allocs", t_state.allocs);
	len = t_put_figure(len, "frees", t_state.frees);
	len = t_put_figure(len, "alloc_bytes", t_state.alloc_bytes);
	len = t_put_figure(len, "live_bytes", t_state.live_bytes);
	len = t_put(len, "}\n");
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, t_state.line, len) != (ssize_t)len)
		t_die("counting: cannot write the file MT_COUNTED names\n");
	close(fd);
}

/* The file is there even if nobody calls. */
static __attribute__((constructor)) void begin(void)
{
	write_sums();
}

/* The function of that name in the libraries after this one. */
static void *next_of(const char *name)
{
	static bool asking;
	void *next;

	if (asking)
		t_die("counting: dlsym() allocates\n");
	asking = true;
	next = dlsym(RTLD_NEXT, name);
	asking = false;
	if (!next)
		t_die("counting: nobody else has this function\n");
	return next;
}

/* Declares next: the same function in the libraries after this one. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
                                       \
	next = next ? next : (__typeof__(next))next_of(#name)

static void *allocated(void *block, size_t size)
{
	if (!--depth) {
		t_got(block, size);
		write_sums();
	}
	return block;
}

/* Before the call: when it returns the block may be another's. */
static void freeing(void *block)
{
	if (!depth++ && block) {
		t_gone((uintptr_t)block);
		write_sums();
	}
}

/* ---- malloc and free, by their names in C, gperftools and C++ -----------------------------------
 */

#define ALLOCATES(name)                             \
	void *name(size_t size);                    \
	void *name(size_t size)                     \
	{                                           \
		NEXT(name);                         \
		depth++;                            \
		return allocated(next(size), size); \
	}

#define FREES(name)             \
	void name(void *block); \
	void name(void *block)  \
	{                       \
		NEXT(name);     \
		freeing(block); \
		next(block);    \
		depth--;        \
	}

#define FREES_SIZED(name)                    \
	void name(void *block, size_t size); \
	void name(void *block, size_t size)  \
	{                                    \
		NEXT(name);                  \
		freeing(block);              \
		next(block, size);           \
		depth--;                     \
	}

ALLOCATES(malloc)
ALLOCATES(_Znwm)
ALLOCATES(_Znam)
FREES(free)
FREES(_ZdlPv)
FREES(_ZdaPv)
FREES_SIZED(_ZdlPvm)
FREES_SIZED(_ZdaPvm)

static bool own_names(void)
{
	const char *wanted = getenv("MT_COUNT_OWN_NAMES");

	return !wanted || strcmp(wanted, "0");
}

void *tc_malloc(size_t size);
void *tc_malloc(size_t size)
{
	NEXT(tc_malloc);
	if (!own_names())
		return next(size);
	depth++;
	return allocated(next(size), size);
}

void tc_free(void *block);
void tc_free(void *block)
{
	NEXT(tc_free);
	if (!own_names()) {
		next(block);
		return;
	}
	freeing(block);
	next(block);
	depth--;
}

/* ---- the rest of the family ---------------------------------------------------------------------
 */

void *calloc(size_t count, size_t size)
{
	NEXT(calloc);
	depth++;
	return allocated(next(count, size), count * size);
}

void *realloc(void *old, size_t size)
{
	uintptr_t old_address = (uintptr_t)old;
	void *block;

	NEXT(realloc);
	depth++;
	block = next(old, size);
	if (!--depth) {
		t_moved(old_address, size, block);
		write_sums();
	}
	return block;
}

void *memalign(size_t alignment, size_t size)
{
	NEXT(memalign);
	depth++;
	return allocated(next(alignment, size), size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	NEXT(aligned_alloc);
	depth++;
	return allocated(next(alignment, size), size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
	int err;

	NEXT(posix_memalign);
	depth++;
	err = next(block, alignment, size);
	allocated(err ? NULL : *block, size);
	return err;
}
