// SPDX-License-Identifier: MIT
/* signals.c - a self-pipe: the handler writes what came, the loop reads it. */
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* What a handler can reach; see signals.h. */
static int signal_pipe[2] = { -1, -1 };
static volatile sig_atomic_t end_after = -1; /* events still let by; -1: all */

/* The last one sent by a process, to know its double. */
static struct {
	int number;
	pid_t sender;
	int64_t time_ns;
} last;

#define DOUBLE_NS 5000000

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };

/* timeout(1) and others signal the process and then its whole group: two signals, one wish. Nobody
 * presses a key that fast, and a key has no sender. */
static bool is_double(int number, const siginfo_t *info)
{
	struct timespec now;
	int64_t now_ns;
	bool is_double;

	if (info->si_code > 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
	is_double = last.number == number && last.sender == info->si_pid &&
		    now_ns - last.time_ns < DOUBLE_NS;
	last.number = number;
	last.sender = info->si_pid;
	last.time_ns = now_ns;
	return is_double;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	/* kill, sigqueue and tgkill have codes of at most 0; a terminal's Ctrl-C is SI_KERNEL. */
	struct signal_event event = { number, info->si_code > 0 };
	int saved = errno;
	ssize_t written;

	(void)context;
	if (is_double(number, info))
		return;
	if (!end_after)
		_exit(128 + number);
	if (end_after > 0)
		end_after--;
	/* A full pipe means that plenty of events wait already: nothing is lost. */
	written = write(signal_pipe[1], &event, sizeof(event));
	(void)written;
	errno = saved;
}

static void on_nothing(int number)
{
	(void)number;
}

static void catch(int number)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	/* One handler at a time. */
	sigfillset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

static bool is_ignored(int number)
{
	struct sigaction action;

	return !sigaction(number, NULL, &action) && action.sa_handler == SIG_IGN;
}

int signals_open(void)
{
	struct sigaction nothing = { .sa_handler = on_nothing, .sa_flags = SA_RESTART };

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		if (!is_ignored(caught[i]))
			catch(caught[i]);
	sigemptyset(&nothing.sa_mask);
	if (!is_ignored(SIGPIPE))
		sigaction(SIGPIPE, &nothing, NULL);
	return 0;
}

void signals_catch_ignored(void)
{
	catch(SIGINT);
}

int signals_fd(void)
{
	return signal_pipe[0];
}

bool signals_next(struct signal_event *event)
{
	struct signal_event read_event;

	if (read(signal_pipe[0], &read_event, sizeof(read_event)) != sizeof(read_event))
		return false;
	*event = read_event;
	return true;
}

void signals_end_at_once(int after)
{
	end_after = after;
}

void signals_close(void)
{
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		if (!is_ignored(caught[i]))
			signal(caught[i], SIG_DFL);
	for (int i = 0; i < 2; i++) {
		if (signal_pipe[i] >= 0)
			close(signal_pipe[i]);
		signal_pipe[i] = -1;
	}
	end_after = -1;
}
