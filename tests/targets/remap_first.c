// SPDX-License-Identifier: MIT
/* remap_first.c - see remap_library.h. */
#define INNER inner_first
#define OUTER outer_first
#define ROOM 400
#include "remap_library.h"
