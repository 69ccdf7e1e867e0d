/* SPDX-License-Identifier: MIT */
/*
 * foreign.h - processes whose allocator is not to be told of from here, although calls come here.
 *
 * Under valgrind the code here is read and translated, with what the kernel has put at the sites:
 * no site may be reached. A sanitizer's or glibc's debugging malloc may stand behind this library
 * or before it; what it does with calls, and which it sees, is its own.
 */
#ifndef PRELOAD_FOREIGN_H
#define PRELOAD_FOREIGN_H

#include <stdbool.h>

/* Is such an object loaded? Known by their names, at any time after the loader has mapped them. */
bool foreign_is_loaded(void);

#endif
