/* SPDX-License-Identifier: MIT */
/*
 * elf_bounds.h - what must not be shown to libdw: files that cost more than they are.
 *
 * A sparse file of a few blocks can have sections of gigabytes, and a packed section can unpack to
 * a thousand times its size; libelf and libdw read and unpack what they are told to.
 */
#ifndef CAPTURE_ELF_BOUNDS_H
#define CAPTURE_ELF_BOUNDS_H

#include <stdbool.h>

/* True when the sections of the ELF file take no more memory than is fair for what the file takes
 * on disk: as they are, or unpacked, for who unpacks them. */
bool elf_bounds_are_fair(int fd, bool unpacked);

/*
 * A file that can be mapped: others must not be able to shorten it meanwhile, for that would end
 * who reads it. fd itself where only root or this user can write; else a copy in memory. fd is then
 * closed. A file too large to copy is taken as it is. Returns an fd; -1 when there was no copy to
 * be had.
 */
int elf_bounds_own(int fd);

#endif
