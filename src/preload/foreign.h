/* SPDX-License-Identifier: MIT */
/*
 * foreign.h - is the code here run, or read by somebody who runs something else for it?
 *
 * Under valgrind it is read and translated, with what the kernel has put at the sites: no site may
 * be reached.
 */
#ifndef PRELOAD_FOREIGN_H
#define PRELOAD_FOREIGN_H

#include <stdbool.h>

bool foreign_is_reading(void);

#endif
