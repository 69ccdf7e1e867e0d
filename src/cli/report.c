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
	int fd;

	if (asprintf(&name, "%s.%d.tmp", path, (int)getpid()) < 0)
		return -ENOMEM;
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0) {
		fd = -errno;
		free(name);
		return fd;
	}
	/* Best effort: a report that has another owner is better than none. */
	if (!stat(path, &old) && (fchown(fd, old.st_uid, old.st_gid) || fchmod(fd, old.st_mode & 0777)))
		errno = 0;
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

static int write_json(struct report *report, const struct memtrace_snapshot *snapshot,
		      struct message *why)
{
	struct analysis_params params = { .leaks.min_bytes = report->options->min_size_bytes };
	struct strbuf text = STRBUF_INIT;
	struct analysis analysis;
	int err;

	if (report->json_fd < 0 && !report->json_path)
		return 0;
	err = analysis_init(&analysis, snapshot, &params);
	if (!err) {
		err = json_report(snapshot, &analysis, &text);
		analysis_fini(&analysis);
	}
	if (!err)
		err = report->json_path ? replace(report->json_path, &text) :
					  strbuf_write(&text, report->json_fd);
	strbuf_fini(&text);
	return err ? cannot_write(report->options->json, err, why) : 0;
}
