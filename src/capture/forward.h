/* SPDX-License-Identifier: MIT */
/*
 * forward.h - which functions of the family pass their calls on to others of it.
 *
 *	operator delete: jmp free@plt		is free, as far as probes are concerned
 *	operator delete(p, size, align):	may free through sdallocx, so both probes may see
 *		test; je; ...; jmp sdallocx@plt	one free; the outer is an MT_CALL_FREE_SIZED
 */
#ifndef CAPTURE_FORWARD_H
#define CAPTURE_FORWARD_H

#include <stddef.h>

#include "capture/allocator.h"

struct elf_file;

/* How a function passes calls on to others of the list. */
enum forward { FORWARD_NEVER, FORWARD_MAYBE, FORWARD_ALWAYS };

/*
 * forwards[i] for functions[i]. Branches are followed directly and through the file's own PLT. On
 * machines other than x86-64 all are FORWARD_NEVER. 0 or -ENOMEM.
 */
int forward_find(const struct elf_file *file, const struct allocator_function *functions, size_t cnt,
		 enum forward *forwards);

#endif
