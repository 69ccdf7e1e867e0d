// SPDX-License-Identifier: MIT
#include "parts/variant.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/process.h"
#include "parts/floor.h"

#define PRELOAD_NAME "libmemtrace-preload.so"
#define MEMLEAK_WAIT_S 60

struct rig {
	const struct place *place;
	struct floor *floor, *preload_floor; /* made when first used */
	struct child memleak;
	bool memleak_runs;
	char stderr_path[4096];
};

struct rig *rig_new(const struct place *place)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	if (!rig)
		return NULL;
	rig->place = place;
	snprintf(rig->stderr_path, sizeof(rig->stderr_path), "%s/stderr", place->scratch);
	return rig;
}

void rig_free(struct rig *rig)
{
	if (!rig)
		return;
	floor_free(rig->floor);
	floor_free(rig->preload_floor);
	free(rig);
}

const char *rig_stderr(const struct rig *rig)
{
	return rig->stderr_path;
}

/* ---- what tools wrote ----------------------------------------------------------------------- */

/* A file as a string, owned by the caller; NULL. */
static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	struct strbuf text;
	char bytes[65536];
	size_t len;

	strbuf_init(&text);
	while (f && (len = fread(bytes, 1, sizeof(bytes), f)))
		strbuf_add(&text, bytes, len);
	if (f)
		fclose(f);
	return text.text;
}

/* The number behind the marks, one after another; blanks before it and commas in it are skipped. */
static bool find_figure(const char *text, const char *mark, const char *next_mark, uint64_t *figure)
{
	const char *at = text ? strstr(text, mark) : NULL;

	if (at && next_mark)
		at = strstr(at, next_mark);
	if (!at)
		return false;
	at += strlen(next_mark ? next_mark : mark);
	at += strspn(at, " \t");
	if (*at < '0' || *at > '9')
		return false;
	for (*figure = 0; (*at >= '0' && *at <= '9') || *at == ','; at++)
		if (*at != ',')
			*figure = *figure * 10 + (uint64_t)(*at - '0');
	return true;
}

/* How it ended, and the first line it wrote, or the first of memtrace's. */
static void quote_stderr(const char *path, int status, char *why)
{
	char *text = read_text(path);
	const char *line = text ? strstr(text, "memtrace: ") : NULL;

	if (!line)
		line = text ? text : "";
	if (WIFSIGNALED(status))
		snprintf(why, GRID_WHY, "killed by signal %d: %.*s", WTERMSIG(status),
			 (int)strcspn(line, "\n"), line);
	else
		snprintf(why, GRID_WHY, "status %d: %.*s", WEXITSTATUS(status),
			 (int)strcspn(line, "\n"), line);
	free(text);
}

/* ---- floors --------------------------------------------------------------------------------- */

static int floor_failed(int err, char *why)
{
	if (err)
		snprintf(why, GRID_WHY, "cannot place its probes: %s", strerror(-err));
	return err;
}

static int attach_floor(struct rig *rig, const struct child *child, char *why)
{
	if (!rig->floor)
		rig->floor = floor_new(rig->place->build, true);
	return floor_failed(floor_attach(rig->floor, child->pid, FLOOR_EMPTY), why);
}

static void detach_floor(struct rig *rig)
{
	if (rig->floor)
		floor_detach(rig->floor);
	if (rig->preload_floor)
		floor_detach(rig->preload_floor);
}

/* The target has a copy of the library that nobody else maps. */
static int copy_library(const struct place *place, char *copy, size_t len)
{
	char path[4096];
	struct stat st;
	ssize_t copied = -1;
	int from, to;

	snprintf(path, sizeof(path), "%s/" PRELOAD_NAME, place->build);
	snprintf(copy, len, "%s/" PRELOAD_NAME, place->scratch);
	from = open(path, O_RDONLY | O_CLOEXEC);
	to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (from >= 0 && to >= 0 && !fstat(from, &st))
		copied = sendfile(to, from, NULL, (size_t)st.st_size);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return copied > 0 && copied == st.st_size ? 0 : -EIO;
}

static void compose_preload_floor(const struct variant *v, struct rig *rig, struct command *command)
{
	char copy[4096];

	(void)v;
	if (copy_library(rig->place, copy, sizeof(copy)))
		command->failed = true;
	command_export(command, "LD_PRELOAD=%s", copy);
}

static int attach_preload_floor(struct rig *rig, const struct child *child, char *why)
{
	char copy[4096];

	(void)child;
	snprintf(copy, sizeof(copy), "%s/" PRELOAD_NAME, rig->place->scratch);
	if (!rig->preload_floor)
		rig->preload_floor = floor_new(rig->place->build, false);
	return floor_failed(floor_attach_preload(rig->preload_floor, copy), why);
}

/* ---- memtrace ------------------------------------------------------------------------------- */

