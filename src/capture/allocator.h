/* SPDX-License-Identifier: MIT */
/*
 * allocator.h - the allocation functions that an ELF file defines, and what kind of file it is.
 *
 * One row per function, not per name: names are joined by file offset (aligned_alloc and memalign
 * are one function in glibc 2.36), and a function that is nothing but a jump to another row is
 * that row (musl's memalign, mimalloc's operator delete). So each call of the family meets each
 * probe at most once, but for the nests that the probes themselves sort out.
 *
 * A file is an allocator when it defines both something that allocates and something that frees.
 * The file is hostile: whatever it says, reading it ends, and fails at worst.
 */
#ifndef CAPTURE_ALLOCATOR_H
#define CAPTURE_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/abi.h"

#define ALLOCATOR_BUILD_ID_MAX 32

/* Why there is nothing to probe. */
enum allocator_why {
	ALLOCATOR_FOUND,
	ALLOCATOR_NOT_ELF,
	ALLOCATOR_32BIT,
	ALLOCATOR_OTHER_MACHINE,
	ALLOCATOR_BROKEN,	/* cut short, or says things that cannot be */
	ALLOCATOR_LOADER,	/* the dynamic linker: its own malloc serves only itself */
	ALLOCATOR_NO_SYMBOLS,	/* static and stripped */
	ALLOCATOR_NONE_DEFINED, /* the common case: uses somebody else's */
};

struct allocator_function {
	const char *name; /* as a person knows it; constant text */
	enum mt_call call;
	uint64_t file_offset; /* what a probe is bound to */
	uint64_t vaddr;	      /* as in the file */
	uint64_t size;	      /* 0 when the file does not say */
};

/* The executable segment that the functions are in. */
struct allocator_text {
	uint64_t file_offset, vaddr, size;
};

struct allocator {
	struct allocator_function *functions; /* by file offset */
	size_t function_cnt;
	struct allocator_text text;
	bool is_allocator; /* functions can be probed and make an account */
	bool is_executable; /* a program, not a library */
	bool is_static;	   /* one without an interpreter */
	bool is_go;	   /* has Go code: return probes crash it */
	enum allocator_why why;
	uint32_t ifunc_cnt; /* functions of the family that the file only decides on when it runs:
			     * they cannot be placed, and are left out */
	uint8_t build_id[ALLOCATOR_BUILD_ID_MAX];
	size_t build_id_len; /* 0: none */
};

/*
 * Reads the file behind fd (its position is not used or moved). 0 when it could be read, even if it
 * is no allocator; out is to be given to allocator_fini. -ENOEXEC for a file that is not a 64-bit
 * ELF of this machine or is broken: out->why says which, nothing needs to be freed. -ENOMEM.
 */
int allocator_read(int fd, struct allocator *out);

void allocator_fini(struct allocator *allocator);

/* The reason as the end of a sentence: "it ...". Constant text. */
const char *allocator_why_text(enum allocator_why why);

#endif
