// SPDX-License-Identifier: MIT
#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>


void say(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "memtrace: %s\n", line);
}

void say_lines(const struct strbuf *lines)
{
	const char *line = strbuf_text(lines);

	while (*line) {
		int len = (int)strcspn(line, "\n");

		say("%.*s", len, line);
		line += len + (line[len] == '\n');
	}
}
