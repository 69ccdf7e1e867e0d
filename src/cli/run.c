// SPDX-License-Identifier: MIT
/*
 * run.c - the session loop: set up, wait for news, signals and clocks, report, end.
 *
 * Everything before memtrace_start() may fail and then leaves nothing behind; after it the way out
 * is always the same: detach, take the final snapshot, report it, judge it.
 */
#include "cli/run.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/units.h"
#include "cli/crossings.h"
#include "cli/gates.h"
#include "cli/overhead.h"
#include "cli/report.h"
#include "cli/say.h"
#include "cli/signals.h"
#include "cli/target.h"
#include "cli/tree.h"
#include "cli/watch.h"
#include "memtrace/memtrace.h"

#define NEVER 1e300
#define WAIT_MAX_S 1.0	 /* look around at least this often */
#define STRAGGLERS_S 0.5 /* what the end of a command's tree may take before it is remarkable */

enum ending { GOING_ON, TARGETS_ENDED, DURATION_OVER, TOO_DEAR, INTERRUPTED, TERMINATED, BROKEN };

struct run {
	const struct cli_options *options;
	struct report report;
	struct memtrace *session;
	bool launched;
	pid_t command; /* 0 unless launched */

	enum ending ending;
	unsigned int interrupts;
	bool failed; /* said why already */

	bool trouble_said;

	double ready_at, next_report, ends_at, command_ended_at;
	bool wait_said;

	struct overhead_news overhead;
	struct watch watch;
	struct crossings crossings;
	uint64_t crossings_heard; /* when last looked */

	uint64_t reported_allocs, reported_frees, reported_bytes;
	double reported_at; /* snapshot time */
};

/* ---- saying ------------------------------------------------------------------------------------ */

#define remark(run, ...) ((run)->options->quiet ? (void)0 : say(__VA_ARGS__))

static int session_failed(struct run *run, int err)
{
	struct message why;

	run->failed = true;
	target_error(run->session, err, &why);
	say("%s", why.text);
	return err;
}

static int failed(struct run *run, int err, const struct message *why)
{
	run->failed = true;
	say("%s", why->text);
	return err;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- setting up -------------------------------------------------------------------------------- */

/* A signal before there is anything to report. */
static bool given_up(struct run *run)
{
	struct signal_event event;

	if (!signals_next(&event))
		return false;
	run->ending = event.number == SIGINT ? INTERRUPTED : TERMINATED;
	return true;
}

static void tell_ready(struct run *run)
{
	int fd = run->options->ready_fd;

	say("ready");
	if (fd < 0)
		return;
	if (write(fd, "\n", 1) != 1)
		say("--ready-fd %d: %s (its reader is gone)", fd, strerror(errno));
	/* A reader that waits for the end of the file is answered too. */
	if (fd > STDERR_FILENO)
		close(fd);
}

static int check_ready_fd(struct run *run)
{
	int fd = run->options->ready_fd;
	struct message why;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETFL) < 0 || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		message_set(&why, -EBADF,
			    "--ready-fd %d: it is not open for writing (open it in the caller: "
			    "memtrace --ready-fd %d ... %d>file)",
			    fd, fd, fd);
		return failed(run, -EBADF, &why);
	}
	/* Not the command's business. */
	if (fd > STDERR_FILENO)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* A directory that was asked for and cannot be used is an error; the default one is just not used. */
static int check_cache_dir(struct run *run)
{
	const char *dir = run->options->cache_dir, *why_not = NULL;
	struct message why;
	struct stat st;

	if (!dir)
		return 0;
	if (lstat(dir, &st))
		why_not = strerror(errno);
	else if (S_ISLNK(st.st_mode))
		why_not = "it is a symbolic link";
	else if (!S_ISDIR(st.st_mode))
		why_not = "it is not a directory";
	else if (st.st_uid != geteuid())
		why_not = "it belongs to somebody else";
	else if (st.st_mode & 022)
		why_not = "others can write in it";
	if (!why_not)
		return 0;
	message_set(&why, -EINVAL, "--cache-dir %s: %s (give a directory of your own, mode 700)", dir,
		    why_not);
	return failed(run, -EINVAL, &why);
}

