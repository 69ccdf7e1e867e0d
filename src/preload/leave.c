// SPDX-License-Identifier: MIT
/*
 * leave.c - functions after which the process is not what it was: another program, another thread, none.
 *
 * What is kept (batch.h) is told first; then it is a jump to the real one. Most take whatever arguments
 * they take, so the way in and out is in assembly.
 */
#include "preload/leave.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "preload/batch.h"
#include "preload/lookup.h"

/* X(function, what it does) */
#define LEAVING(X)                                                                             \
	X(execve, PAUSE) X(execv, PAUSE) X(execvp, PAUSE) X(execvpe, PAUSE) X(execl, PAUSE)    \
	X(execlp, PAUSE) X(execle, PAUSE) X(fexecve, PAUSE) X(execveat, PAUSE) X(_exit, PAUSE) \
	X(_Exit, PAUSE) X(quick_exit, END) X(pthread_create, END) X(thrd_create, END)

#ifdef __x86_64__

/* The real ones. */
#define X(fn, does) void *leave_##fn __attribute__((visibility("hidden")));
LEAVING(X)
#undef X
static int (*real_dlclose)(void *handle);

static bool lacking; /* one of them was not there when it was looked for */

static long nobody(void)
{
	errno = ENOSYS;
	return -1;
}

void leave_resolve(void)
{
	struct definition d[] = {
#define X(fn, does) { .name = #fn },
		LEAVING(X)
#undef X
		{ .name = "dlclose" },
	};
	void **const real[] = {
#define X(fn, does) &leave_##fn,
		LEAVING(X)
#undef X
		(void **)&real_dlclose,
	};
	const size_t cnt = sizeof(real) / sizeof(real[0]);

	lookup_next(d, cnt);
	lacking = false;
	for (size_t i = 0; i < cnt; i++)
		lacking |= !d[i].address;
	for (size_t i = 0; i < cnt; i++)
		__atomic_store_n(real[i], d[i].address ? d[i].address : (void *)nobody,
				 __ATOMIC_RELEASE);
}

#define USED __attribute__((visibility("hidden"), used))

USED void leave_PAUSE(void)
{
	if (!leave_execve || lacking)
		leave_resolve();
	batch_pause();
}

USED void leave_END(void)
{
	if (!leave_execve || lacking)
		leave_resolve();
	batch_end();
}

/* All registers that can hold an argument, and the count of vector ones. */
#define X(fn, does)                                                                  \
	__asm__(".pushsection .text\n"                                                 \
		".globl " #fn "\n"                                                   \
		".type " #fn ", @function\n" #fn ":\n"                             \
		".cfi_startproc\n"                                                     \
		"push %rdi\n push %rsi\n push %rdx\n push %rcx\n push %r8\n push %r9\n push %rax\n" \
		".cfi_adjust_cfa_offset 56\n"                                          \
		"call leave_" #does "\n"                                               \
		"pop %rax\n pop %r9\n pop %r8\n pop %rcx\n pop %rdx\n pop %rsi\n pop %rdi\n" \
		".cfi_adjust_cfa_offset -56\n"                                         \
		"jmp *leave_" #fn "(%rip)\n"                                         \
		".cfi_endproc\n"                                                       \
		".size " #fn ", . - " #fn "\n"                                     \
		".popsection\n");
LEAVING(X)
#undef X

/* What it unloads has allocated until it is gone. */
__attribute__((visibility("default"))) int dlclose(void *handle)
{
	int result;

	if (!leave_execve || lacking)
		leave_resolve();
	batch_forget();
	result = real_dlclose(handle);
	batch_forget();
	return result;
}

#else
void leave_resolve(void)
{
}
#endif
