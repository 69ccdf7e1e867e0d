/* SPDX-License-Identifier: MIT */
/*
 * trap.h - what a probe costs on this machine besides the program that it runs.
 *
 * Nobody else is touched for it: probes with a program that does nothing are hung on four small
 * functions of this library, bound to this process, and calls of these are timed. A thread does
 * that while the session's own programs are verified, which takes many times as long. Nobody waits
 * for the probes to come off but trap_meter_free().
 */
#ifndef CAPTURE_TRAP_H
#define CAPTURE_TRAP_H

/* Nanoseconds, medians; with what a trap makes slower behind it in a program of some size. */
struct trap_costs {
	double entry;	/* at an instruction that the kernel emulates */
	double stepped; /* at one that it has to single-step */
	double site;	/* at a site of the preload library */
	double returns; /* a return probe, on top of the entry's */

	/* while the kernel keeps run times of programs: what a run takes longer, and what of that
	 * it takes for the program's own time */
	double watched, watched_inside;
};

struct trap_meter;

/* Starts to measure. NULL when that cannot be. */
struct trap_meter *trap_meter_new(void);

/* Waits until it is measured: 0, or -errno when it could not be. */
int trap_meter_costs(struct trap_meter *meter, struct trap_costs *costs);

/* Waits until the probes are gone. Takes NULL. */
void trap_meter_free(struct trap_meter *meter);

#endif
