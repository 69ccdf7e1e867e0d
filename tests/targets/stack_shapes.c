// SPDX-License-Identifier: MIT
/*
 * stack_shapes.c SHAPE [number] - allocates at the end of a stack of one shape, for stack_witness.c to
 * write down. Built with -O2 -fomit-frame-pointer and lazy binding (rules.mk). Each shape frees what
 * it allocated. "stepped" is every shape at once: a signal at every single instruction of some work,
 * whose handler allocates.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* The name in the file is the function's own, and nothing of it is moved elsewhere. */
#define SHAPE __attribute__((noipa))
#define HIDE(p) __asm__ volatile("" : "+r"(p) : : "memory")

static volatile long left;
static void *kept[16];

/* To be told from other shapes by its size. */
SHAPE void take(size_t size)
{
	void *block = malloc(size);

	HIDE(block);
	free(block);
}

/* ---- frames of many sizes ---------------------------------------------------------------------- */

SHAPE void frame_of_100(int depth);

#define FRAME(bytes, name, next)                       \
	SHAPE void name(int depth)                     \
	{                                              \
		volatile char room[bytes];             \
                                                       \
		room[0] = room[(bytes) - 1] = 1;       \
		next;                                  \
		room[(bytes) / 2] = 2;                 \
	}

FRAME(3 << 20, frame_of_3m, take(100 + depth))
FRAME(100 << 10, frame_of_100k, depth % 2 ? frame_of_100(depth - 1) : frame_of_3m(depth))
FRAME(1016, frame_of_1016, depth ? frame_of_100(depth - 1) : frame_of_100k(depth))
FRAME(1024, frame_of_1024, frame_of_1016(depth))
FRAME(1000, frame_of_1000, frame_of_1024(depth))
FRAME(4096, frame_of_4k, frame_of_1000(depth))
FRAME(100, frame_of_100, depth > 8 ? frame_of_100k(depth) : frame_of_4k(depth))

static void sizes(long number)
{
	for (int depth = 0; depth < number; depth++)
		frame_of_100(depth);
}

/* ---- frames of no fixed size, realigned, left by a jump ---------------------------------------- */

SHAPE __attribute__((force_align_arg_pointer)) int forced(int a)
{
	volatile int room[5];

	room[a % 5] = a;
	take(200);
	return room[a % 5];
}

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
SHAPE long aligned(long a, long b, long c, long d, long e, long f, long g, long h)
{
	_Alignas(64) volatile char line[128];
	char *more = alloca((size_t)a + 1);

	line[a] = more[a] = 1;
	HIDE(more);
	take(201);
	forced(line[a]);
	return line[b] + more[0] + c + d + e + f + g + h;
}

SHAPE long of_variable_size(long n)
{
	volatile char room[n];

	room[0] = room[n - 1] = 1;
	take(202);
	aligned(1, 2, 3, 4, 5, 6, 7, 8);
	return room[n - 1];
}

/* The last thing they do is a call with nothing after it: a jump, so they are on no stack. */
SHAPE void *tail(size_t size)
{
	return malloc(size);
}

SHAPE void *tail_of_tail(size_t size)
{
	return tail(size + 1);
}

SHAPE __attribute__((noreturn)) void never_returns(size_t size)
{
	take(size);
	_exit(0);
}

SHAPE void *tail_through_pointer(void *(*function)(size_t), size_t size)
{
	return function(size);
}

static int compare(const void *a, const void *b)
{
	take(203);
	return memcmp(a, b, 1);
}

static void forms(long number)
{
	char letters[] = "unwinding";

	for (long n = 1; n < number; n += 100)
		of_variable_size(n);
	free(tail_of_tail(204));
	free(tail_through_pointer(malloc, 206));
	free(realloc(calloc(3, 50), 400));
	free(reallocarray(NULL, 5, 50));
	free(aligned_alloc(64, 128));
	if (!posix_memalign(&kept[0], 64, 256))
		free(kept[0]);
	free(strdup("by the library"));
	qsort(letters, sizeof(letters) - 1, 1, compare);
	never_returns(207);
}

/* ---- depth ---------------------------------------------------------------------------------------- */

SHAPE int down(int depth)
{
	int below;

	if (!depth) {
		take(300);
		return 1;
	}
	below = down(depth - 1);
	HIDE(below); /* so that it is no loop */
	return below + 1;
}

static void depths(long number)
{
	for (int depth = 0; depth < number; depth++)
		down(depth);
}

/* ---- stacks that the program made ------------------------------------------------------------------ */

