// SPDX-License-Identifier: MIT
/* static_glibc.c - family.c with the C library linked in: the allocator is in the program. */
#include "family.c"
