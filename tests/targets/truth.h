/* SPDX-License-Identifier: MIT */
/*
 * truth.h - what a traced program knows about its own heap, by construction.
 *
 * A target calls t_malloc() and its sisters instead of malloc(); each makes the one real call and
 * books it. Nothing is interposed, and the bookkeeping never allocates: its memory is static or
 * mapped, and its output is one line per account, appended with one write(2) to the file MT_TRUTH
 * names:
 *
 *	{"pid":7,"allocs":3,"frees":1,...,"peak_bytes":null,...,"sites":[...],"stack":[...]}
 *
 * Null is a figure the target cannot know (the peak of threads that race).
 *
 * The wrappers are inlined, so the caller of the allocator is the function that says t_malloc().
 * They keep one table and belong to code that runs one call at a time; threads that race have
 * t_tally_malloc(), where each block carries its size and each thread its own sums.
 *
 * What the C library itself allocates is not in the sums but named beside them: "threads" is how
 * many threads lived at once at most (each has one block of the library), "cxx" that libstdc++ is
 * in the program (it has a pool), "static_glibc" that glibc is part of it (it allocates at start,
 * see static_base.c). "unknown_frees_max" bounds frees of blocks nobody allocated.
 *
 * The handshake: a program that is to be attached to has MT_READY_FD and MT_GO_FD; t_begin() writes
 * a byte to the first and waits for one from the second. Once the truth is written, t_finish()
 * writes a byte to MT_DONE_FD, and with MT_HOLD_FD waits once more, so that it can be compared
 * while the program lives.
 */
#ifndef TRUTH_H
#define TRUTH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define T_UNUSED __attribute__((unused))
#define T_INLINE static inline __attribute__((always_inline, unused))
#define T_NOINLINE __attribute__((noinline))

#define T_SLOTS (1u << 18) /* of the table; at most half is used */
#define T_SITES 16
#define T_STACK_TEXT 8192

struct t_block {
	uintptr_t address; /* 0: empty */
	size_t size;
	uint32_t owner; /* generation that allocated it */
};

struct t_site {
	const char *function;
	uint64_t live_blocks, live_bytes, alloc_blocks, alloc_bytes, peak_bytes;
	uint64_t bytes_at_peak; /* live when the process was at its peak */
};

struct t_state {
	struct t_block *blocks; /* mapped on first use */
	uint32_t generation;	/* raised in a forked child: older blocks are inherited */
	uint64_t allocs, frees, reallocs, alloc_bytes, freed_bytes;
	uint64_t live_blocks, live_bytes, peak_bytes, peak_blocks;
	uint64_t failed_allocs, inherited_frees;
	uint64_t unknown_frees, unknown_frees_max; /* at least, at most */
	uint64_t threads;
	bool peak_unknown;
	struct t_site sites[T_SITES];
	unsigned int site_cnt;
	char stack[T_STACK_TEXT]; /* JSON list of function names, leaf first */
	char line[T_STACK_TEXT + 8192];
};

static struct t_state t_state;

/* Keeps the compiler from knowing what a pointer is, or that a block is not needed. */
#define T_HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

/* ---- the table of blocks -----------------------------------------------------------------------
 */

static inline void t_die(const char *why)
{
	ssize_t ignored = write(STDERR_FILENO, why, strlen(why));

	(void)ignored;
	_exit(99);
}

static inline unsigned int t_home(uintptr_t address)
{
	return (unsigned int)(((address >> 4) * 0x9e3779b97f4a7c15ULL) >> 40) & (T_SLOTS - 1);
}

static T_UNUSED T_NOINLINE void t_note(uintptr_t address, size_t size)
{
	unsigned int i = t_home(address);

	if (!t_state.blocks) {
		void *map = mmap(NULL, T_SLOTS * sizeof(*t_state.blocks), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED)
			t_die("truth: no memory for the table\n");
		t_state.blocks = (struct t_block *)map;
	}
	if (t_state.live_blocks > T_SLOTS / 2)
		t_die("truth: too many blocks for the table\n");
	while (t_state.blocks[i].address) {
		if (t_state.blocks[i].address == address)
			t_die("truth: the allocator returned a block that is in use\n");
		i = (i + 1) & (T_SLOTS - 1);
	}
	t_state.blocks[i].address = address;
	t_state.blocks[i].size = size;
	t_state.blocks[i].owner = t_state.generation;
}

