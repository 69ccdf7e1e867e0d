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

Test(verifier, instructions_stay_within_the_budget)
{
	struct child *memtrace;
	const char *line;
	char program[64];
	int programs = 0;
	long walked;

	run(&(struct start){ .argv = LIST(memtrace_path(), "-vv", "--", target_path("empty")) },
	    &memtrace);
	expect_exit(memtrace, 0);
	for (line = file_text(memtrace->err); *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (sscanf(line, "memtrace: %63[a-z_]: verified in %ld", program, &walked) != 2)
			continue;
		programs++;
		cr_expect_gt(walked, 0);
		cr_expect_leq(walked, budget_of(program),
			      "%s: %ld instructions, the budget in %s is %ld", program, walked,
			      BUDGET_FILE, budget_of(program));
	}
	cr_expect_geq(programs, 7);
}
