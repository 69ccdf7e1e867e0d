/* SPDX-License-Identifier: MIT */
/* say.h - remarks and errors: lines on stderr that begin with the program's name. */
#ifndef MEMTRACE_CLI_SAY_H
#define MEMTRACE_CLI_SAY_H

#include "base/strbuf.h"

/* One line, in one write: the command's own output does not get into its middle. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Each line of a text. */
void say_lines(const struct strbuf *lines);

#endif
