// SPDX-License-Identifier: MIT
/* main.c - memtrace, the program: options in, exit status out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/run.h"
#include "memtrace/memtrace.h"

/* A file opened later must not become somebody's stdout because that was closed. */
static int keep_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

static int print_and_check(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_TRACED;
	fprintf(stderr, "memtrace: cannot write to stdout: %s (its reader is gone, or it is full)\n",
		strerror(errno));
	return EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct cli_options options;
	struct message why;
	int status = EXIT_USAGE;

	if (keep_standard_fds())
		return EXIT_FAILED;
	if (options_parse(&options, argc, argv, &why)) {
		fprintf(stderr, "memtrace: %s\n", why.text);
	} else if (options.action == CLI_HELP) {
		options_help(stdout);
		status = print_and_check();
	} else if (options.action == CLI_VERSION) {
		printf("memtrace %s\n", memtrace_version());
		status = print_and_check();
	} else {
		status = run(&options);
	}
	options_fini(&options);
	return status;
}
