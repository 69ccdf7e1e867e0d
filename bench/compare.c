// SPDX-License-Identifier: MIT
/*
 * compare.c - what tracing costs real programs: memtrace in its lanes, its floors, and the other
 * heap tools that are installed, all in one run.
 *
 *	compare BUILD_DIR [--workloads A,B] [--variants X,Y] [--rounds N] [--memtrace PATH]
 *		[--memleak PATH]
 *
 * Variants take turns, every second round in the other direction; medians are compared. Text goes
 * to stdout and to BUILD_DIR/bench/compare.txt, .json and .svg beside it. A run that did not count
 * right does not count.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/child.h"
#include "parts/grid.h"
#include "parts/plot.h"
#include "parts/quiet.h"
#include "parts/table.h"
#include "parts/variant.h"
#include "parts/workload.h"

#define RUN_S 120  /* no run takes longer */
#define QUIET_S 15 /* so long others are waited for */

struct options {
	const char *workloads, *variants; /* chosen, by comma; NULL: all */
	size_t rounds;
	struct place place;
};

struct comparison {
	struct options options;
	struct grid *grid;
	struct rig *rig;
	const struct workload *workloads[GRID_WORKLOADS]; /* as in grid */
	const struct variant *variants[GRID_VARIANTS];
	struct strbuf text;
};

/* ---- one run -------------------------------------------------------------------------------- */

static const char *explain(int err)
{
	switch (err) {
	case -ETIMEDOUT:
		return "took too long";
	case -EILSEQ:
		return "the program's answers were wrong";
	case -EIO:
		return "the program did not do its work";
	}
	return strerror(-err);
}

/* What an attempt came to. */
struct attempt {
	struct measure measure;
	double start_s, end_s;
	int status; /* of the program */
};

static int work(struct comparison *c, const struct workload *w, const struct variant *v,
		struct child *child, struct attempt *a, char *why)
{
	const struct place *place = &c->options.place;
	double done_s;
	int err, ended;

	err = child_await(child, w->ready, 0) ? 0 : -EPROTO; /* its status tells more */
	if (!err && v->attach)
		err = v->attach(c->rig, child, why);
	a->start_s = now_s() - child->started_s;
	if (!err)
		err = w->work(w, place, w->amounts[v->amount], child, &a->measure);
	done_s = now_s();
	if (v->detach)
		v->detach(c->rig);
	if (w->stop)
		w->stop(place);
	ended = child_end(child, &a->status);
	a->end_s = now_s() - done_s;
	return ended ? ended : err;
}

static int attempt(struct comparison *c, size_t wi, size_t vi, struct attempt *a, char *why)
{
	const struct workload *w = c->workloads[wi];
	const struct variant *v = c->variants[vi];
	struct grid_cell *cell = &c->grid->cells[wi][vi];
	struct command command;
	struct child child;
	int err, checked;

	command_init(&command);
	if (v->compose)
		v->compose(v, c->rig, &command);
	w->compose(w, &c->options.place, w->amounts[v->amount], &command);
	err = child_start(&child, &command, rig_stderr(c->rig), RUN_S);
	command_fini(&command);
	if (err) {
		snprintf(why, GRID_WHY, "%s", explain(err));
		return err;
	}
	err = work(c, w, v, &child, a, why);
	child_fini(&child);
	if (why[0])
		return err;
	checked = variant_check(v, w, c->rig, a->status, &a->measure, &cell->allocs, why);
	if (err && !checked)
		snprintf(why, GRID_WHY, "%s", explain(err));
	return checked ? checked : err;
}

/* In which rounds a variant runs: one that was asked for by name, in all. */
static unsigned int every(const struct comparison *c, size_t vi)
{
	return c->options.variants ? 1 : c->variants[vi]->every;
}

static void run_cell(struct comparison *c, size_t wi, size_t vi, size_t round)
{
	struct grid_cell *cell = &c->grid->cells[wi][vi];
	struct attempt a = { .status = 0 };
	char why[GRID_WHY] = "";
	bool quiet;
	int err;

	if (cell->skipped[0] || round % every(c, vi))
		return;
	quiet = quiet_await(QUIET_S);
	err = attempt(c, wi, vi, &a, why);
	if (!err && (!quiet || !quiet_libc())) {
		snprintf(why, sizeof(why), "somebody else has probes in libc");
		err = -EBUSY;
	}
	if (err == -ENOTSUP) {
		memcpy(cell->skipped, why, sizeof(why));
	} else if (err) {
		cell->rejected++;
		memcpy(cell->why, why, sizeof(why));
		fprintf(stderr, "compare: %s, %s: %s\n", c->workloads[wi]->name,
			c->variants[vi]->name, why);
	} else {
		cell->ns[round] = a.measure.ns;
		cell->start_s[round] = a.start_s;
		cell->end_s[round] = a.end_s;
	}
}

