// SPDX-License-Identifier: MIT
/*
 * stack_witness.c - a library to preload: writes down the stack of every allocation, by the unwinder
 * of the C++ runtime, which reads the same program's own unwind tables inside the program.
 *
 *	LD_PRELOAD=stack_witness MT_WITNESS=directory program
 *
 * It passes every call on and frees nothing, so it is no allocator. It never allocates: the table is
 * a mapped file (stack_witness.h). While it works no signal is taken, so it meets itself only where
 * the allocator calls itself by name; then the outermost call counts.
 *
 * A forked child writes a file of its own, a child of vfork that of its parent.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "stack_witness.h"

#define EXPORT __attribute__((visibility("default"), noinline))
#define PAGE 4096

/* Zero again in a forked child. */
struct state {
	struct witness_table *table;
	uint32_t lock;
	bool off; /* nobody asked */
};

static struct state *state;
static _Thread_local unsigned int depth __attribute__((tls_model("initial-exec")));

static void die(const char *why)
{
	ssize_t ignored = write(STDERR_FILENO, why, strlen(why));

	(void)ignored;
	_exit(98);
}

/* ---- the table --------------------------------------------------------------------------------- */

static void state_map(void)
{
	void *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || madvise(map, PAGE, MADV_WIPEONFORK))
		die("stack_witness: no memory\n");
	state = map;
}

/* Decimal, backwards from end. */
static char *put_number(char *end, unsigned int number)
{
	do
		*--end = (char)('0' + number % 10);
	while (number /= 10);
	return end;
}

