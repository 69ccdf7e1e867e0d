// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "cli/tree.h"
#include "snapshot_fixture.h"

static void add(struct memtrace_snapshot *s, uint64_t id, pid_t pid, pid_t ppid, bool running)
{
	struct memtrace_process *p = fixture_process(s, id, pid, "x");

	p->ppid = ppid;
	if (running)
		p->ended_by = MEMTRACE_RUNNING;
}

static void cross(struct memtrace_snapshot *s, uint64_t process)
{
	cr_assert_not_null(
		snapshot_add_crossing(s, (struct memtrace_crossing){ .process = process }));
}

/* 10 (ended by exec, then running), its child 11, grandchild 12, ended child 13; 20 is another. */
static struct memtrace_snapshot *two_trees(enum memtrace_limit_scope scope, uint64_t crosser)
{
	struct memtrace_snapshot *s = fixture_new("pids");

	add(s, 1, 10, 1, false);
	add(s, 2, 10, 1, true);
	add(s, 3, 11, 10, true);
	add(s, 4, 12, 11, true);
	add(s, 5, 13, 10, false);
	add(s, 6, 20, 1, true);
	s->limit.scope = scope;
	cross(s, crosser);
	return s;
}

static void expect(struct memtrace_snapshot *s, unsigned int cnt, const char *pids)
{
	struct strbuf out = STRBUF_INIT;

	cr_expect_eq(tree_put_stopped(s, s->crossings, &out), cnt);
	cr_expect_str_eq(strbuf_text(&out), pids);
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}

Test(tree, a_limit_of_the_tree_stops_who_is_left_of_it)
{
	expect(two_trees(MEMTRACE_LIMIT_TREE, 4), 3, "12 10 11");
	expect(two_trees(MEMTRACE_LIMIT_TREE, 2), 3, "10 11 12");
	expect(two_trees(MEMTRACE_LIMIT_TREE, 6), 1, "20");
}

Test(tree, a_limit_of_each_process_stops_one)
{
	expect(two_trees(MEMTRACE_LIMIT_PROCESS, 3), 1, "11");
}

Test(tree, an_unknown_crosser_is_nobody)
{
	expect(two_trees(MEMTRACE_LIMIT_TREE, 99), 0, "");
}

Test(tree, a_ring_of_reused_pids_ends)
{
	struct memtrace_snapshot *s = fixture_new("ring");

	add(s, 1, 10, 11, true);
	add(s, 2, 11, 10, true);
	cross(s, 1);
	s->limit.scope = MEMTRACE_LIMIT_PROCESS;
	expect(s, 1, "10");

	s = fixture_new("ring");
	add(s, 1, 10, 10, true);
	cross(s, 1);
	s->limit.scope = MEMTRACE_LIMIT_TREE;
	expect(s, 1, "10");
}

Test(tree, of_many_crossings_those_count_that_can_be_continued)
{
	struct memtrace_snapshot *s = two_trees(MEMTRACE_LIMIT_PROCESS, 3);
	struct strbuf out = STRBUF_INIT;

	cross(s, 5); /* has ended */
	cross(s, 6);
	cr_expect_eq(tree_put_all_stopped(s, &out), 2);
	cr_expect_str_eq(strbuf_text(&out), "11 20");
	strbuf_fini(&out);
	memtrace_snapshot_free(s);
}
