// SPDX-License-Identifier: MIT
/* report.c - opens the destinations, and writes what output/ makes of a snapshot. */
#include "cli/report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyze/analysis.h"
#include "base/strbuf.h"
#include "cli/tree.h"
#include "model/snapshot.h"
#include "output/json.h"
#include "output/text.h"

/* ---- a file that is replaced ------------------------------------------------------------------ */

static int cannot_write(const char *path, int err, struct message *why)
{
	const char *remedy = "name a file in a directory that memtrace may write to";

	if (err == -EISDIR)
		remedy = "name a file in it";
	else if (err == -ENOENT)
		remedy = "make the directory first";
	else if (err == -ENOSPC)
		remedy = "free some space, or name a file elsewhere";
	else if (err == -EPIPE)
		remedy = "its reader is gone";
	return message_set(why, err, "cannot write --json %.200s: %s (%s)", path, strerror(-err),
			   remedy);
}

/* Makes the file beside path that will become it, as mode and owner of the old one say. Returns its
 * fd; *temporary is the caller's to free, and to unlink. */
static int open_beside(const char *path, char **temporary)
{
	struct stat old;
	char *name;
	int fd, kept;

	if (asprintf(&name, "%s.%d.tmp", path, (int)getpid()) < 0)
		return -ENOMEM;
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0) {
		fd = -errno;
		free(name);
		return fd;
	}
	/* A report that has another owner or mode than the last one is better than none. */
	if (!stat(path, &old)) {
		kept = fchown(fd, old.st_uid, old.st_gid);
		kept = fchmod(fd, old.st_mode & 0777);
		(void)kept;
	}
	*temporary = name;
	return fd;
}

static int try_beside(const char *path)
{
	char *temporary;
	int fd = open_beside(path, &temporary);

	if (fd < 0)
		return fd;
	close(fd);
	unlink(temporary);
	free(temporary);
	return 0;
}

static int replace_now(const char *path, const struct strbuf *text)
{
	char *temporary;
	int fd = open_beside(path, &temporary), err;

	if (fd < 0)
		return fd;
	err = strbuf_write(text, fd);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	free(temporary);
	return err;
}

/* Signals wait meanwhile: one that ends the program would leave the temporary file behind. */
static int replace(const char *path, const struct strbuf *text)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	err = replace_now(path, text);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* ---- destinations ------------------------------------------------------------------------------ */

static int open_json(struct report *report, const char *path)
{
	struct stat stat_buf;

	if (!strcmp(path, "-")) {
		report->json_fd = STDOUT_FILENO;
		return fcntl(STDOUT_FILENO, F_GETFD) < 0 ? -errno : 0;
	}
	if (!stat(path, &stat_buf) && S_ISDIR(stat_buf.st_mode))
		return -EISDIR;
	if (!stat(path, &stat_buf) && !S_ISREG(stat_buf.st_mode)) {
		report->json_fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		report->json_owned = report->json_fd >= 0;
		return report->json_owned ? 0 : -errno;
	}
	/* A link stays a link: what it points to is replaced. */
	report->json_path = realpath(path, NULL);
	if (!report->json_path)
		report->json_path = strdup(path);
	if (!report->json_path)
		return -ENOMEM;
	return try_beside(report->json_path);
}

int report_init(struct report *report, const struct cli_options *options, struct message *why)
{
	bool launched = options->target == CLI_TARGET_COMMAND;
	bool json_on_stdout = options->json && !strcmp(options->json, "-");
	int err;

	*report = (struct report){ .options = options, .text_fd = -1, .json_fd = -1 };
	if (!options->quiet)
		report->text_fd = launched || json_on_stdout ? STDERR_FILENO : STDOUT_FILENO;
	if (!options->json)
		return 0;
	err = open_json(report, options->json);
	if (err) {
		report_fini(report);
		return cannot_write(options->json, err, why);
	}
	return 0;
}

void report_fini(struct report *report)
{
	if (report->json_owned)
		close(report->json_fd);
	free(report->json_path);
	*report = (struct report){ .text_fd = -1, .json_fd = -1 };
}

/* ---- writing ------------------------------------------------------------------------------------ */

static struct text_options text_options(const struct report *report, int fd)
{
	struct text_options options = { .width = 100, .top = report->options->top };
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	struct winsize window;

	if (!isatty(fd))
		return options;
	options.color = term && strcmp(term, "dumb") && !(no_color && *no_color);
	if (!ioctl(fd, TIOCGWINSZ, &window) && window.ws_col)
		options.width = window.ws_col;
	return options;
}

