/* SPDX-License-Identifier: MIT */
/*
 * sys.h - the few system calls the library makes, without libc: they leave errno alone, and work
 * before libc does. Each returns what the kernel returns, -errno on failure.
 */
#ifndef PRELOAD_SYS_H
#define PRELOAD_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static inline long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "this architecture's system call is not known"
#endif
}

/* Zeroed private memory, or NULL. */
static inline void *sys_map(size_t bytes)
{
	long at = sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

static inline void sys_unmap(void *at, size_t bytes)
{
	sys_call6(SYS_munmap, (long)at, (long)bytes, 0, 0, 0, 0);
}

/* 64 random bits; something that differs from process to process where the kernel refuses. */
static inline uint64_t sys_random(void)
{
	uint64_t bits;

	if (sys_call6(SYS_getrandom, (long)&bits, sizeof(bits), 1 /* GRND_NONBLOCK */, 0, 0, 0) ==
	    sizeof(bits))
		return bits;
	return (uint64_t)(uintptr_t)&bits * 0x9e3779b97f4a7c15ULL ^
	       (uint64_t)sys_call6(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

#endif
