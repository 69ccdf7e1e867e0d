// SPDX-License-Identifier: MIT
/*
 * answers.c - prints what each member of the family answers, to calls good and bad: returned or
 * not, errno before and after, alignment, contents. Whoever stands between must not change a word
 * of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")
#define UNTOUCHED 4711 /* what errno is before each call */

static volatile size_t huge = SIZE_MAX - 4096;
static volatile size_t half = SIZE_MAX / 2;

static char text[1 << 16];
static size_t len;

/* At the end in one piece: printing allocates too. */
static void say(const char *what, void *block, size_t align, size_t bytes)
{
	int error = errno;

	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s: %s, errno %d", what,
				block ? "a block" : "NULL", error);
	if (block) {
		memset(block, 0x5a, bytes);
		len += (size_t)snprintf(text + len, sizeof(text) - len, ", aligned %s, room %s",
					(uintptr_t)block % align ? "no" : "yes",
					malloc_usable_size(block) >= bytes ? "enough" : "short");
	}
	text[len++] = '\n';
}

#define SAY(call, align, bytes)                                \
	do {                                                   \
		void *block_;                                  \
                                                               \
		errno = UNTOUCHED;                             \
		block_ = call;                                 \
		HIDE(block_);                                  \
		say(#call, block_, align, bytes);              \
		errno = UNTOUCHED;                             \
		free(block_);                                  \
		if (errno != UNTOUCHED)                        \
			say("free changed errno", NULL, 1, 0); \
	} while (0)

static void *filled(size_t size)
{
	unsigned char *block = malloc(size);

	for (size_t i = 0; i < size; i++)
		block[i] = (unsigned char)i;
	return block;
}

static void say_realloc(const char *what, size_t from, size_t to)
{
	unsigned char *old = filled(from), *block;
	size_t kept = 0;

	errno = UNTOUCHED;
	block = realloc(old, to);
	HIDE(block);
	say(what, block, 16, 0);
	if (!block && to) /* still there */
		block = old;
	while (block && kept < from && kept < to && block[kept] == (unsigned char)kept)
		kept++;
	len += (size_t)snprintf(text + len, sizeof(text) - len, "kept %zu\n", block ? kept : 0);
	if (block)
		free(block);
}

static void say_posix(const char *what, size_t align, size_t size)
{
	void *block = (void *)0x1230;
	int error;

	errno = UNTOUCHED;
	error = posix_memalign(&block, align, size);
	HIDE(block);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s: %d, errno %d, out %s\n", what,
				error, errno, block == (void *)0x1230 ? "untouched" : "written");
	if (!error) {
		say(what, block, align, size);
		free(block);
	}
}

static void say_zeroed(void)
{
	size_t dirty = 0;

	for (int i = 0; i < 200; i++) {
		unsigned char *block = malloc(100 + (size_t)i);

		memset(block, 0xff, 100 + (size_t)i);
		free(block);
		block = calloc(10, 10 + (size_t)i / 10);
		HIDE(block);
		for (size_t n = 0; n < 10 * (10 + (size_t)i / 10); n++)
			dirty += block[n] != 0;
		free(block);
	}
	len += (size_t)snprintf(text + len, sizeof(text) - len, "calloc left %zu bytes\n", dirty);
}

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)argc;
	(void)argv;
	for (int round = 0; round < 3; round++) {
		SAY(malloc(1), 16, 1);
		SAY(malloc(0), 16, 0);
		SAY(malloc(100000), 16, 100000);
		SAY(malloc(4 << 20), 16, 4 << 20);
		SAY(malloc(huge), 16, 0);
		SAY(calloc(3, 5), 16, 15);
		SAY(calloc(0, 5), 16, 0);
		SAY(calloc(half, 4), 16, 0);
		SAY(calloc(huge, 1), 16, 0);
		SAY(realloc(NULL, 40), 16, 40);
		SAY(realloc(NULL, 0), 16, 0);
		SAY(realloc(NULL, huge), 16, 0);
		SAY(reallocarray(NULL, 5, 8), 16, 40);
		SAY(reallocarray(NULL, half, 4), 16, 0);
		SAY(memalign(64, 100), 64, 100);
		SAY(memalign(1 << 20, 100), 1 << 20, 100);
		SAY(memalign(64, huge), 64, 0);
		SAY(aligned_alloc(256, 512), 256, 512);
		SAY(aligned_alloc(4096, huge & ~4095ul), 16, 0);
		SAY(valloc(100), page, 100);
#ifdef __GLIBC__
		if (argc == 1) {
			SAY(pvalloc(100), page, page);
			SAY(pvalloc(huge), page, 0);
		}
#endif
		say_realloc("realloc grows", 100, 3000);
		say_realloc("realloc shrinks", 3000, 10);
		say_realloc("realloc to a mapping", 100, 4 << 20);
		say_realloc("realloc fails", 100, huge);
		say_realloc("realloc to nothing", 100, 0);
		say_posix("posix_memalign", 64, 100);
		say_posix("posix_memalign of nothing", 8, 0);
		say_posix("posix_memalign, align 24", 24, 100);
		say_posix("posix_memalign, align 2", 2, 100);
		say_posix("posix_memalign, too large", 64, huge);
		say_zeroed();
		errno = UNTOUCHED;
		free(NULL);
		say("free(NULL)", NULL, 1, 0);
	}
	return fwrite(text, 1, len, stdout) == len ? 0 : 1;
}