static ucontext_t main_context, other_context;

static void on_other_stack(int depth)
{
	take(400);
	if (depth) {
		swapcontext(&other_context, &main_context);
		on_other_stack(depth - 1);
	}
	take(401);
}

static void *in_thread(void *arg)
{
	take(402);
	down((int)(intptr_t)arg);
	return NULL;
}

static void stacks(long number)
{
	size_t bytes = 65536;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[2];

	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = bytes;
	other_context.uc_link = &main_context;
	makecontext(&other_context, (void (*)(void))on_other_stack, 1, (int)number);
	for (long i = 0; i <= number; i++)
		swapcontext(&main_context, &other_context);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, in_thread, (void *)(intptr_t)(number + i));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* ---- signals ------------------------------------------------------------------------------------- */

static void on_signal(int signal)
{
	take(500 + signal);
	left = left - 1;
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(signal, &action, NULL);
}

/* No frame of its own, and a loop that a timer interrupts anywhere. */
SHAPE unsigned long spin(unsigned long x)
{
	while (left > 0)
		x = x * 6364136223846793005ULL + 1;
	return x;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)info;
	take(600 + signal);
#if defined(__x86_64__)
	interrupted->uc_mcontext.gregs[REG_RIP] += 2;
#else
	(void)interrupted;
#endif
}

/* Interrupted at its very first instruction: nothing before it is this function's. */
#if defined(__x86_64__)
__asm__(".text\n.type traps_at_once, @function\ntraps_at_once:\n.cfi_startproc\nud2\nret\n"
	".cfi_endproc\n.size traps_at_once, . - traps_at_once\n");
void traps_at_once(void);
#else
static void traps_at_once(void)
{
}
#endif

static void signals(long number)
{
	static char alternate[65536];
	struct itimerval every = { .it_interval = { .tv_usec = 500 }, .it_value = { .tv_usec = 500 } };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	handle(SIGUSR1, on_signal, 0);
	raise(SIGUSR1);
	sigaltstack(&stack, NULL);
	handle(SIGUSR2, on_signal, SA_ONSTACK);
	raise(SIGUSR2);
	sigaction(SIGILL, &trap, NULL);
	traps_at_once();
	left = number;
	handle(SIGALRM, on_signal, SA_ONSTACK);
	setitimer(ITIMER_REAL, &every, NULL);
	spin(1);
	memset(&every, 0, sizeof(every));
	setitimer(ITIMER_REAL, &every, NULL);
}

/* ---- every instruction --------------------------------------------------------------------------- */

#if defined(__x86_64__)

static volatile bool stepping;

static void on_step(int signal)
{
	if (stepping)
		take(700 + signal);
}

static inline __attribute__((always_inline)) void step(bool on)
{
	stepping = on;
	if (on)
		__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
	else
		__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
}

static int compare_bytes(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* A frame whose size is known at run time, under one that is realigned. */
SHAPE long no_allocation(long n)
{
	_Alignas(32) volatile char line[64];
	volatile char *room = alloca((size_t)n);

	line[n % 64] = room[n - 1] = (char)n;
	return line[n % 64] + room[n - 1];
}

SHAPE int by_arguments(char *out, size_t size, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(out, size, format, args);
	va_end(args);
	return len;
}

static void stepped(long number)
{
	char text[256] = "", letters[] = "quick";

	handle(SIGTRAP, on_step, 0);
	for (long i = 0; i < number; i++) {
		step(true);
		no_allocation(100 + i);
		by_arguments(text, sizeof(text), "%ld %s %5.2f %p", i, letters, 1.5 * (double)i,
			     (void *)text);
		qsort(letters, sizeof(letters) - 1, 1, compare_bytes);
		left = (long)strlen(text) + strtol("12345", NULL, 10) + (long)getppid();
		left += memcmp(text, letters, 5) + (long)strtod("2.5", NULL);
		step(false);
	}
}

#else
static void stepped(long number)
{
	(void)number;
}
#endif

/* ---- choice ----------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*shape)(long number);
	long number;
} shapes[] = {
	{ "sizes", sizes, 20 },	    { "forms", forms, 1000 }, { "depths", depths, 160 },
	{ "stacks", stacks, 10 },   { "signals", signals, 50 }, { "stepped", stepped, 1 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (strcmp(argv[1], shapes[i].name) != 0)
			continue;
		shapes[i].shape(argc > 2 ? atol(argv[2]) : shapes[i].number);
		return 0;
	}
	return 2;
}
