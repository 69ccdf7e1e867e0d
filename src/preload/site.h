/* SPDX-License-Identifier: MIT */
/*
 * site.h - the sites, and the semaphores that say whether anyone listens.
 *
 * SITE(provider, name, semaphore, ...) is a site with up to five arguments in the registers of a
 * call. include/memtrace/preload.h has the layout. The note is the one of sys/sdt.h:
 *
 *	name size, descriptor size, type 3 | "stapsdt" | address, base, semaphore | provider | name
 *| arguments
 *
 * Every site takes the frame's address as an input it does not use: so the compiler has made the
 * frame by then, and handlers may count on it.
 */
#ifndef PRELOAD_SITE_H
#define PRELOAD_SITE_H

#include <stdint.h>

/* A cache line of its own: it is read at every call, and written when listeners come and go. */
union semaphore_line {
	struct {
		uint16_t memtrace, otel_alloc, otel_free, none;
	};
	uint64_t any;
	char line[64];
};

extern union semaphore_line memtrace_semaphores;

/* Volatile: the kernel writes it. */
#define semaphores ((const volatile union semaphore_line *)&memtrace_semaphores)

#if defined(__x86_64__)
#define SITE_NOPS                              \
	".p2align 4\n"                         \
	"990: .byte 0x90\n"                    \
	".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n" \
	".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00\n"
#define SITE_ARG1 "8@%%rdi"
#define SITE_ARG2 SITE_ARG1 " 8@%%rsi"
#define SITE_ARG3 SITE_ARG2 " 8@%%rdx"
#define SITE_ARG4 SITE_ARG3 " 8@%%rcx"
#define SITE_ARG5 SITE_ARG4 " 8@%%r8"
#define SITE_REG1 "rdi"
#define SITE_REG2 "rsi"
#define SITE_REG3 "rdx"
#define SITE_REG4 "rcx"
#define SITE_REG5 "r8"
#define SITE_ARG6 SITE_ARG5 " 8@%%r9"
#define SITE_REG6 "r9"
#elif defined(__aarch64__)
#define SITE_NOPS "990: nop\n"
#define SITE_ARG1 "8@x0"
#define SITE_ARG2 SITE_ARG1 " 8@x1"
#define SITE_ARG3 SITE_ARG2 " 8@x2"
#define SITE_ARG4 SITE_ARG3 " 8@x3"
#define SITE_ARG5 SITE_ARG4 " 8@x4"
#define SITE_REG1 "x0"
#define SITE_REG2 "x1"
#define SITE_REG3 "x2"
#define SITE_REG4 "x3"
#define SITE_REG5 "x4"
#define SITE_ARG6 SITE_ARG5 " 8@x5"
#define SITE_REG6 "x5"
#else
#error "this architecture's sites are not known"
#endif
#define SITE_ARG0 ""

#define SITE_NOTE(provider, name, semaphore, arguments)                                \
	".pushsection .note.stapsdt, \"\", \"note\"\n"                                 \
	".balign 4\n"                                                                  \
	".4byte 992f - 991f, 994f - 993f, 3\n"                                         \
	"991: .asciz \"stapsdt\"\n"                                                    \
	"992: .balign 4\n"                                                             \
	"993: .8byte 990b, memtrace_sites_base, memtrace_semaphores + " semaphore "\n" \
	".asciz \"" provider "\"\n"                                                    \
	".asciz \"" name "\"\n"                                                        \
	".asciz \"" arguments "\"\n"                                                   \
	"994: .balign 4\n"                                                             \
	".popsection\n"

/* Where the sites are, for ourselves: memtrace_sites is a list of offsets from each of its words.
 */
#define SITE_LISTED                            \
	".pushsection memtrace_sites, \"a\"\n" \
	".balign 4\n"                          \
	".4byte 990b - .\n"                    \
	".popsection\n"

/* offsets in union semaphore_line */
#define SEMAPHORE_MEMTRACE "0"
#define SEMAPHORE_OTEL_ALLOC "2"
#define SEMAPHORE_OTEL_FREE "4"

#define SITE_IN(n, value) register uint64_t site_arg##n __asm__(SITE_REG##n) = (uint64_t)(value)
#define SITE_ASM(provider, name, semaphore, arguments, ...)                                    \
	__asm__ volatile(SITE_NOPS SITE_LISTED SITE_NOTE(provider, name, semaphore, arguments) \
			 :                                                                     \
			 : "m"(*(const char *)__builtin_frame_address(0)), ##__VA_ARGS__       \
			 : "memory")

#define SITE0(provider, name, semaphore) SITE_ASM(provider, name, semaphore, SITE_ARG0)
#define SITE1(provider, name, semaphore, a)                                     \
	do {                                                                    \
		SITE_IN(1, a);                                                  \
		SITE_ASM(provider, name, semaphore, SITE_ARG1, "r"(site_arg1)); \
	} while (0)
#define SITE2(provider, name, semaphore, a, b)                                                 \
	do {                                                                                   \
		SITE_IN(1, a);                                                                 \
		SITE_IN(2, b);                                                                 \
		SITE_ASM(provider, name, semaphore, SITE_ARG2, "r"(site_arg1), "r"(site_arg2)); \
	} while (0)
#define SITE3(provider, name, semaphore, a, b, c)                                              \
	do {                                                                                   \
		SITE_IN(1, a);                                                                 \
		SITE_IN(2, b);                                                                 \
		SITE_IN(3, c);                                                                 \
		SITE_ASM(provider, name, semaphore, SITE_ARG3, "r"(site_arg1), "r"(site_arg2), \
			 "r"(site_arg3));                                                      \
	} while (0)
#define SITE4(provider, name, semaphore, a, b, c, d)                                           \
	do {                                                                                   \
		SITE_IN(1, a);                                                                 \
		SITE_IN(2, b);                                                                 \
		SITE_IN(3, c);                                                                 \
		SITE_IN(4, d);                                                                 \
		SITE_ASM(provider, name, semaphore, SITE_ARG4, "r"(site_arg1), "r"(site_arg2), \
			 "r"(site_arg3), "r"(site_arg4));                                      \
	} while (0)
#define SITE5(provider, name, semaphore, a, b, c, d, e)                                        \
	do {                                                                                   \
		SITE_IN(1, a);                                                                 \
		SITE_IN(2, b);                                                                 \
		SITE_IN(3, c);                                                                 \
		SITE_IN(4, d);                                                                 \
		SITE_IN(5, e);                                                                 \
		SITE_ASM(provider, name, semaphore, SITE_ARG5, "r"(site_arg1), "r"(site_arg2), \
			 "r"(site_arg3), "r"(site_arg4), "r"(site_arg5));                      \
	} while (0)

#define SITE6(provider, name, semaphore, a, b, c, d, e, f)                                     \
	do {                                                                                   \
		SITE_IN(1, a);                                                                 \
		SITE_IN(2, b);                                                                 \
		SITE_IN(3, c);                                                                 \
		SITE_IN(4, d);                                                                 \
		SITE_IN(5, e);                                                                 \
		SITE_IN(6, f);                                                                 \
		SITE_ASM(provider, name, semaphore, SITE_ARG6, "r"(site_arg1), "r"(site_arg2), \
			 "r"(site_arg3), "r"(site_arg4), "r"(site_arg5), "r"(site_arg6));      \
	} while (0)

#endif
