/* SPDX-License-Identifier: MIT */
/*
 * cxx.h - C++'s operators new and delete.
 *
 * Each exported operator is a jump to what is decided for it once, at the start:
 *
 *	the allocator has its own (jemalloc, tcmalloc, mimalloc)	a call of the family like
 *malloc another object has it (libstdc++)	that one; it calls malloc, which is the event nobody
 *has it yet	malloc and free, here
 *
 * The last is a program that loads libstdc++ later, with dlopen. That object may be gone again some
 * day, so it is not remembered, only looked up when memory has run out, for its new_handler and its
 * exception.
 */
#ifndef PRELOAD_CXX_H
#define PRELOAD_CXX_H

/* After next_resolve(). */
void cxx_resolve(void);

#endif
