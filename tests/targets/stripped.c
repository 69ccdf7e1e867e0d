// SPDX-License-Identifier: MIT
/* stripped.c - a static program without symbols: nothing says where its allocator is. */
#include "waiting.c"
