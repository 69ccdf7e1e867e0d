/* SPDX-License-Identifier: MIT */
/*
 * cpu_time.h - how much CPU time the targets used since they are targets.
 *
 * Two sums, each of which can only miss something, so the larger one is taken:
 *
 *	by accounts	what each traced process used, read now and then and when it ends. What it
 *			used between the last look and its end is missed when its parent was faster.
 *	by roots	what the launched command, or the attached processes, used together with the
 *			children they waited for. What nobody waited for is missed.
 *
 * How long they were ready to run, and others ran, is known as well: of threads that live.
 *
 * Time that a thread spends in a probe is the thread's own, so all of it is in here.
 */
#ifndef CAPTURE_CPU_TIME_H
#define CAPTURE_CPU_TIME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "memtrace/abi.h"

/* A process's own use, all its threads, the ended ones too; negative when it is gone. */
int64_t cpu_time_of(pid_t pid);

struct cpu_clock {
	uint64_t acct_id; /* 0: none */
	pid_t pid;
	int64_t from_ns, last_ns;
	int64_t wait_from_ns, wait_last_ns;
};

struct cpu_root {
	pid_t pid;
	int64_t own_ns, own_wait_ns; /* that it had used, and waited, itself when it became one */
	int64_t from_ns, last_ns;    /* with the children it waited for */
};

struct cpu_time {
	struct cpu_clock *clocks; /* by slot of the account */
	uint32_t slot_cnt;
	int64_t ended_ns, ended_wait_ns; /* of accounts whose slots others have now */
	struct cpu_root *roots;
	size_t root_cnt;
};

int cpu_time_init(struct cpu_time *cpu, uint32_t slot_cnt);
void cpu_time_fini(struct cpu_time *cpu);

/* A process whose children are targets too. What it used before does not count. 0 or -ENOMEM. */
int cpu_time_add_root(struct cpu_time *cpu, pid_t pid);

/* A root has ended, and used that with the children it waited for. */
void cpu_time_root_ended(struct cpu_time *cpu, pid_t pid, int64_t used_ns);

/* Looks at an account that is in use, or has just ended. */
void cpu_time_see(struct cpu_time *cpu, uint32_t slot, const struct mt_acct *acct);

/* Looks at the roots. The sum, nanoseconds. */
int64_t cpu_time_sum(struct cpu_time *cpu);

/* How long they waited for a CPU, by accounts. */
int64_t cpu_time_waited(const struct cpu_time *cpu);

#endif
