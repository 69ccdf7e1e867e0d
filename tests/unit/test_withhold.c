// SPDX-License-Identifier: MIT
/* test_withhold.c - the library's name is taken out of the environment of a program that is about
 * to begin: what env(1) then prints is the truth. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/withhold.h"

#define LIBRARY "/nowhere/lib.so"

/* env's output with that environment, the library withheld; what withhold_now() returned. */
static int print_without(const char *const *environment, const char *program, char *output,
			 size_t size)
{
	const char *argv[] = { program, "/proc/self/environ", NULL };
	int fds[2], status, result;
	ssize_t got, len = 0;
	pid_t pid;

	cr_assert(!pipe(fds));
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		dup2(fds[1], 1);
		close(2); /* the dynamic linker's word on libraries that are not there */
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execve(program,
		       (char *const *)(strstr(program, "cat") ? argv
							      : (const char *[]){ program, NULL }),
		       (char *const *)environment);
		_exit(127);
	}
	close(fds[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status %#x",
		  (unsigned int)status);
	result = withhold_now(pid, LIBRARY);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	while ((got = read(fds[0], output + len, size - 1 - (size_t)len)) > 0)
		len += got;
	output[len] = '\0';
	close(fds[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	return result;
}

Test(withhold, leaves_the_others_in_their_order)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{ LIBRARY, "" },
		{ "a:" LIBRARY, "a" },
		{ LIBRARY ":a", "a" },
		{ LIBRARY " a", "a" },
		{ "a:" LIBRARY ":b", "a:b" },
		{ "a " LIBRARY " b", "a b" },
		{ LIBRARY ":" LIBRARY, "" },
		{ "a:" LIBRARY ":b:" LIBRARY ":c", "a:b:c" },
		{ LIBRARY ".1", LIBRARY ".1" },
		{ "/more" LIBRARY, "/more" LIBRARY },
		{ "", "" },
	};
	char output[1024], before[256], wanted[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *environment[] = { "A=1", before, "B=" LIBRARY, NULL };
		int result;

		snprintf(before, sizeof(before), "LD_PRELOAD=%s", cases[i].before);
		snprintf(wanted, sizeof(wanted), "A=1\nLD_PRELOAD=%s\nB=%s\n", cases[i].after,
			 LIBRARY);
		result = print_without(environment, "/usr/bin/env", output, sizeof(output));
		cr_expect_str_eq(output, wanted);
		cr_expect_eq(result, strcmp(cases[i].before, cases[i].after) != 0);
	}
}

Test(withhold, without_the_variable_there_is_nothing_to_do)
{
	static const char *const environment[] = { "A=LD_PRELOAD=" LIBRARY, "XLD_PRELOAD=" LIBRARY,
						   NULL };
	char output[1024];

	cr_expect_eq(print_without(environment, "/usr/bin/env", output, sizeof(output)), 0);
	cr_expect_str_eq(output, "A=LD_PRELOAD=" LIBRARY "\nXLD_PRELOAD=" LIBRARY "\n");
}

/* Sanitizers read this file, up to the first empty string. */
Test(withhold, the_file_of_the_environment_has_no_empty_string)
{
	static const char *const environment[] = { "LD_PRELOAD=" LIBRARY, "B=2", NULL };
	char output[1024];
	size_t len = 0;

	memset(output, 'x', sizeof(output));
	cr_expect_eq(print_without(environment, "/bin/cat", output, sizeof(output)), 1);
	while (output[len])
		len += strlen(output + len) + 1;
	cr_expect_eq(memcmp(output + len - strlen("B=2") - 1, "B=2", sizeof("B=2")), 0, "%s",
		     output);
}