static void compose_memtrace(const struct variant *v, struct rig *rig, struct command *command)
{
	command_add(command, "%s", rig->place->memtrace);
	command_add(command, "--quiet");
	command_add(command, "--user");
	command_add(command, "root"); /* as everybody else here, under sudo too */
	command_add(command, "--json");
	command_add(command, "%s/report.json", rig->place->scratch);
	for (size_t i = 0; i < 4 && v->options[i]; i++)
		command_add(command, "%s", v->options[i]);
	command_add(command, "--");
}

static int count_memtrace(struct rig *rig, uint64_t *allocs, char *why)
{
	uint64_t losses = 1;
	char path[4096], *text;
	int err = 0;

	snprintf(path, sizeof(path), "%s/report.json", rig->place->scratch);
	text = read_text(path);
	unlink(path); /* not taken for the next run's */
	if (!find_figure(text, "\"totals\":{", "\"allocs\":", allocs) ||
	    !find_figure(text, "\"losses\":{", "\"total\":", &losses)) {
		snprintf(why, GRID_WHY, "no report, or one without totals");
		err = -EIO;
	} else if (losses) {
		snprintf(why, GRID_WHY, "%lu losses", (unsigned long)losses);
		err = -EIO;
	}
	free(text);
	return err;
}

/* ---- others --------------------------------------------------------------------------------- */

static void compose_heaptrack(const struct variant *v, struct rig *rig, struct command *command)
{
	command_add(command, "%s", v->needs);
	command_add(command, "-o");
	command_add(command, "%s/heaptrack", rig->place->scratch);
}

static int count_heaptrack(struct rig *rig, uint64_t *allocs, char *why)
{
	char *text = read_text(rig->stderr_path);
	bool found = find_figure(text, "heaptrack stats:", "allocations:", allocs);

	free(text);
	if (!found)
		snprintf(why, GRID_WHY, "heaptrack told no number of allocations");
	return found ? 0 : -EIO;
}

static void compose_valgrind(const struct variant *v, struct rig *rig, struct command *command)
{
	command_add(command, "%s", v->needs);
	for (size_t i = 0; i < 4 && v->options[i]; i++)
		command_add(command, "%s", v->options[i]);
	command_add(command, "--%s-out-file=%s/%s.out", v->name, rig->place->scratch, v->name);
}

static int count_dhat(struct rig *rig, uint64_t *allocs, char *why)
{
	char *text = read_text(rig->stderr_path);
	bool found = find_figure(text, "Total:", "bytes in ", allocs);

	free(text);
	if (!found)
		snprintf(why, GRID_WHY, "DHAT told no number of blocks");
	return found ? 0 : -EIO;
}

static void see_allocator(void *ctx, const struct process_map *map)
{
	const char *name = strrchr(map->path, '/');

	if (name && strstr(name, "malloc"))
		*(bool *)ctx = true;
}

/* It is in place when it has reported for the first time. */
static int attach_memleak(struct rig *rig, const struct child *child, char *why)
{
	bool other_allocator = false;
	struct command command;
	char errors[4096];
	int err, status;

	process_each_map(child->pid, see_allocator, &other_allocator);
	if (other_allocator) {
		snprintf(why, GRID_WHY,
			 "it would see nothing: the program has an allocator that is not libc's");
		return -ENOTSUP;
	}
	snprintf(errors, sizeof(errors), "%s/memleak.err", rig->place->scratch);
	command_init(&command);
	command_export(&command, "PYTHONUNBUFFERED=1");
	command_add(&command, "stdbuf");
	command_add(&command, "-oL");
	command_add(&command, "%s", rig->place->memleak);
	command_add(&command, "-p");
	command_add(&command, "%d", child->pid);
	command_add(&command, "1");
	err = child_start(&rig->memleak, &command, errors, MEMLEAK_WAIT_S);
	command_fini(&command);
	if (err) {
		snprintf(why, GRID_WHY, "%s", strerror(-err));
		return err;
	}
	rig->memleak_runs = child_await(&rig->memleak, "outstanding allocations", 0);
	if (rig->memleak_runs)
		return 0;
	child_end(&rig->memleak, &status);
	child_fini(&rig->memleak);
	quote_stderr(errors, status, why);
	return -ENOTSUP;
}

static void detach_memleak(struct rig *rig)
{
	int status;

	if (!rig->memleak_runs)
		return;
	kill(rig->memleak.pid, SIGINT);
	rig->memleak.deadline_s = now_s() + MEMLEAK_WAIT_S;
	child_end(&rig->memleak, &status);
	child_fini(&rig->memleak);
	rig->memleak_runs = false;
}

/* ---- all ------------------------------------------------------------------------------------ */

#define MEMTRACE .compose = compose_memtrace, .count = count_memtrace, .kind = GRID_OURS
#define VALGRIND .compose = compose_valgrind, .needs = "valgrind", .kind = GRID_PEER
#define PRELOAD "--lane", "preload"