/* Those that run in each round come one after another: a round is then short for what is compared
 * closely. */
static void run_round(struct comparison *c, size_t wi, size_t round)
{
	size_t order[GRID_VARIANTS], cnt = 0;

	for (unsigned int pass = 0; pass < 2; pass++)
		for (size_t vi = 0; vi < c->grid->variant_cnt; vi++)
			if ((every(c, vi) > 1) == pass)
				order[cnt++] = vi;
	for (size_t i = 0; i < cnt; i++)
		run_cell(c, wi, order[round % 2 ? cnt - 1 - i : i], round);
}

static void run_workload(struct comparison *c, size_t wi)
{
	const char *missing = workload_missing(c->workloads[wi]);
	struct busy begin = busy_now(), end;
	size_t from = c->text.len;

	if (missing)
		snprintf(c->grid->workloads[wi].skipped, GRID_WHY, "%s is not installed", missing);
	for (size_t round = 0; round < c->options.rounds && !missing; round++) {
		fprintf(stderr, "compare: %s, round %zu of %zu\n", c->workloads[wi]->name,
			round + 1, c->options.rounds);
		run_round(c, wi, round);
	}
	end = busy_now();
	c->grid->workloads[wi].others = busy_others(&begin, &end);
	table_workload(c->grid, wi, &c->text);
	strbuf_putc(&c->text, '\n');
	fputs(strbuf_text(&c->text) + from, stdout);
	fflush(stdout);
}

/* ---- what is chosen ------------------------------------------------------------------------- */

static bool chosen(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
		if (!strncmp(at, name, len) && (!at[len] || at[len] == ','))
			return true;
	return !list;
}

/* Every word of the list must be a name. */
static void check_list(const char *what, const char *list, const char *(*name_of)(size_t),
		       size_t cnt)
{
	while (list && *list) {
		size_t len = strcspn(list, ","), i = 0;

		while (i < cnt && (strlen(name_of(i)) != len || strncmp(list, name_of(i), len)))
			i++;
		if (i == cnt) {
			fprintf(stderr, "compare: '%.*s' is no %s; there are:", (int)len, list,
				what);
			for (i = 0; i < cnt; i++)
				fprintf(stderr, " %s", name_of(i));
			fputc('\n', stderr);
			exit(2);
		}
		list += len + (list[len] == ',');
	}
}

static const char *workload_name(size_t i)
{
	return workloads[i].name;
}

static const char *variant_name(size_t i)
{
	return variants[i].name;
}

static void choose(struct comparison *c)
{
	struct grid *grid = c->grid;

	assert(workload_cnt <= GRID_WORKLOADS && variant_cnt <= GRID_VARIANTS);
	for (size_t i = 0; i < workload_cnt; i++) {
		const struct workload *w = &workloads[i];

		if (!chosen(c->options.workloads, w->name))
			continue;
		c->workloads[grid->workload_cnt] = w;
		grid->workloads[grid->workload_cnt++] = (struct grid_workload){ .name = w->name,
										.title = w->title,
										.unit = w->unit };
	}
	for (size_t i = 0; i < variant_cnt; i++) {
		const struct variant *v = &variants[i];
		char why[GRID_WHY] = "";

		if (i && !chosen(c->options.variants, v->name))
			continue;
		variant_missing(v, &c->options.place, why);
		for (size_t wi = 0; wi < grid->workload_cnt; wi++)
			memcpy(grid->cells[wi][grid->variant_cnt].skipped, why, sizeof(why));
		c->variants[grid->variant_cnt] = v;
		grid->variants[grid->variant_cnt++] = (struct grid_variant){ .name = v->name,
									     .title = v->title,
									     .kind = v->kind };
	}
	grid->round_cnt = c->options.rounds;
}

static void describe_machine(char *machine)
{
	char line[256], model[128] = "unknown processor";
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname name;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f)
		fclose(f);
	uname(&name);
	snprintf(machine, GRID_WHY, "%.24s %.48s, %ld x %.60s", name.sysname, name.release,
		 sysconf(_SC_NPROCESSORS_ONLN), model);
}

/* ---- the command line ----------------------------------------------------------------------- */

