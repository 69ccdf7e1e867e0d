// SPDX-License-Identifier: MIT
/* remap_other.c - see remap_library.h. */
#define INNER inner_other
#define OUTER outer_other
#define ROOM 2000
#include "remap_library.h"