/* Takes a block out; closes the gap, so that no look-up ends early. */
static T_UNUSED T_NOINLINE struct t_block t_take(uintptr_t address)
{
	struct t_block *blocks = t_state.blocks, taken;
	unsigned int i = t_home(address), j;

	while (blocks[i].address != address) {
		if (!blocks[i].address)
			t_die("truth: a block was freed that is not in use\n");
		i = (i + 1) & (T_SLOTS - 1);
	}
	taken = blocks[i];
	for (j = (i + 1) & (T_SLOTS - 1); blocks[j].address; j = (j + 1) & (T_SLOTS - 1)) {
		unsigned int home = t_home(blocks[j].address);

		if (((j - home) & (T_SLOTS - 1)) >= ((j - i) & (T_SLOTS - 1))) {
			blocks[i] = blocks[j];
			i = j;
		}
	}
	blocks[i].address = 0;
	return taken;
}

/* ---- booking ------------------------------------------------------------------------------------
 */

static T_UNUSED T_NOINLINE void t_peak(void)
{
	if (t_state.live_bytes > t_state.peak_bytes) {
		t_state.peak_bytes = t_state.live_bytes;
		t_state.peak_blocks = t_state.live_blocks;
	}
}

static T_UNUSED T_NOINLINE void t_got(void *block, size_t size)
{
	if (!block) {
		t_state.failed_allocs++;
		return;
	}
	t_note((uintptr_t)block, size);
	t_state.allocs++;
	t_state.alloc_bytes += size;
	t_state.live_blocks++;
	t_state.live_bytes += size;
	t_peak();
}

/* A block that goes: of this account, or inherited from the process this one was forked from. */
static T_UNUSED T_NOINLINE void t_gone(uintptr_t address)
{
	struct t_block block;

	if (!address)
		return;
	block = t_take(address);
	if (block.owner != t_state.generation) {
		t_state.inherited_frees++;
		return;
	}
	t_state.frees++;
	t_state.freed_bytes += block.size;
	t_state.live_blocks--;
	t_state.live_bytes -= block.size;
}

/* After realloc(old, size) returned block. Live bytes change once: old and new never add up. */
static T_UNUSED T_NOINLINE void t_moved(uintptr_t old, size_t size, void *block)
{
	if (!old) {
		t_got(block, size);
	} else if (block) {
		t_gone(old);
		t_got(block, size);
		t_state.reallocs++;
	} else if (!size) {
		t_gone(old);
	} else {
		t_state.failed_allocs++;
	}
}

/* ---- the family
 * ---------------------------------------------------------------------------------- */

T_INLINE void *t_malloc(size_t size)
{
	void *block = malloc(size);

	T_HIDE(block);
	t_got(block, size);
	return block;
}

T_INLINE void *t_calloc(size_t count, size_t size)
{
	void *block = calloc(count, size);

	T_HIDE(block);
	t_got(block, count * size);
	return block;
}

T_INLINE void t_free(void *block)
{
	t_gone((uintptr_t)block);
	T_HIDE(block);
	free(block);
}

T_INLINE void *t_realloc(void *old, size_t size)
{
	uintptr_t old_address = (uintptr_t)old;
	void *block;

	T_HIDE(old);
	block = realloc(old, size);
	T_HIDE(block);
	t_moved(old_address, size, block);
	return block;
}

T_INLINE void *t_reallocarray(void *old, size_t count, size_t size)
{
	uintptr_t old_address = (uintptr_t)old;
	void *block;
	size_t bytes;

	/* a product that overflows is a failure, whatever is left of it */
	if (__builtin_mul_overflow(count, size, &bytes))
		bytes = SIZE_MAX;
	T_HIDE(old);
	block = reallocarray(old, count, size);
	T_HIDE(block);
	t_moved(old_address, bytes, block);
	return block;
}

T_INLINE void *t_memalign(size_t alignment, size_t size)
{
	void *block = memalign(alignment, size);

	T_HIDE(block);
	t_got(block, size);
	return block;
}