static int table_create(const char *dir)
{
	char path[512], pid[16], n[16];
	int fd = -1;

	pid[15] = n[15] = '\0';
	if (strlen(dir) > sizeof(path) - 64)
		return -1;
	for (unsigned int i = 0; i < 1000 && fd < 0; i++) {
		char *at = path;

		at = stpcpy(at, dir);
		at = stpcpy(at, "/");
		at = stpcpy(at, put_number(pid + 15, (unsigned int)getpid()));
		at = stpcpy(at, ".");
		stpcpy(at, put_number(n + 15, i));
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd;
}

static void table_open(void)
{
	const char *dir = getenv("MT_WITNESS");
	int error = errno, fd;
	void *map;

	state->off = !dir;
	if (!dir)
		return;
	fd = table_create(dir);
	if (fd < 0 || ftruncate(fd, sizeof(struct witness_table)))
		die("stack_witness: cannot make a file where MT_WITNESS says\n");
	map = mmap(NULL, sizeof(struct witness_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || madvise(map, sizeof(struct witness_table), MADV_DONTFORK))
		die("stack_witness: cannot map its file\n");
	close(fd);
	state->table = map;
	state->table->magic = WITNESS_MAGIC;
	state->table->pid = getpid();
	state->table->module_cnt = 1;
	errno = error;
}

/* ---- one stack ---------------------------------------------------------------------------------- */

struct walk {
	uintptr_t own; /* the loader's record of this library */
	bool outside;  /* past its own frames */
	bool cut;
	unsigned int cnt;
	uintptr_t pcs[WITNESS_FRAMES];
	bool exact[WITNESS_FRAMES]; /* a signal came in there: no call */
};

static uintptr_t module_map(uintptr_t pc)
{
	struct dl_find_object found;

	return _dl_find_object((void *)pc, &found) ? 0 : (uintptr_t)found.dlfo_link_map;
}

static _Unwind_Reason_Code see_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	int exact = 0;
	uintptr_t pc = _Unwind_GetIPInfo(context, &exact);

	if (!walk->outside && module_map(pc) == walk->own)
		return _URC_NO_REASON;
	walk->outside = true;
	if (!pc)
		return _URC_END_OF_STACK;
	if (walk->cnt == WITNESS_FRAMES) {
		walk->cut = true;
		return _URC_END_OF_STACK;
	}
	walk->pcs[walk->cnt] = pc;
	walk->exact[walk->cnt++] = exact;
	/* what returns to where a signal came in is the kernel's way back, and not called by anyone */
	if (exact && walk->cnt > 1)
		walk->exact[walk->cnt - 2] = true;
	return _URC_NO_REASON;
}

static unsigned int module_number(struct witness_table *t, const struct link_map *map)
{
	struct witness_module *m;

	for (unsigned int i = 1; i < t->module_cnt; i++)
		if (t->modules[i].map == (uintptr_t)map &&
		    (!map->l_name[0] ||
		     !strncmp(t->modules[i].name, map->l_name, sizeof(m->name) - 1)))
			return i;
	if (t->module_cnt == WITNESS_MODULES)
		die("stack_witness: too many modules\n");
	m = &t->modules[t->module_cnt];
	m->map = (uintptr_t)map;
	if (map->l_name[0])
		strncpy(m->name, map->l_name, sizeof(m->name) - 1);
	else if (readlink("/proc/self/exe", m->name, sizeof(m->name) - 1) < 0)
		die("stack_witness: the program has no path\n");
	return t->module_cnt++;
}

static uint64_t word_of(struct witness_table *t, uintptr_t pc)
{
	struct dl_find_object found;

	if (_dl_find_object((void *)pc, &found))
		return WITNESS_ADDRESS(pc);
	return (uint64_t)module_number(t, found.dlfo_link_map) << 48 |
	       WITNESS_ADDRESS(pc - found.dlfo_link_map->l_addr);
}

static void write_down(struct witness_table *t, const uint64_t *words, const struct walk *walk,
		       size_t bytes)
{
	uint64_t hash = walk->cnt;
	struct witness_stack *s;
	unsigned int at;

	for (unsigned int i = 0; i < walk->cnt; i++)
		hash = (hash ^ words[i] ^ hash >> 31) * 0x9e3779b97f4a7c15ULL;
	for (at = hash >> 40;; at++) {
		s = &t->stacks[at % WITNESS_STACKS];
		if (!s->blocks || (s->hash == hash && s->cnt == walk->cnt && s->cut == walk->cut &&
				   !memcmp(&t->words[s->first], words, walk->cnt * sizeof(*words))))
			break;
	}
	if (!s->blocks) {
		if (t->stack_cnt >= WITNESS_STACKS * 3 / 4 ||
		    t->word_cnt + walk->cnt > WITNESS_WORDS) {
			t->lost++;
			return;
		}
		s->hash = hash;
		s->first = t->word_cnt;
		s->cnt = (uint16_t)walk->cnt;
		s->cut = walk->cut;
		memcpy(&t->words[s->first], words, walk->cnt * sizeof(*words));
		t->word_cnt += walk->cnt;
		t->stack_cnt++;
	}
	s->blocks++;
	s->bytes += bytes;
}

static __attribute__((noinline)) void witness(size_t bytes)
{
	struct walk walk = { .own = module_map((uintptr_t)witness) };
	uint64_t words[WITNESS_FRAMES];

	_Unwind_Backtrace(see_frame, &walk);
	while (__atomic_exchange_n(&state->lock, 1, __ATOMIC_ACQUIRE))
		;
	if (!state->table && !state->off)
		table_open();
	if (state->table) {
		for (unsigned int i = 0; i < walk.cnt; i++)
			words[i] = word_of(state->table, walk.pcs[i] - !walk.exact[i]);
		write_down(state->table, words, &walk, bytes);
	}
	__atomic_store_n(&state->lock, 0, __ATOMIC_RELEASE);
}

/* ---- calls -------------------------------------------------------------------------------------- */

static void *next_of(const char *name)
{
	static _Thread_local bool asking __attribute__((tls_model("initial-exec")));
	void *next;

	if (asking)
		die("stack_witness: dlsym() allocates\n");
	asking = true;
	next = dlsym(RTLD_NEXT, name);
	asking = false;
	if (!next)
		die("stack_witness: nobody else has this function\n");
	return next;
}

static void signals(int how, const uint64_t *set, uint64_t *old)
{
	syscall(SYS_rt_sigprocmask, how, set, old, sizeof(*old));
}

static uint64_t enter(void)
{
	static const uint64_t all = ~0ULL;
	uint64_t old;

	if (!state)
		state_map();
	signals(SIG_SETMASK, &all, &old);
	depth++;
	return old;
}

static void leave(uint64_t old, const void *block, size_t bytes)
{
	int error = errno;

	if (!--depth && block)
		witness(bytes);
	signals(SIG_SETMASK, &old, NULL);
	errno = error;
}

/* A function of the family: its declaration, how it passes the call on, and the bytes asked for. */
#define WITNESSED(name, declaration, call, bytes)                       \
	EXPORT void *name declaration                                   \
	{                                                               \
		static void *(*next)declaration;                        \
		uint64_t old = enter();                                 \
		void *block;                                            \
                                                                        \
		next = next ? next : (__typeof__(next))next_of(#name);  \
		block = next call;                                      \
		leave(old, block, bytes);                               \
		return block;                                           \
	}

WITNESSED(malloc, (size_t size), (size), size)
WITNESSED(calloc, (size_t count, size_t size), (count, size), count * size)
WITNESSED(realloc, (void *block_, size_t size), (block_, size), size)
WITNESSED(reallocarray, (void *block_, size_t count, size_t size), (block_, count, size), count * size)
WITNESSED(memalign, (size_t align, size_t size), (align, size), size)
WITNESSED(aligned_alloc, (size_t align, size_t size), (align, size), size)
WITNESSED(valloc, (size_t size), (size), size)
WITNESSED(mallocx, (size_t size, int flags), (size, flags), size) /* jemalloc's own */
WITNESSED(rallocx, (void *block_, size_t size, int flags), (block_, size, flags), size)

EXPORT int posix_memalign(void **block, size_t align, size_t size)
{
	static int (*next)(void **block, size_t align, size_t size);
	uint64_t old = enter();
	int err;

	next = next ? next : (__typeof__(next))next_of("posix_memalign");
	err = next(block, align, size);
	leave(old, err ? NULL : *block, size);
	return err;
}

/* The unwinder's first steps, before anyone counts on them. */
static _Unwind_Reason_Code ignore(struct _Unwind_Context *context, void *arg)
{
	(void)context;
	(void)arg;
	return _URC_NO_REASON;
}

static __attribute__((constructor)) void begin(void)
{
	_Unwind_Backtrace(ignore, NULL);
}
