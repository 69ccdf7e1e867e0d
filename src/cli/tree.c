// SPDX-License-Identifier: MIT
#include "cli/tree.h"

#include "model/snapshot.h"

#define DEPTH_MAX 128 /* pids are reused: the chain of parents may be a ring */

static const struct memtrace_process *parent_of(const struct memtrace_snapshot *snapshot,
						const struct memtrace_process *process)
{
	for (size_t i = 0; i < snapshot->process_cnt; i++)
		if (snapshot->processes[i].pid == process->ppid)
			return &snapshot->processes[i];
	return NULL;
}

static pid_t root_of(const struct memtrace_snapshot *snapshot,
		     const struct memtrace_process *process)
{
	const struct memtrace_process *parent;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		parent = parent_of(snapshot, process);
		if (!parent)
			break;
		process = parent;
	}
	return process->pid;
}

unsigned int tree_put_stopped(const struct memtrace_snapshot *snapshot, struct strbuf *out)
{
	const struct memtrace_limit *limit = &snapshot->limit;
	const struct memtrace_process *crosser = snapshot_find_process(snapshot, limit->process);
	unsigned int cnt = 1;
	pid_t root;

	if (!crosser)
		return 0;
	strbuf_printf(out, "%d", (int)crosser->pid);
	if (limit->scope != MEMTRACE_LIMIT_TREE)
		return cnt;
	root = root_of(snapshot, crosser);
	for (size_t i = 0; i < snapshot->process_cnt; i++) {
		const struct memtrace_process *other = &snapshot->processes[i];

		if (other->ended_by != MEMTRACE_RUNNING || other->pid == crosser->pid ||
		    root_of(snapshot, other) != root)
			continue;
		strbuf_printf(out, " %d", (int)other->pid);
		cnt++;
	}
	return cnt;
}