/* Everything up to memtrace_start(). A non-zero return without .failed was a signal. */
static int set_up(struct run *run)
{
	char cache_dir[PATH_MAX];
	struct memtrace_options options =
		target_session_options(run->options, cache_dir, sizeof(cache_dir));
	struct message why;
	int err;

	err = check_ready_fd(run);
	if (!err)
		err = check_cache_dir(run);
	if (err)
		return err;
	err = report_init(&run->report, run->options, &why);
	if (err)
		return failed(run, err, &why);
	err = signals_open();
	if (err) {
		message_set(&why, err, "cannot make a pipe: %s (raise the limit of open files)",
			    strerror(-err));
		return failed(run, err, &why);
	}
	err = memtrace_open(&options, &run->session);
	if (err)
		return session_failed(run, err);
	if (given_up(run))
		return -EINTR;
	err = target_choose(run->session, run->options, &run->command, &why);
	if (err)
		return failed(run, err, &why);
	signals_catch_ignored();
	if (given_up(run))
		return -EINTR;
	err = memtrace_start(run->session);
	return err ? session_failed(run, err) : 0;
}

/* ---- reporting --------------------------------------------------------------------------------- */

/* Snapshots are also taken between reports (for a crossing), so a report's rates are made here: of
 * the time since the report before. */
static void set_rates(struct run *run, struct memtrace_snapshot *snapshot)
{
	const struct memtrace_totals *totals = &snapshot->totals;
	double time_s = snapshot->duration_s - run->reported_at;

	if (time_s > 0 && totals->allocs >= run->reported_allocs &&
	    totals->frees >= run->reported_frees && totals->alloc_bytes >= run->reported_bytes) {
		snapshot->interval_s = time_s;
		snapshot->alloc_rate = (double)(totals->allocs - run->reported_allocs) / time_s;
		snapshot->free_rate = (double)(totals->frees - run->reported_frees) / time_s;
		snapshot->alloc_bytes_rate =
			(double)(totals->alloc_bytes - run->reported_bytes) / time_s;
	}
	run->reported_at = snapshot->duration_s;
	run->reported_allocs = totals->allocs;
	run->reported_frees = totals->frees;
	run->reported_bytes = totals->alloc_bytes;
}

/* A destination without a reader ends the trace; other trouble (a full disk) may be over by the
 * next report, and only the final one counts. */
static int report_live(struct run *run)
{
	struct memtrace_snapshot *snapshot;
	struct message why;
	int err;

	err = memtrace_snapshot_take(run->session, &snapshot);
	if (err)
		return session_failed(run, err);
	crossings_say(&run->crossings, &run->report, snapshot);
	set_rates(run, snapshot);
	watch_take(&run->watch, &run->report, snapshot);
	err = report_write(&run->report, snapshot, &why);
	memtrace_snapshot_free(snapshot);
	if (err == -EPIPE)
		return failed(run, err, &why);
	if (err && !run->trouble_said)
		say("%s", why.text);
	run->trouble_said = err != 0;
	return 0;
}

