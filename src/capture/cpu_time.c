// SPDX-License-Identifier: MIT
#include "capture/cpu_time.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_STEP_NS 1000000 /* of CPU time, until it is worth looking how long was waited */

int64_t cpu_time_of(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
		return -1;
	return used.tv_sec * 1000000000LL + used.tv_nsec;
}

/* With the children it waited for, whose part comes in steps of a tick; negative when it is gone.
 */
static int64_t time_with_children(pid_t pid)
{
	unsigned long long user, kernel;
	int64_t own = cpu_time_of(pid);
	char path[32], line[1024], *end;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	len = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[len] = 0;
	end = strrchr(line, ')'); /* the name before it may hold anything */
	if (own < 0 || !end ||
	    sscanf(end, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu", &user,
		   &kernel) != 2)
		return -1;
	return own + (int64_t)(user + kernel) * (1000000000LL / sysconf(_SC_CLK_TCK));
}

/* How long its living threads were ready to run while others ran; 0 when it is gone. */
static int64_t wait_of(pid_t pid)
{
	unsigned long long waited, sum = 0;
	struct dirent *entry;
	char path[64];
	DIR *dir;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid,
			 atoi(entry->d_name));
		f = atoi(entry->d_name) ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fscanf(f, "%*u %llu", &waited) == 1)
			sum += waited;
		fclose(f);
	}
	closedir(dir);
	return (int64_t)sum;
}

int cpu_time_init(struct cpu_time *cpu, uint32_t slot_cnt)
{
	*cpu = (struct cpu_time){ .slot_cnt = slot_cnt };
	cpu->clocks = calloc(slot_cnt, sizeof(*cpu->clocks));
	return cpu->clocks ? 0 : -ENOMEM;
}

void cpu_time_fini(struct cpu_time *cpu)
{
	free(cpu->clocks);
	free(cpu->roots);
	*cpu = (struct cpu_time){};
}

int cpu_time_add_root(struct cpu_time *cpu, pid_t pid)
{
	struct cpu_root *grown = realloc(cpu->roots, (cpu->root_cnt + 1) * sizeof(*grown));
	int64_t used = time_with_children(pid), own = cpu_time_of(pid);

	if (!grown)
		return -ENOMEM;
	cpu->roots = grown;
	used = used > 0 ? used : 0;
	grown[cpu->root_cnt++] = (struct cpu_root){ pid, own, wait_of(pid), used, used };
	return 0;
}

void cpu_time_root_ended(struct cpu_time *cpu, pid_t pid, int64_t used_ns)
{
	for (size_t i = 0; i < cpu->root_cnt; i++)
		if (cpu->roots[i].pid == pid && used_ns > cpu->roots[i].last_ns)
			cpu->roots[i].last_ns = used_ns;
}

/* An account that follows another one of the same process (exec) goes on with its clock. */
static int64_t clock_before(const struct cpu_time *cpu, pid_t pid, int64_t now_ns)
{
	int64_t last = -1;

	for (uint32_t slot = 0; slot < cpu->slot_cnt; slot++)
		if (cpu->clocks[slot].acct_id && cpu->clocks[slot].pid == pid &&
		    cpu->clocks[slot].last_ns > last)
			last = cpu->clocks[slot].last_ns;
	return last <= now_ns ? last : -1; /* a pid that was used again starts from 0 */
}

/* Where the clock of a new account begins. */
static struct cpu_clock new_clock(const struct cpu_time *cpu, const struct mt_acct *a,
				  int64_t now_ns)
{
	int64_t before = clock_before(cpu, a->tgid, now_ns), wait_ns = wait_of(a->tgid);
	struct cpu_clock clock = { a->id, a->tgid, now_ns, now_ns, wait_ns, wait_ns };

	if (before >= 0) {
		clock.from_ns = before;
		return clock;
	}
	for (size_t i = 0; i < cpu->root_cnt; i++) {
		const struct cpu_root *root = &cpu->roots[i];

		if (root->pid == (pid_t)a->tgid && root->own_ns >= 0) {
			clock.from_ns = root->own_ns;
			clock.wait_from_ns = root->own_wait_ns;
			return clock;
		}
	}
	if (a->flags & (MT_ACCT_FROM_START | MT_ACCT_FORKED))
		clock.from_ns = clock.wait_from_ns = 0;
	return clock;
}

void cpu_time_see(struct cpu_time *cpu, uint32_t slot, const struct mt_acct *a)
{
	struct cpu_clock *clock = slot < cpu->slot_cnt ? &cpu->clocks[slot] : NULL;
	int64_t now_ns, waited;

	if (!clock || a->ended_by == MT_ENDED_EXEC) /* what its pid uses now is its successor's */
		return;
	now_ns = cpu_time_of(a->tgid);
	if (now_ns < 0)
		return;
	if (clock->acct_id != a->id) {
		cpu->ended_ns += clock->last_ns - clock->from_ns;
		cpu->ended_wait_ns += clock->wait_last_ns - clock->wait_from_ns;
		*clock = new_clock(cpu, a, now_ns);
	} else if (now_ns > clock->last_ns + WAIT_STEP_NS ||
		   (a->end_ns && now_ns > clock->last_ns)) {
		/* who did not run did not wait either */
		waited = wait_of(a->tgid);
		if (waited > clock->wait_last_ns)
			clock->wait_last_ns = waited;
		clock->last_ns = now_ns;
	}
}

int64_t cpu_time_waited(const struct cpu_time *cpu)
{
	int64_t waited = cpu->ended_wait_ns;

	for (uint32_t slot = 0; slot < cpu->slot_cnt; slot++)
		waited += cpu->clocks[slot].wait_last_ns - cpu->clocks[slot].wait_from_ns;
	return waited;
}

int64_t cpu_time_sum(struct cpu_time *cpu)
{
	int64_t by_accounts = cpu->ended_ns, by_roots = 0;

	for (uint32_t slot = 0; slot < cpu->slot_cnt; slot++)
		by_accounts += cpu->clocks[slot].last_ns - cpu->clocks[slot].from_ns;
	for (size_t i = 0; i < cpu->root_cnt; i++) {
		struct cpu_root *root = &cpu->roots[i];
		int64_t used = time_with_children(root->pid);

		if (used > root->last_ns)
			root->last_ns = used;
		by_roots += root->last_ns - root->from_ns;
	}
	return by_accounts > by_roots ? by_accounts : by_roots;
}
