/* SPDX-License-Identifier: MIT */
/*
 * paced.h - rounds of work with a pause after each, so that a heap has a past to be judged by.
 *
 * The pause is part of what the program does, not something a test waits for.
 */
#ifndef PACED_H
#define PACED_H

#include <time.h>

static inline void paced_pause(long us)
{
	struct timespec pause = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	nanosleep(&pause, NULL);
}

#endif
