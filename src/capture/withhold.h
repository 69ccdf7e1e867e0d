/* SPDX-License-Identifier: MIT */
/*
 * withhold.h - keeps the preload library from programs of the tree that must not have it, by taking
 * its name out of the environment of a new image, before anything in there has read it.
 *
 *	exec of such a program		held at the gate, inside execve: a helper process
 *	  |				seizes it (ptrace), the gate lets it through
 *	the new image is there		stopped by the kernel for the helper; nobody else sees it
 *	  |				LD_PRELOAD=a.so:LIB b.so  ->  LD_PRELOAD=a.so b.so  ---
 *	the helper lets go		the dynamic linker, or what will run others, reads that
 *
 * A helper is a process, so that its tracees are nobody's else: the session's own waits do not meet
 * them, and when it ends, however that is, whom it held goes on. Where one cannot seize (a debugger
 * has it, or the kernel holds in execve what ptrace needs: before Linux 6.8, and for the
 * interpreter of a script) the program has to be stopped some other way, and withhold_now() does
 * the rest.
 */
#ifndef CAPTURE_WITHHOLD_H
#define CAPTURE_WITHHOLD_H

#include <sys/types.h>

struct withhold;

/* library: path as the environment has it; copied. NULL without memory. */
struct withhold *withhold_new(const char *library);
void withhold_free(struct withhold *withhold); /* takes NULL; whom it waits for goes on as it is */

/* The thread is inside execve, and waits for the answer to its opening the program. What it runs
 * next will not have the library in its environment. 0, or -errno: somebody else has to see to it.
 */
int withhold_at_exec(struct withhold *withhold, pid_t tid);

/* The process is stopped at the beginning of its image. 1: the library was in its environment, and
 * is not any more; 0: it was not; or -errno. */
int withhold_now(pid_t pid, const char *library);

#endif