T_INLINE void *t_aligned_alloc(size_t alignment, size_t size)
{
	void *block = aligned_alloc(alignment, size);

	T_HIDE(block);
	t_got(block, size);
	return block;
}

T_INLINE void *t_posix_memalign(size_t alignment, size_t size)
{
	void *block = NULL;

	if (posix_memalign(&block, alignment, size))
		block = NULL;
	T_HIDE(block);
	t_got(block, size);
	return block;
}

/* ---- racing threads
 * ------------------------------------------------------------------------------ */

struct t_tally {
	uint64_t allocs, frees, alloc_bytes, freed_bytes;
};

/* size is at least sizeof(size_t): the block's first bytes say how large it is. */
T_INLINE void *t_tally_malloc(struct t_tally *tally, size_t size)
{
	size_t *block = (size_t *)malloc(size);

	T_HIDE(block);
	if (!block)
		t_die("truth: out of memory\n");
	*block = size;
	tally->allocs++;
	tally->alloc_bytes += size;
	return block;
}

T_INLINE void t_tally_free(struct t_tally *tally, void *block)
{
	tally->frees++;
	tally->freed_bytes += *(size_t *)block;
	T_HIDE(block);
	free(block);
}

/* Adds a thread's sums to the account; one thread at a time. The peak is then nobody's knowledge.
 */
static T_UNUSED void t_add(const struct t_tally *tally)
{
	t_state.allocs += tally->allocs;
	t_state.frees += tally->frees;
	t_state.alloc_bytes += tally->alloc_bytes;
	t_state.freed_bytes += tally->freed_bytes;
	t_state.live_blocks += tally->allocs - tally->frees;
	t_state.live_bytes += tally->alloc_bytes - tally->freed_bytes;
	t_state.peak_unknown = true;
}

/* ---- accounts
 * -------------------------------------------------------------------------------------- */

/* In a forked child, first: an account of its own begins, and every block is inherited. */
static T_UNUSED void t_forked(void)
{
	struct t_block *blocks = t_state.blocks;
	uint32_t generation = t_state.generation + 1;

	memset(&t_state, 0, sizeof(t_state));
	t_state.blocks = blocks;
	t_state.generation = generation;
}

static T_UNUSED struct t_site *t_site(const char *function)
{
	struct t_site *site = &t_state.sites[t_state.site_cnt];

	if (t_state.site_cnt++ == T_SITES)
		t_die("truth: too many sites\n");
	site->function = function;
	return site;
}

/* The next function of the expected stack, leaf first. */
static T_UNUSED void t_frame(const char *function)
{
	size_t len = strlen(t_state.stack);

	snprintf(t_state.stack + len, sizeof(t_state.stack) - len, "%s\"%s\"", len ? "," : "",
		 function);
}

static __attribute__((format(printf, 2, 3))) size_t t_put(size_t at, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(t_state.line + at, sizeof(t_state.line) - at, format, args);
	va_end(args);
	if (len < 0 || at + (size_t)len >= sizeof(t_state.line))
		t_die("truth: the line is too long\n");
	return at + (size_t)len;
}

static inline size_t t_put_figure(size_t at, const char *name, uint64_t value)
{
	return t_put(at, ",\"%s\":%llu", name, (unsigned long long)value);
}

static inline size_t t_put_peak(size_t at)
{
	if (t_state.peak_unknown)
		return t_put(at, ",\"peak_bytes\":null,\"peak_blocks\":null");
	at = t_put_figure(at, "peak_bytes", t_state.peak_bytes);
	return t_put_figure(at, "peak_blocks", t_state.peak_blocks);
}

static inline size_t t_put_sites(size_t at)
{
	at = t_put(at, ",\"sites\":[");
	for (unsigned int i = 0; i < t_state.site_cnt; i++) {
		const struct t_site *site = &t_state.sites[i];

		at = t_put(at, "%s{\"function\":\"%s\"", i ? "," : "", site->function);
		at = t_put_figure(at, "live_blocks", site->live_blocks);
		at = t_put_figure(at, "live_bytes", site->live_bytes);
		at = t_put_figure(at, "alloc_blocks", site->alloc_blocks);
		at = t_put_figure(at, "alloc_bytes", site->alloc_bytes);
		at = t_put_figure(at, "peak_bytes", site->peak_bytes);
		at = t_put_figure(at, "bytes_at_peak", site->bytes_at_peak);
		at = t_put(at, "}");
	}
	return t_put(at, "]");
}

