// SPDX-License-Identifier: MIT
/* test_verifier.c - what the kernel's verifier walks to accept the probes stays within a budget: it is
 * most of the time a start takes, and a program beyond a million is refused. */
#include "harness.h"

#include <string.h>

SUITE(verifier);

#define BUDGET_FILE TESTS_DIR "/verifier.budget"

/* The program's figure in the budget; 0 when it has none. */
static long budget_of(const char *program)
{
	const char *text = file_text(BUDGET_FILE), *line;
	char name[64];
	long budget;

	for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (sscanf(line, "%63s %ld", name, &budget) == 2 && !strcmp(name, program))
			return budget;
	return 0;
}

/* What memtrace -vv says of the programs it loads; each one's name is added to seen. */
static void expect_within_budget(const char *said, char *seen, size_t size)
{
	const char *line;
	char program[64];
	long walked;

	for (line = said; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (sscanf(line, "memtrace: %63[a-z_]: verified in %ld", program, &walked) != 2)
			continue;
		snprintf(seen + strlen(seen), size - strlen(seen), " %s ", program);
		cr_expect_gt(walked, 0);
		cr_expect_leq(walked, budget_of(program),
			      "%s: %ld instructions, the budget in %s is %ld", program, walked,
			      BUDGET_FILE, budget_of(program));
	}
}

static const char *said_of_launched(const char *lane)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST(memtrace_path(), "-vv", "--lane", lane, "--",
					  target_path("empty")) },
	    &memtrace);
	expect_exit(memtrace, 0);
	return file_text(memtrace->err);
}

static const char *said_of_sites(void)
{
	struct trace trace;

	trace_run(&trace, &(struct trace_request){ .way = ATTACHED,
						   .argv = LIST("otel_weights"),
						   .options = LIST("-vv") });
	expect_exit(trace.memtrace, 0);
	return file_text(trace.memtrace->err);
}

/* Every way to trace, so that every program of the budget is met. */
Test(verifier, instructions_stay_within_the_budget)
{
	const char *line;
	char seen[2048] = "", program[64];

	expect_within_budget(said_of_launched("preload"), seen, sizeof(seen));
	expect_within_budget(said_of_launched("uprobe"), seen, sizeof(seen));
	expect_within_budget(said_of_sites(), seen, sizeof(seen));
	line = file_text(BUDGET_FILE);
	for (; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (*line == '#' || sscanf(line, "%63s", program) != 1)
			continue;
		cr_expect(strstr(seen, text_of(" %s ", program)), "%s was not loaded", program);
	}
}
