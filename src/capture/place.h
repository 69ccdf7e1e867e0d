/* SPDX-License-Identifier: MIT */
/*
 * place.h - which instruction of a function a probe goes on.
 *
 * The kernel emulates a few instructions when a probe sits on them (push reg, nop, relative jumps
 * and calls) and single-steps all others, which costs many times as much. So a probe moves forward
 * from the entry to the first emulated instruction, as long as nobody could tell the difference:
 *
 *	free:	48 85 ff		test %rdi,%rdi	crossed: changes only flags
 *		0f 84 bf 00 00 00	je   free+0xc8	may be crossed: leads to nothing but ret
 *		55			push %rbp	<- the site, offset 9
 *
 * What holds at every site: each call reaches it exactly once before doing anything else (free and
 * its like may leave earlier for a NULL pointer); the arguments are in their registers; %rsp is
 * what it was at the entry, so [%rsp] is the return address. A return probe may therefore sit at
 * the same instruction. Where no such place is known the site is the entry, which is always right.
 */
#ifndef CAPTURE_PLACE_H
#define CAPTURE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memtrace/abi.h"

struct allocator;

/* Bytes from the entry that are looked at for a site. */
#define PLACE_REACH 64

struct place_request {
	enum mt_call call; /* says which registers carry arguments, and if NULL may be skipped */
	uint64_t size;	   /* of the function; 0 when unknown */
};

struct placement {
	uint64_t offset;    /* of the site from the entry; 0 is the entry itself */
	bool emulated;	    /* the kernel emulates the instruction there */
	bool skips_null;    /* a call with a NULL pointer leaves before the site */
	const char *reason; /* why it is the entry and not emulated; NULL otherwise. Constant text */
};

/*
 * code: the function's bytes from its entry on, len of them (more than the function is fine), as
 * at address vaddr. Pure. 0, or -EINVAL without any byte, or -ENOMEM.
 */
int probe_place(const uint8_t *code, size_t len, uint64_t vaddr, const struct place_request *req,
		struct placement *out);

/*
 * Places a probe for each function of an allocator: out[i] for allocator->functions[i]. Reads the
 * code from fd, and also takes back to its entry each site that code elsewhere in the file jumps
 * to without coming through the entry. 0 or -errno.
 */
int probe_place_all(int fd, const struct allocator *allocator, struct placement *out);

/*
 * True if some relative 32-bit branch in text (len bytes at address vaddr, scanned at every byte)
 * has its target after entry and not after site. Pure.
 */
bool place_text_enters(const uint8_t *text, size_t len, uint64_t vaddr, uint64_t entry,
		       uint64_t site);

#endif
