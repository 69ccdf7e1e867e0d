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

struct usage valgrind_usage(const char *const *argv, const char *const *env, int *wait_status)
{
	static const char heading[] = "total heap usage:";
	const char *log = stage_path("valgrind.log"), *words[WORDS_MAX], *at;
	struct usage usage;
	struct child *child;
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
	status = run(&(struct start){ .argv = words, .env = env }, &child);
	if (wait_status)
		*wait_status = status;
	at = strstr(file_text(log), heading);
	if (!at)
		fatal("valgrind says no heap usage: %s%s", file_text(child->err), file_text(log));
	at += strlen(heading);
	usage.allocs = next_number(&at);
	usage.frees = next_number(&at);
	usage.alloc_bytes = next_number(&at);
	return usage;
}