/* Tells a crossing as soon as the session has seen it; the snapshot has its stack. */
static int look_for_crossings(struct run *run)
{
	uint64_t heard = memtrace_limit_crossings(run->session);
	struct memtrace_snapshot *snapshot;
	int err;

	if (run->crossings_heard == heard)
		return 0;
	run->crossings_heard = heard;
	err = memtrace_snapshot_take(run->session, &snapshot);
	if (err)
		return session_failed(run, err);
	crossings_say(&run->crossings, &run->report, snapshot);
	memtrace_snapshot_free(snapshot);
	return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static int exit_code_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static bool command_runs(struct run *run)
{
	int wait_status;

	return run->launched && memtrace_command_status(run->session, &wait_status) == -EAGAIN;
}

/* A command that shares our process group has had a terminal's Ctrl-C already. */
static void pass_on(struct run *run, const struct signal_event *event)
{
	if (!event->from_terminal || getpgid(run->command) != getpgrp())
		kill(run->command, event->number);
}

static void handle_signal(struct run *run, const struct signal_event *event)
{
	if (event->number != SIGINT) {
		run->ending = TERMINATED;
		return;
	}
	run->interrupts++;
	if (run->interrupts == 1 && command_runs(run))
		pass_on(run, event);
	else
		run->ending = INTERRUPTED;
}

static void handle_signals(struct run *run)
{
	struct signal_event event;

	while (signals_next(&event)) {
		/* Asked again while on the way out already. */
		if (run->ending && !run->launched)
			_exit(128 + event.number);
		handle_signal(run, &event);
	}
}

/* What is left when the command ended but others of its tree run on. */
static void watch_stragglers(struct run *run, int running)
{
	int wait_status;

	if (!run->launched || !running ||
	    memtrace_command_status(run->session, &wait_status))
		return;
	if (run->command_ended_at == NEVER)
		run->command_ended_at = now_s();
	if (now_s() < run->command_ended_at + STRAGGLERS_S)
		return;
	if (run->interrupts) {
		run->ending = INTERRUPTED;
	} else if (!run->wait_said) {
		run->wait_said = true;
		remark(run,
		       "the command ended (status %d); waiting for %s of its tree "
		       "(Ctrl-C ends the trace)",
		       exit_code_of(wait_status),
		       running == 1 ? "1 process" : units_counted((uint64_t)running, "processe").text);
	}
}

static double earlier(double a, double b)
{
	return a < b ? a : b;
}

/* Sleeps until there is news, a signal, or something is due. */
static void wait_for_something(struct run *run)
{
	struct pollfd fds[] = {
		{ .fd = memtrace_fd(run->session), .events = POLLIN },
		{ .fd = signals_fd(), .events = POLLIN },
	};
	double now = now_s(), until = now + WAIT_MAX_S;

	until = earlier(until, earlier(run->next_report, run->ends_at));
	until = earlier(until, watch_due_s(&run->watch));
	if (run->command_ended_at != NEVER && !run->wait_said)
		until = earlier(until, run->command_ended_at + STRAGGLERS_S);
	/* Rounded up, or the last millisecond would be spent spinning. */
	poll(fds, 2, until > now ? (int)((until - now) * 1000) + 1 : 0);
}

/* Named processes come and go; targets given by pid or launched end the trace when they end. */
static bool ends_with_targets(const struct run *run)
{
	return run->launched || run->options->target == CLI_TARGET_PID;
}

static int step(struct run *run)
{
	int running, err;

	wait_for_something(run);
	handle_signals(run);
	running = memtrace_poll(run->session, 0);
	if (running == -EINTR)
		return 0;
	if (running < 0)
		return session_failed(run, running);
	err = look_for_crossings(run);
	if (err)
		return err;
	watch_stragglers(run, running);
	overhead_news_say(&run->overhead, run->options, run->session);
	if (run->ending)
		return 0;
	err = watch_step(&run->watch, run->session, &run->report, now_s());
	if (err)
		return session_failed(run, err);
	if (!running && ends_with_targets(run)) {
		run->ending = TARGETS_ENDED;
	} else if (memtrace_overhead_passed(run->session)) {
		run->ending = TOO_DEAR;
	} else if (now_s() >= run->ends_at) {
		run->ending = DURATION_OVER;
	} else if (now_s() >= run->next_report) {
		err = report_live(run);
		/* Reports that fell due meanwhile are left out, the beat is kept. */
		while (run->next_report <= now_s())
			run->next_report += run->options->interval_s;
	}
	return err;
}

static void trace(struct run *run)
{
	const struct cli_options *options = run->options;

	run->ready_at = now_s();
	run->next_report = options->interval_s > 0 ? run->ready_at + options->interval_s : NEVER;
	run->ends_at = options->duration_s > 0 ? run->ready_at + options->duration_s : NEVER;
	run->command_ended_at = NEVER;
	watch_begin(&run->watch, &run->report, run->ready_at);
	while (!run->ending)
		if (step(run))
			run->ending = BROKEN;
}

/* ---- ending ------------------------------------------------------------------------------------ */

/* Nobody is left stopped without a word, or running without one where memtrace started it. */
static void say_what_is_left(struct run *run, const struct memtrace_snapshot *snapshot)
{
	struct strbuf pids = STRBUF_INIT;

	if (run->ending == TARGETS_ENDED)
		return;
	if (run->options->on_limit == CLI_LIMIT_STOP && tree_put_all_stopped(snapshot, &pids))
		say("detached; who crossed the limit may still be stopped (continue: kill -CONT %s)",
		    strbuf_text(&pids));
	else if (command_runs(run) && run->ending == TOO_DEAR)
		remark(run, "detached; the command runs on (pid %d), memtrace waits for its status",
		       (int)run->command);
	else if (command_runs(run))
		remark(run, "detached; the command runs on (pid %d)", (int)run->command);
	strbuf_fini(&pids);
}

/* Untraced now; its status is still to be had. */
static void await_command(struct run *run)
{
	struct pollfd fds[] = {
		{ .fd = pidfd_open(run->command, 0), .events = POLLIN },
		{ .fd = signals_fd(), .events = POLLIN },
	};

	while (run->ending == TOO_DEAR && command_runs(run)) {
		poll(fds, 2, fds[0].fd < 0 ? (int)(WAIT_MAX_S * 1000) : -1);
		handle_signals(run);
	}
	if (fds[0].fd >= 0)
		close(fds[0].fd);
}

/* The command's own status, or why it has none. */
static int status_of(struct run *run)
{
	int wait_status;

	if (!run->launched)
		return EXIT_TRACED;
	if (!memtrace_command_status(run->session, &wait_status))
		return exit_code_of(wait_status);
	if (run->ending == INTERRUPTED)
		return 128 + SIGINT;
	if (run->ending == TERMINATED)
		return 128 + SIGTERM;
	return EXIT_TRACED;
}

static int judge(struct run *run, const struct memtrace_snapshot *snapshot, int status)
{
	struct strbuf why = STRBUF_INIT;
	bool tripped = false;
	int err = gates_check(run->options, snapshot, &tripped, &why);

	if (err) {
		say("--fail-on could not be judged: %s (free some memory)", strerror(-err));
		run->failed = true;
	}
	say_lines(&why);
	strbuf_fini(&why);
	return tripped ? EXIT_GATE : status;
}

static int finish(struct run *run)
{
	struct memtrace_snapshot *snapshot;
	struct message why;
	int err, status;

	/* What follows may take a moment; who asked for it and cannot wait presses Ctrl-C again. A
	 * first Ctrl-C that crosses an end by itself only asks for what happens anyway. */
	signals_end_at_once(run->ending == INTERRUPTED || run->ending == TERMINATED ? 0 : 1);
	/* With nothing left to trace the probes can go later: the time of the report is that of the
	 * targets, not of our cleaning up. */
	err = run->ending == TARGETS_ENDED ? 0 : memtrace_detach(run->session);
	if (err)
		session_failed(run, err);
	err = memtrace_snapshot_take(run->session, &snapshot);
	if (err) {
		session_failed(run, err);
		return EXIT_FAILED;
	}
	crossings_say(&run->crossings, &run->report, snapshot);
	say_what_is_left(run, snapshot);
	set_rates(run, snapshot);
	watch_take(&run->watch, &run->report, snapshot);
	err = report_write(&run->report, snapshot, &why);
	if (err && run->ending != BROKEN)
		failed(run, err, &why);
	report_losses(&run->report, snapshot);
	if (run->ending == TOO_DEAR && run->launched)
		await_command(run);
	status = judge(run, snapshot, status_of(run));
	memtrace_snapshot_free(snapshot);
	return run->failed ? EXIT_FAILED : status;
}

int run(const struct cli_options *options)
{
	struct run run = {
		.options = options,
		.launched = options->target == CLI_TARGET_COMMAND,
		.report = { .text_fd = -1, .json_fd = -1 },
	};
	int status = EXIT_FAILED;

	if (!set_up(&run)) {
		tell_ready(&run);
		trace(&run);
		status = finish(&run);
	} else if (!run.failed) {
		status = 128 + (run.ending == INTERRUPTED ? SIGINT : SIGTERM);
	}
	memtrace_close(run.session);
	report_fini(&run.report);
	signals_close();
	crossings_fini(&run.crossings);
	watch_fini(&run.watch);
	return status;
}
