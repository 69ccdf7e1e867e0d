/* SPDX-License-Identifier: MIT */
/*
 * signals.h - Ctrl-C and its relatives as events that can be waited for.
 *
 * Signals have one disposition per process, so this is the one place of the program with state of
 * its own: a pipe the handler writes to, what came last, and whether the next signal ends the program.
 * Handlers, not a blocked mask: a handler is gone after exec, a mask would be inherited by the
 * command. For the same reason SIGPIPE gets a handler that does nothing.
 */
#ifndef MEMTRACE_CLI_SIGNALS_H
#define MEMTRACE_CLI_SIGNALS_H

#include <stdbool.h>

struct signal_event {
	int number;	    /* SIGINT, SIGTERM, SIGHUP */
	bool from_terminal; /* the kernel sent it, to the whole foreground group */
};

/*
 * Catches SIGINT, SIGTERM, SIGHUP and SIGPIPE. Those that are ignored (nohup, a background job of a
 * script) stay so for now: the command is to be given what memtrace was given. Returns 0 or -errno.
 */
int signals_open(void);

/* Once the command was forked, or where there is none: catches SIGINT even if it was ignored, so that
 * kill -INT ends a trace that a script runs in the background. */
void signals_catch_ignored(void);

/* Readable when an event waits. */
int signals_fd(void);

/* Takes the next event; false when there is none. */
bool signals_next(struct signal_event *event);

/* From here on, after so many more of them, a signal ends the program from the handler with 128+N:
 * what goes on now (a last report) need not be waited for. */
void signals_end_at_once(int after);

/* Dispositions become the default again. */
void signals_close(void);

#endif