static void usage(void)
{
	fprintf(stderr, "usage: compare BUILD_DIR [--workloads A,B] [--variants X,Y] [--rounds N]\n"
			"               [--memtrace PATH] [--memleak PATH]\nworkloads:");
	for (size_t i = 0; i < workload_cnt; i++)
		fprintf(stderr, " %s", workloads[i].name);
	fprintf(stderr, "\nvariants:");
	for (size_t i = 0; i < variant_cnt; i++)
		fprintf(stderr, " %s", variants[i].name);
	fputc('\n', stderr);
	exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = { { "workloads", required_argument, NULL, 'w' },
					       { "variants", required_argument, NULL, 'v' },
					       { "rounds", required_argument, NULL, 'r' },
					       { "memtrace", required_argument, NULL, 'm' },
					       { "memleak", required_argument, NULL, 'l' },
					       { NULL, 0, NULL, 0 } };
	static const char *const names[] = { "memleak-libbpf", "memleak-bpfcc" }; /* Debian's */
	int letter;

	*o = (struct options){ .rounds = 7 };
	while ((letter = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (letter) {
		case 'w':
			o->workloads = optarg;
			break;
		case 'v':
			o->variants = optarg;
			break;
		case 'r':
			o->rounds = (size_t)atol(optarg);
			break;
		case 'm':
			o->place.memtrace = optarg;
			break;
		case 'l':
			o->place.memleak = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind + 1 != argc || o->rounds < 1 || o->rounds > GRID_ROUNDS)
		usage();
	o->place.build = argv[optind];
	check_list("workload", o->workloads, workload_name, workload_cnt);
	check_list("variant", o->variants, variant_name, variant_cnt);
	for (size_t i = 0; !o->place.memleak && i < sizeof(names) / sizeof(names[0]); i++)
		if (program_is_there(names[i]))
			o->place.memleak = names[i];
}

/* ---- files ---------------------------------------------------------------------------------- */

static void write_file(const struct place *place, const char *ending, const struct strbuf *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/bench/compare.%s", place->build, ending);
	f = fopen(path, "we");
	if (strbuf_error(text) || !f || fwrite(text->text, 1, text->len, f) != text->len ||
	    fclose(f)) {
		fprintf(stderr, "compare: cannot write %s: %s\n", path, strerror(errno));
		exit(1);
	}
	printf("%s\n", path);
}

static void conclude(struct comparison *c)
{
	size_t from = c->text.len;
	struct strbuf other;

	table_verdicts(c->grid, &c->text);
	printf("%s\n", strbuf_text(&c->text) + from);
	write_file(&c->options.place, "txt", &c->text);
	strbuf_init(&other);
	table_json(c->grid, &other);
	write_file(&c->options.place, "json", &other);
	strbuf_clear(&other);
	plot_svg(c->grid, &other);
	write_file(&c->options.place, "svg", &other);
	strbuf_fini(&other);
}

/* Was there a run that counts of each lane that this memtrace has? */
static bool ours_measured(const struct grid *grid)
{
	for (size_t wi = 0; wi < grid->workload_cnt; wi++)
		for (size_t vi = 0; vi < grid->variant_cnt; vi++)
			if (grid->variants[vi].kind == GRID_OURS && grid->cells[wi][vi].rejected &&
			    !grid_time(grid, wi, vi).cnt)
				return false;
	return true;
}

int main(int argc, char **argv)
{
	char scratch[] = "/tmp/memtrace-bench-XXXXXX", memtrace[PATH_MAX], remove[64];
	struct comparison c = { .grid = malloc(sizeof(*c.grid)) };
	bool all_ours;

	parse(argc, argv, &c.options);
	signal(SIGPIPE, SIG_IGN);
	snprintf(memtrace, sizeof(memtrace), "%s/memtrace", c.options.place.build);
	if (!c.options.place.memtrace)
		c.options.place.memtrace = memtrace;
	c.options.place.scratch = mkdtemp(scratch);
	c.rig = rig_new(&c.options.place);
	if (!c.grid || !c.rig || !c.options.place.scratch) {
		fprintf(stderr, "compare: %s\n", strerror(errno));
		return 1;
	}
	grid_init(c.grid);
	strbuf_init(&c.text);
	describe_machine(c.grid->machine);
	choose(&c);
	strbuf_printf(&c.text, "%s\n%zu rounds; medians and quartiles\n\n", c.grid->machine,
		      c.options.rounds);
	fputs(strbuf_text(&c.text), stdout);
	for (size_t wi = 0; wi < c.grid->workload_cnt; wi++)
		run_workload(&c, wi);
	conclude(&c);
	all_ours = ours_measured(c.grid);
	rig_free(c.rig);
	strbuf_fini(&c.text);
	free(c.grid);
	snprintf(remove, sizeof(remove), "rm -rf %s", scratch);
	return system(remove) || !all_ours ? 1 : 0;
}