/* MT_TRUTH, open to be appended to; -1 where nobody wants to know. */
static T_UNUSED int t_open(void)
{
	const char *path = getenv("MT_TRUTH");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;

	if (path && fd < 0)
		t_die("truth: cannot open the file MT_TRUTH names\n");
	return fd;
}

/* Writes the account's line, with no system call but write(2). What comes after is not in it. */
static T_UNUSED void t_write_to(int fd, pid_t pid)
{
	size_t len;

	len = t_put(0, "{\"pid\":%d", (int)pid);
	len = t_put_figure(len, "allocs", t_state.allocs);
	len = t_put_figure(len, "frees", t_state.frees);
	len = t_put_figure(len, "reallocs", t_state.reallocs);
	len = t_put_figure(len, "alloc_bytes", t_state.alloc_bytes);
	len = t_put_figure(len, "freed_bytes", t_state.freed_bytes);
	len = t_put_figure(len, "live_blocks", t_state.live_blocks);
	len = t_put_figure(len, "live_bytes", t_state.live_bytes);
	len = t_put_peak(len);
	len = t_put_figure(len, "failed_allocs", t_state.failed_allocs);
	len = t_put_figure(len, "unknown_frees", t_state.unknown_frees);
	len = t_put_figure(len, "unknown_frees_max",
			   t_state.unknown_frees + t_state.unknown_frees_max);
	len = t_put_figure(len, "inherited_frees", t_state.inherited_frees);
	len = t_put_figure(len, "threads", t_state.threads);
#ifdef __cplusplus
	len = t_put(len, ",\"cxx\":true");
#else
	len = t_put(len, ",\"cxx\":false");
#endif
#ifdef T_STATIC_GLIBC
	len = t_put(len, ",\"static_glibc\":true");
#else
	len = t_put(len, ",\"static_glibc\":false");
#endif
	len = t_put_sites(len);
	len = t_put(len, ",\"stack\":[%s]}\n", t_state.stack);
	if (write(fd, t_state.line, len) != (ssize_t)len)
		t_die("truth: cannot write the file MT_TRUTH names\n");
}

/* Appends the account's line to MT_TRUTH. */
static T_UNUSED void t_write(void)
{
	int fd = t_open();

	if (fd < 0)
		return;
	t_write_to(fd, getpid());
	close(fd);
}

/* ---- handshake
 * ----------------------------------------------------------------------------------- */

static inline int t_env_fd(const char *name)
{
	const char *text = getenv(name);

	return text ? atoi(text) : -1;
}

/* A byte, or the end of the file: who would have written it is gone. */
static inline void t_wait(int fd)
{
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
}

/* First thing in main(). A later image of the same process does not wait again. */
static T_UNUSED void t_begin(void)
{
	int ready_fd = t_env_fd("MT_READY_FD"), go_fd = t_env_fd("MT_GO_FD");

	if (ready_fd < 0 || go_fd < 0)
		return;
	unsetenv("MT_READY_FD");
	unsetenv("MT_GO_FD");
	if (write(ready_fd, "r", 1) != 1)
		t_die("truth: nobody waits at MT_READY_FD\n");
	close(ready_fd);
	t_wait(go_fd);
	close(go_fd);
}

/* Waits to be told that the program may end. */
static T_UNUSED void t_hold(void)
{
	int fd = t_env_fd("MT_HOLD_FD");

	if (fd >= 0)
		t_wait(fd);
}

static T_UNUSED void t_done(void)
{
	int fd = t_env_fd("MT_DONE_FD");

	if (fd >= 0 && write(fd, "d", 1) != 1)
		t_die("truth: nobody waits at MT_DONE_FD\n");
}

/* Last thing of the process that was started. */
static T_UNUSED void t_finish(void)
{
	t_write();
	t_done();
	t_hold();
}

/* ---- numbers
 * ------------------------------------------------------------------------------------- */

T_INLINE uint32_t t_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Argument n as a number, or what it is without one. */
static T_UNUSED long t_arg(int argc, char **argv, int n, long otherwise)
{
	return argc > n ? atol(argv[n]) : otherwise;
}

#endif
