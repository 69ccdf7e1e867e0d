/* SPDX-License-Identifier: MIT */
/* leave.h - looks up what leave.c wraps: programs are left, threads begun, code unloaded. */
#ifndef PRELOAD_LEAVE_H
#define PRELOAD_LEAVE_H

__attribute__((visibility("hidden"))) void leave_resolve(void);

#endif
