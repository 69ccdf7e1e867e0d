/* SPDX-License-Identifier: MIT */
/*
 * valgrind.h - the second witness: memcheck's "total heap usage" of the same program.
 *
 * memcheck counts as memtrace does (a realloc is a free and an alloc, bytes are those asked for),
 * with differences that are its own: a realloc that fails counts as one that succeeded, vfork is a
 * fork, a forked child goes on with its parent's sums, and static programs are not seen.
 */
#ifndef TESTS_SYSTEM_VALGRIND_H
#define TESTS_SYSTEM_VALGRIND_H

#include "harness.h"

struct usage {
	long long allocs, frees, alloc_bytes;
	long long live_bytes; /* at exit */
};

/* Runs argv to its end under memcheck and returns what the first process used. Skips the test where
 * valgrind is not installed. The command's wait status goes to *wait_status unless NULL. */
struct usage valgrind_usage(const char *const *argv, const char *const *env, int *wait_status);

#endif
