/* SPDX-License-Identifier: MIT */
/*
 * arm.h - keeps the sites alive in forked children.
 *
 * Linux 6.18 turns a probed five-byte nop into a call to a page that it maps nearby, and does not copy that
 * page for a child of fork: the child has the call, and dies of it. So in a child, before its first
 * site (right in fork() where that calls us), the library's code is read from the file anew and its
 * mapping is parted for a moment, which makes the kernel put probes in once more:
 *
 *	parent   nop5  -probe->  int3  -first hit->  call trampoline
 *	child    call, no trampoline  -armed again->  int3  -first hit->  call (its own) trampoline
 *
 * Nothing of that is done where no site has been made a call: an int3 works in a child as it is.
 * A child is known by a word that fork wipes, so raw forks are seen as well.
 */
#ifndef PRELOAD_ARM_H
#define PRELOAD_ARM_H

#include <stdbool.h>
#include <stdint.h>

/* 0 in a child until it is armed. */
extern const volatile uint32_t *arm_mark __attribute__((visibility("hidden")));

/* Once, before anyone forks. Without the memory for it children are left as they are. */
__attribute__((visibility("hidden"))) void arm_start(void);
__attribute__((visibility("hidden"))) bool arm_again(void);

/* May sites be reached? To be asked before each. */
static inline __attribute__((always_inline)) bool is_armed(void)
{
	return __builtin_expect(*arm_mark, 1) || arm_again();
}

#endif
