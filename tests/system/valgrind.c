// SPDX-License-Identifier: MIT
#include "valgrind.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "1,234 allocs": the number, and where it ends. */
static long long number(const char **text)
{
	long long value = 0;

	for (; isdigit((unsigned char)**text) || **text == ','; ++*text)
		if (**text != ',')
			value = value * 10 + (**text - '0');
	return value;
}

static long long next_number(const char **text)
{
	while (**text && !isdigit((unsigned char)**text))
		++*text;
	return number(text);
}

/* Of a log:
 *
 *	HEAP SUMMARY:
 *	    in use at exit: 72,704 bytes in 1 blocks
 *	  total heap usage: 2 allocs, 1 frees, 72,705 bytes allocated
 */
static struct usage parse(const char *log)
{
	static const char in_use[] = "in use at exit:", total[] = "total heap usage:";
	const char *live = strstr(log, in_use), *all = strstr(log, total);
	struct usage usage;

	if (!live || !all)
		fatal("valgrind says no heap usage: %s", log);
	live += strlen(in_use);
	usage.live_bytes = next_number(&live);
	all += strlen(total);
	usage.allocs = next_number(&all);
	usage.frees = next_number(&all);
	usage.alloc_bytes = next_number(&all);
	return usage;
}

struct usage valgrind_usage(const char *const *argv, const char *const *env, int *wait_status)
{
	const char *log = stage_path("valgrind.log"), *words[WORDS_MAX];
	size_t cnt = 0;
	int status;

	if (!find_program("valgrind"))
		skip("valgrind is not installed");
	unlink(log);
	words[cnt++] = "valgrind";
	words[cnt++] = "--tool=memcheck";
	words[cnt++] = "--leak-check=no";
	words[cnt++] = "--run-libc-freeres=no";
	words[cnt++] = "--run-cxx-freeres=no";
	words[cnt++] = text_of("--log-file=%s", log);
	while (*argv && cnt + 1 < WORDS_MAX)
		words[cnt++] = *argv++;
	words[cnt] = NULL;
	status = run(&(struct start){ .argv = words, .env = env }, NULL);
	if (wait_status)
		*wait_status = status;
	return parse(file_text(log));
}