static int write_text(struct report *report, const struct memtrace_snapshot *snapshot,
		      const struct analysis *analysis, struct message *why)
{
	struct text_options options = text_options(report, report->text_fd);
	struct strbuf text = STRBUF_INIT;
	int err;

	/* Reports that follow one another in a log are told apart by an empty line. */
	if (report->written++)
		strbuf_putc(&text, '\n');
	err = text_report(snapshot, analysis, &options, &text);
	if (!err)
		err = strbuf_write(&text, report->text_fd);
	strbuf_fini(&text);
	if (!err)
		return 0;
	return message_set(why, err, "cannot write the report to %s: %s (%s)",
			   report->text_fd == STDOUT_FILENO ? "stdout" : "stderr", strerror(-err),
			   err == -EPIPE ? "its reader is gone" : "send it elsewhere");
}

static int write_json(struct report *report, const struct memtrace_snapshot *snapshot,
		      const struct analysis *analysis, struct message *why)
{
	struct strbuf text = STRBUF_INIT;
	int err;

	err = json_report(snapshot, analysis, &text);
	if (!err)
		err = report->json_path ? replace(report->json_path, &text) :
					  strbuf_write(&text, report->json_fd);
	strbuf_fini(&text);
	return err ? cannot_write(report->options->json, err, why) : 0;
}

int report_write(struct report *report, const struct memtrace_snapshot *snapshot,
		 struct message *why)
{
	struct analysis_params params = {
		.leaks.min_bytes = report->options->min_size_bytes,
		.leaks.min_leak_bytes = report->options->min_leak_bytes,
		.leaks.series = report->series,
	};
	struct analysis analysis;
	int err, text_err = 0;

	err = analysis_init(&analysis, snapshot, &params);
	if (err)
		return message_set(why, err, "cannot make the report: %s (free some memory)",
				   strerror(-err));
	/* A terminal that went away is no reason to lose the file. */
	if (report->json_fd >= 0 || report->json_path)
		err = write_json(report, snapshot, &analysis, why);
	if (report->text_fd >= 0)
		text_err = write_text(report, snapshot, &analysis, err ? NULL : why);
	analysis_fini(&analysis);
	return err ? err : text_err;
}

/* What --on-limit did, and what can be done now. */
static void put_consequence(const struct report *report, const struct memtrace_snapshot *snapshot,
			    const struct memtrace_crossing *crossing, struct strbuf *text)
{
	enum cli_on_limit on_limit = (enum cli_on_limit)report->options->on_limit;
	struct strbuf pids = STRBUF_INIT;
	unsigned int cnt = tree_put_stopped(snapshot, crossing, &pids);
	int crosser = atoi(strbuf_text(&pids));

	/* It was stopped on the kernel's page for return probes, three instructions before its own code;
	 * debuggers cannot see a stack from there. */
	if (cnt && on_limit == CLI_LIMIT_STOP)
		strbuf_printf(text,
			      "memtrace: stopped by --on-limit stop: pid %s "
			      "(continue: kill -CONT %s; debug: gdb -p %d "
			      "-ex 'handle SIGSTOP nopass nostop' -ex 'stepi 3')\n",
			      strbuf_text(&pids), strbuf_text(&pids), crosser);
	else if (cnt && on_limit == CLI_LIMIT_KILL)
		strbuf_printf(text, "memtrace: killed by --on-limit kill: pid %d%s\n", crosser,
			      snapshot->limit.scope == MEMTRACE_LIMIT_TREE ? " and its tree" : "");
	strbuf_fini(&pids);
}

void report_crossing(const struct report *report, const struct memtrace_snapshot *snapshot,
		     const struct memtrace_crossing *crossing)
{
	struct text_options options = text_options(report, STDERR_FILENO);
	struct strbuf text = STRBUF_INIT;

	/* The first line has everything but the stack, and stays one line for who greps. */
	options.width = 0;
	strbuf_puts(&text, "memtrace: ");
	if (!text_limit_news(snapshot, crossing, &options, &text)) {
		put_consequence(report, snapshot, crossing, &text);
		strbuf_write(&text, STDERR_FILENO);
	}
	strbuf_fini(&text);
}

void report_leak(const struct report *report, const struct memtrace_snapshot *snapshot,
		 const struct leaks_result *leaks, const struct leak *leak)
{
	struct text_options options = text_options(report, STDERR_FILENO);
	struct strbuf text = STRBUF_INIT;

	options.width = 0;
	strbuf_puts(&text, "memtrace: ");
	if (!text_leak_news(snapshot, leaks, leak, &options, &text))
		strbuf_write(&text, STDERR_FILENO);
	strbuf_fini(&text);
}

void report_losses(const struct report *report, const struct memtrace_snapshot *snapshot)
{
	struct text_options options = text_options(report, STDERR_FILENO);
	struct strbuf text = STRBUF_INIT;

	if (report->text_fd >= 0 || !snapshot_losses(snapshot))
		return;
	options.width = 0;
	strbuf_puts(&text, "memtrace: ");
	if (!text_losses_news(snapshot, &options, &text))
		strbuf_write(&text, STDERR_FILENO);
	strbuf_fini(&text);
}