/* The first is what all others are compared with. */
const struct variant variants[] = {
	{ .name = "untraced", .title = "untraced", .amount = AMOUNT_FULL, .every = 1 },
	{ .name = "floor-uprobe",
	  .title = "floor of the uprobe lane",
	  .kind = GRID_FLOOR,
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .attach = attach_floor,
	  .detach = detach_floor },
	{ .name = "floor-preload",
	  .title = "floor of the preload lane",
	  .kind = GRID_FLOOR,
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .compose = compose_preload_floor,
	  .attach = attach_preload_floor,
	  .detach = detach_floor },
	{ .name = "uprobe",
	  .title = "memtrace, uprobe lane",
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .options = { "--lane", "uprobe" },
	  MEMTRACE },
	{ .name = "exact",
	  .title = "memtrace, preload, exact",
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .options = { PRELOAD },
	  MEMTRACE },
	{ .name = "sampled-50",
	  .title = "memtrace, preload, 50 %",
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .options = { PRELOAD, "--sampling-rate", "0.5" },
	  .sample_rate = 0.5,
	  MEMTRACE },
	{ .name = "sampled-10",
	  .title = "memtrace, preload, 10 %",
	  .amount = AMOUNT_SAMPLED,
	  .every = 1,
	  .options = { PRELOAD, "--sampling-rate", "0.1" },
	  .sample_rate = 0.1,
	  MEMTRACE },
	{ .name = "sampled-512k",
	  .title = "memtrace, preload, 512 KiB",
	  .amount = AMOUNT_FULL,
	  .every = 1,
	  .options = { PRELOAD, "--sample-bytes", "524288" },
	  .sample_bytes = 524288,
	  MEMTRACE },
	{ .name = "heaptrack",
	  .title = "heaptrack",
	  .kind = GRID_PEER,
	  .amount = AMOUNT_TRACED,
	  .every = 3,
	  .needs = "heaptrack",
	  .compose = compose_heaptrack,
	  .count = count_heaptrack },
	{ .name = "dhat",
	  .title = "valgrind DHAT",
	  .amount = AMOUNT_SIMULATED,
	  .every = 6,
	  .options = { "--tool=dhat", "--num-callers=30" },
	  .count = count_dhat,
	  VALGRIND },
	{ .name = "massif",
	  .title = "valgrind massif",
	  .amount = AMOUNT_SIMULATED,
	  .every = 6,
	  .options = { "--tool=massif" },
	  VALGRIND },
	{ .name = "memleak",
	  .title = "bcc memleak",
	  .kind = GRID_PEER,
	  .amount = AMOUNT_CRAWLING,
	  .every = 6,
	  .attach = attach_memleak,
	  .detach = detach_memleak },
};

const size_t variant_cnt = sizeof(variants) / sizeof(variants[0]);

int variant_missing(const struct variant *v, const struct place *place, char *why)
{
	if (v->attach == attach_memleak && !place->memleak) {
		snprintf(why, GRID_WHY, "not installed (--memleak PROGRAM names one)");
		return -ENOENT;
	}
	if (v->needs && !program_is_there(v->needs)) {
		snprintf(why, GRID_WHY, "not installed");
		return -ENOENT;
	}
	return 0;
}

/* How far an exact or estimated count may be off. What programs allocate besides their work is
 * little. */
static double tolerance(const struct variant *v, const struct workload *w, double allocs)
{
	const double beside = 64;
	double share = v->sample_rate;

	if (v->sample_bytes > 0)
		share = -expm1(-(double)w->block_bytes / v->sample_bytes);
	if (share <= 0)
		return beside;
	return beside + 6 * sqrt(allocs * (1 - share) / share);
}

int variant_check(const struct variant *v, const struct workload *w, struct rig *rig, int status,
		  const struct measure *measure, uint64_t *allocs, char *why)
{
	double wanted = (double)measure->allocs;
	int err;

	*allocs = 0;
	if (v->kind == GRID_OURS && WIFEXITED(status) && WEXITSTATUS(status) == 2) {
		snprintf(why, GRID_WHY, "not available: this memtrace has no such option");
		return -ENOTSUP;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		quote_stderr(rig->stderr_path, status, why);
		return -EIO;
	}
	if (!v->count)
		return 0;
	err = v->count(rig, allocs, why);
	if (err)
		return err;
	if (*allocs < measure->allocs_least ||
	    (wanted > 0 && fabs((double)*allocs - wanted) > tolerance(v, w, wanted))) {
		snprintf(why, GRID_WHY, "counted %lu allocations instead of %s%lu",
			 (unsigned long)*allocs, wanted > 0 ? "" : "at least ",
			 (unsigned long)(wanted > 0 ? measure->allocs : measure->allocs_least));
		return -EIO;
	}
	return 0;
}
