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

unsigned int tree_put_stopped(const struct memtrace_snapshot *snapshot,
			      const struct memtrace_crossing *crossing, struct strbuf *out)
{
	const struct memtrace_process *crosser = snapshot_find_process(snapshot, crossing->process);
	unsigned int cnt = 1;
	pid_t root;

	if (!crosser)
		return 0;
	strbuf_printf(out, "%d", (int)crosser->pid);
	if (snapshot->limit.scope != MEMTRACE_LIMIT_TREE)
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

unsigned int tree_put_all_stopped(const struct memtrace_snapshot *snapshot, struct strbuf *out)
{
	unsigned int cnt = 0;

	for (size_t i = 0; i < snapshot->crossing_cnt; i++) {
		const struct memtrace_crossing *crossing = &snapshot->crossings[i];
		const struct memtrace_process *crosser =
			snapshot_find_process(snapshot, crossing->process);

		if (!crosser || crosser->ended_by != MEMTRACE_RUNNING)
			continue;
		strbuf_puts(out, cnt ? " " : "");
		cnt += tree_put_stopped(snapshot, crossing, out);
	}
	return cnt;
}
