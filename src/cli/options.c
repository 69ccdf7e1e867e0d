// SPDX-License-Identifier: MIT
/* options.c - the table of options, and the parser and --help that read it. */
#include "cli/options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/value.h"

#define SECONDS_MAX 3153600000.0 /* a century */
#define BYTES_MAX (1LL << 53) /* exact as a double */
#define MIB_MAX (1LL << 33)   /* BYTES_MAX in MiB */
#define SAMPLE_BYTES_MAX (1LL << 40)
#define MAX_OVERHEAD 500 /* per cent; what slows more cannot be told apart well enough */
#define COMM_MAX 15 /* characters of a name the kernel keeps */

enum value_kind {
	VALUE_NONE,    /* a flag: bool */
	VALUE_TIMES,   /* a flag that adds up: unsigned int */
	VALUE_ACTION,  /* a flag that asks for something else: enum cli_action, in .min */
	VALUE_TARGET,  /* a flag that picks the target: enum cli_target, in .min */
	VALUE_PID,     /* one more pid */
	VALUE_COMM,    /* const char *, a process name */
	VALUE_STRING,  /* const char * */
	VALUE_COUNT,   /* uint64_t */
	VALUE_FD,      /* int */
	VALUE_DECIMAL, /* double */
	VALUE_CHOICE,  /* int, index into .value split at '|' */
	VALUE_GATES,   /* limit,leak[=BYTES] */
};

struct option_row {
	const char *section; /* heading that starts here, for --help */
	char letter;
	const char *name;
	const char *value; /* as shown; for a choice also the names it may have */
	enum value_kind kind;
	size_t offset;
	double min, max;
	const char *noun;    /* what the value should be */
	const char *example; /* a good value */
	const char *help;
};

#define AT(field) offsetof(struct cli_options, field)

/* clang-format off */
static const struct option_row rows[] = {
	{ "What to trace (one kind)", 'p', "pid", "PID", VALUE_PID, AT(pids), 1, INT_MAX,
	  "a process id", "4242", "a running process; may be repeated" },
	{ NULL, 'a', "all", NULL, VALUE_TARGET, 0, CLI_TARGET_ALL, 0, NULL, NULL,
	  "every process, now and later" },
	{ NULL, 0, "comm", "NAME", VALUE_COMM, AT(comm), 0, 0, "a process name", "nginx",
	  "every process of this name, now and later" },
	{ NULL, 0, "cgroup", "PATH", VALUE_STRING, AT(cgroup), 0, 0, "a cgroup directory",
	  "/sys/fs/cgroup/system.slice/nginx.service", "every process of a service or container" },

	{ "Report", 0, "interval", "SECS", VALUE_DECIMAL, AT(interval_s), 0, SECONDS_MAX,
	  "a number of seconds", "10", "report this often (10; with -- only at end)" },
	{ NULL, 0, "duration", "SECS", VALUE_DECIMAL, AT(duration_s), 0.001, SECONDS_MAX,
	  "a number of seconds", "60", "stop tracing after this; the target runs on" },
	{ NULL, 0, "min-age", "SECS", VALUE_DECIMAL, AT(min_age_s), 0, SECONDS_MAX,
	  "a number of seconds", "60", "younger blocks are no leaks (1; at exit 0)" },
	{ NULL, 0, "min-size", "BYTES", VALUE_COUNT, AT(min_size_bytes), 0, BYTES_MAX,
	  "a number of bytes", "4096", "leave out leaks smaller than this in all (0)" },
	{ NULL, 0, "min-leak-bytes", "BYTES", VALUE_COUNT, AT(min_leak_bytes), 0, BYTES_MAX,
	  "a number of bytes", "4096", "growth under this is no leak (1024)" },
	{ NULL, 0, "leak-interval", "SECS", VALUE_DECIMAL, AT(leak_interval_s), 0, SECONDS_MAX,
	  "a number of seconds", "30", "say new leaks this often (30; 0: never)" },
	{ NULL, 0, "top", "N", VALUE_COUNT, AT(top), 1, 1000000, "a number of stacks", "20",
	  "stacks to show (10); JSON has all" },
	{ NULL, 0, "json", "FILE", VALUE_STRING, AT(json), 0, 0, "a file name", "report.json",
	  "write JSON too; - is stdout" },

	{ "Limit and gates", 0, "limit-mb", "N", VALUE_COUNT, AT(limit_mb), 0, MIB_MAX,
	  "a number of MiB", "250", "live heap allowed, in MiB (250; 0: no limit)" },
	{ NULL, 0, "on-limit", "report|stop|kill", VALUE_CHOICE, AT(on_limit), 0, 0, NULL, NULL,
	  "what to do to who crosses it (report)" },
	{ NULL, 0, "fail-on", "limit,leak[=BYTES]", VALUE_GATES, 0, 0, 0, NULL, NULL,
	  "exit with status 3 if this happened" },

	{ "Tracing", 0, "lane", "auto|uprobe|preload", VALUE_CHOICE, AT(lane), 0, 0, NULL, NULL,
	  "how allocations are seen (auto)" },
	{ NULL, 0, "sample-bytes", "N", VALUE_COUNT, AT(sample_bytes), 0, SAMPLE_BYTES_MAX,
	  "a number of bytes", "524288", "count a block every N bytes; 0: no block" },
	{ NULL, 0, "sampling-rate", "P", VALUE_DECIMAL, AT(sampling_rate), 0, 1, "a probability", "0.1",
	  "count allocations with probability P" },
	{ NULL, 0, "sample-seed", "N", VALUE_COUNT, AT(sample_seed), 0, BYTES_MAX, "a number", "1",
	  "the same sample each time (0: another)" },
	{ NULL, 0, "stacks", "auto|dwarf|fp|none", VALUE_CHOICE, AT(stacks), 0, 0, NULL, NULL,
	  "by unwind tables, frame pointers (auto)" },
	{ NULL, 0, "stack-depth", "N", VALUE_COUNT, AT(stack_depth), 1, 127, "a number of frames",
	  "32", "frames kept of a stack, 1 to 127 (64)" },
	{ NULL, 0, "cache-dir", "DIR", VALUE_STRING, AT(cache_dir), 0, 0, "a directory", "/var/tmp/mt",
	  "keep unwind tables here (~/.cache/memtrace)" },
	{ NULL, 0, "debuginfod", NULL, VALUE_NONE, AT(debuginfod), 0, 0, NULL, NULL,
	  "fetch debug files from DEBUGINFOD_URLS" },
	{ NULL, 0, "follow", "news|exact|none", VALUE_CHOICE, AT(follow), 0, 0, NULL, NULL,
	  "children of an attached process (news)" },
	{ NULL, 0, "max-overhead", "PCT", VALUE_COUNT, AT(max_overhead), 1, MAX_OVERHEAD,
	  "a number of per cent", "50", "end tracing that slows CMD or PID by more" },
	{ NULL, 0, "max-memory-mb", "N", VALUE_COUNT, AT(max_memory_mb), 1, MIB_MAX,
	  "a number of MiB", "512", "memory memtrace may use (a quarter of RAM)" },
	{ NULL, 0, "user", "NAME", VALUE_STRING, AT(user), 0, 0, "a user name", "www-data",
	  "run CMD as this user (who called sudo)" },
	{ NULL, 0, "ready-fd", "N", VALUE_FD, AT(ready_fd), 0, INT_MAX, "a file descriptor", "3",
	  "write a byte here once tracing is ready" },

	{ "Other", 'v', "verbose", NULL, VALUE_TIMES, AT(verbose), 0, 0, NULL, NULL,
	  "say what is done; twice: every detail" },
	{ NULL, 'q', "quiet", NULL, VALUE_NONE, AT(quiet), 0, 0, NULL, NULL,
	  "no text report, no remarks" },
	{ NULL, 0, "version", NULL, VALUE_ACTION, 0, CLI_VERSION, 0, NULL, NULL,
	  "print the version" },
	{ NULL, 'h', "help", NULL, VALUE_ACTION, 0, CLI_HELP, 0, NULL, NULL, "print this" },
};
/* clang-format on */

#define ROW_CNT (sizeof(rows) / sizeof(rows[0]))

struct parser {
	struct cli_options *options;
	struct message *why;
	bool interval_given;
	bool limit_given;
	bool bytes_given, rate_given, seed_given; /* of sampling */
};

#define fail(p, ...) message_set((p)->why, -EINVAL, __VA_ARGS__)

/* ---- values ---------------------------------------------------------------------------------- */

static int bad_value(struct parser *p, const struct option_row *row, const char *text)
{
	return fail(p, "--%s: '%.60s' is not %s (example: --%s %s)", row->name, text, row->noun,
		    row->name, row->example);
}

static int out_of_range(struct parser *p, const struct option_row *row, const char *text)
{
	return fail(p, "--%s: '%.60s' is not %s from %.15g to %.15g (example: --%s %s)", row->name,
		    text, row->noun, row->min, row->max, row->name, row->example);
}

static int take_count(struct parser *p, const struct option_row *row, const char *text,
		      uint64_t *value)
{
	uint64_t count;
	int err = value_count(text, &count);

	if (err == -EINVAL)
		return bad_value(p, row, text);
	if (err || count < (uint64_t)row->min || count > (uint64_t)row->max)
		return out_of_range(p, row, text);
	*value = count;
	return 0;
}

static int take_decimal(struct parser *p, const struct option_row *row, const char *text)
{
	double number;
	int err = value_seconds(text, &number);

	if (err == -EINVAL)
		return bad_value(p, row, text);
	if (err || number < row->min || number > row->max)
		return out_of_range(p, row, text);
	*(double *)((char *)p->options + row->offset) = number;
	return 0;
}

static int take_choice(struct parser *p, const struct option_row *row, const char *text)
{
	const char *name = row->value;
	size_t len = strlen(text);
	char first[32];

	for (int i = 0; name; i++) {
		size_t name_len = strcspn(name, "|");

		if (name_len == len && !memcmp(name, text, len)) {
			*(int *)((char *)p->options + row->offset) = i;
			return 0;
		}
		name = name[name_len] ? name + name_len + 1 : NULL;
	}
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(row->value, "|"), row->value);
	return fail(p, "--%s: '%.60s' is not one of %s (example: --%s %s)", row->name, text,
		    row->value, row->name, first);
}

static int take_gate(struct parser *p, const struct option_row *row, const char *gate)
{
	struct cli_options *options = p->options;

	if (!strcmp(gate, "limit")) {
		options->fail_on_limit = true;
		return 0;
	}
	if (!strcmp(gate, "leak")) {
		options->fail_on_leak = true;
		options->fail_leak_bytes = 1;
		return 0;
	}
	if (!strncmp(gate, "leak=", 5)) {
		uint64_t bytes;

		if (value_count(gate + 5, &bytes) || !bytes || bytes > BYTES_MAX)
			return fail(p, "--%s: '%.60s' is not a number of bytes above 0 "
				       "(example: --%s leak=4096)",
				    row->name, gate + 5, row->name);
		options->fail_on_leak = true;
		options->fail_leak_bytes = bytes;
		return 0;
	}
	return fail(p, "--%s: '%.60s' is not a gate (example: --%s limit,leak=4096)", row->name, gate,
		    row->name);
}

static int take_gates(struct parser *p, const struct option_row *row, const char *text)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		char gate[64];
		int err;

		snprintf(gate, sizeof(gate), "%.*s", (int)(len < 60 ? len : 60), text);
		err = take_gate(p, row, gate);
		if (err || !text[len])
			return err;
		text += len + 1;
	}
}

static int take_target(struct parser *p, enum cli_target target)
{
	static const char *const names[] = {
		[CLI_TARGET_PID] = "-p",
		[CLI_TARGET_ALL] = "--all",
		[CLI_TARGET_COMM] = "--comm",
		[CLI_TARGET_CGROUP] = "--cgroup",
		[CLI_TARGET_COMMAND] = "-- CMD",
	};

	if (p->options->target && p->options->target != target)
		return fail(p, "%s and %s: only one kind of target can be traced at a time "
			       "(leave one out, or run memtrace twice)",
			    names[p->options->target], names[target]);
	p->options->target = target;
	return 0;
}

static int take_pid(struct parser *p, const struct option_row *row, const char *text)
{
	struct cli_options *options = p->options;
	uint64_t value;
	pid_t *pids;
	int err = take_count(p, row, text, &value);

	if (err)
		return err;
	for (size_t i = 0; i < options->pid_cnt; i++)
		if (options->pids[i] == (pid_t)value)
			return 0;
	pids = realloc(options->pids, (options->pid_cnt + 1) * sizeof(*pids));
	if (!pids)
		return message_set(p->why, -ENOMEM, "--pid: %s", strerror(ENOMEM));
	pids[options->pid_cnt++] = (pid_t)value;
	options->pids = pids;
	return take_target(p, CLI_TARGET_PID);
}

static int take_string(struct parser *p, const struct option_row *row, const char *text)
{
	if (!*text)
		return bad_value(p, row, text);
	if (row->kind == VALUE_COMM && strlen(text) > COMM_MAX)
		return fail(p, "--%s: '%.60s' is longer than the %d characters the kernel keeps of a "
			       "name (example: --%s '%.*s')",
			    row->name, text, COMM_MAX, row->name, COMM_MAX, text);
	*(const char **)((char *)p->options + row->offset) = text;
	if (row->offset == AT(comm))
		return take_target(p, CLI_TARGET_COMM);
	if (row->offset == AT(cgroup))
		return take_target(p, CLI_TARGET_CGROUP);
	return 0;
}

static int take(struct parser *p, const struct option_row *row, const char *text)
{
	void *field = (char *)p->options + row->offset;
	uint64_t count;
	int err;

	if (row->offset == AT(interval_s))
		p->interval_given = true;
	if (row->offset == AT(limit_mb))
		p->limit_given = true;
	if (row->offset == AT(sample_bytes))
		p->bytes_given = true;
	if (row->offset == AT(sampling_rate))
		p->rate_given = true;
	if (row->offset == AT(sample_seed))
		p->seed_given = true;
	if (row->offset == AT(min_age_s))
		p->options->min_age_given = true;

	switch (row->kind) {
	case VALUE_NONE:
		*(bool *)field = true;
		return 0;
	case VALUE_TIMES:
		++*(unsigned int *)field;
		return 0;
	case VALUE_ACTION:
		p->options->action = (enum cli_action)row->min;
		return 0;
	case VALUE_TARGET:
		return take_target(p, (enum cli_target)row->min);
	case VALUE_PID:
		return take_pid(p, row, text);
	case VALUE_COMM:
	case VALUE_STRING:
		return take_string(p, row, text);
	case VALUE_COUNT:
		return take_count(p, row, text, field);
	case VALUE_FD:
		err = take_count(p, row, text, &count);
		if (!err)
			*(int *)field = (int)count;
		return err;
	case VALUE_DECIMAL:
		return take_decimal(p, row, text);
	case VALUE_CHOICE:
		return take_choice(p, row, text);
	case VALUE_GATES:
		return take_gates(p, row, text);
	}
	return -EINVAL;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const struct option_row *find_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ROW_CNT; i++)
		if (strlen(rows[i].name) == len && !memcmp(rows[i].name, name, len))
			return &rows[i];
	return NULL;
}

static const struct option_row *find_letter(char letter)
{
	for (size_t i = 0; i < ROW_CNT; i++)
		if (letter && rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

/* How many letters to insert, drop or change to get from a to b (Levenshtein). */
static size_t distance(const char *a, size_t a_len, const char *b)
{
	size_t row[32], b_len = strlen(b);

	if (b_len >= 32)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_len];
}

static int unknown_option(struct parser *p, const char *word, size_t len)
{
	const struct option_row *near = NULL;
	size_t best = 3;

	for (size_t i = 0; i < ROW_CNT && len > 2; i++) {
		size_t d = distance(word + 2, len - 2, rows[i].name);

		if (d < best) {
			best = d;
			near = &rows[i];
		}
	}
	if (near)
		return fail(p, "%.*s: there is no such option (did you mean --%s?)", (int)len, word,
			    near->name);
	return fail(p, "%.*s: there is no such option (memtrace --help lists them)", (int)len,
		    word);
}

/* The value of an option: what stands behind it in the same word, or the next word. */
static int fetch_value(struct parser *p, const struct option_row *row, const char *attached,
		       char *const **word, const char **value)
{
	const char *next = (*word)[1];

	if (attached) {
		*value = attached;
		return 0;
	}
	if (!next || !strncmp(next, "--", 2)) {
		const char *example = row->example;

		if (!example)
			example = row->kind == VALUE_GATES ? "limit,leak" : row->value;
		return fail(p, "--%s: it needs a value: %s (example: --%s %.*s)", row->name,
			    row->value, row->name, (int)strcspn(example, "|"), example);
	}
	*value = next;
	++*word;
	return 0;
}

static int parse_long(struct parser *p, char *const **word)
{
	const char *name = **word + 2;
	size_t len = strcspn(name, "=");
	const struct option_row *row = find_name(name, len);
	const char *attached = name[len] ? name + len + 1 : NULL;
	const char *value = NULL;
	int err;

	if (!row)
		return unknown_option(p, **word, len + 2);
	if (!row->value && attached)
		return fail(p, "--%s: it takes no value (write --%s alone)", row->name, row->name);
	if (row->value) {
		err = fetch_value(p, row, attached, word, &value);
		if (err)
			return err;
	}
	return take(p, row, value);
}

/* -v, -vq, -p 42, -p42 */
static int parse_short(struct parser *p, char *const **word)
{
	for (const char *c = **word + 1; *c; c++) {
		const struct option_row *row = find_letter(*c);
		const char *value = NULL;
		int err;

		if (!row) {
			char shown[] = { '-', *c, 0 };

			return unknown_option(p, shown, 2);
		}
		if (row->value) {
			err = fetch_value(p, row, c[1] ? c + 1 : NULL, word, &value);
			return err ? err : take(p, row, value);
		}
		err = take(p, row, NULL);
		if (err)
			return err;
	}
	return 0;
}

static int parse_command(struct parser *p, char *const *command)
{
	if (!command[0])
		return fail(p, "--: no command follows it (example: memtrace -- ./program)");
	if (!command[0][0])
		return fail(p, "--: the command is an empty word (example: memtrace -- ./program)");
	p->options->command = command;
	return take_target(p, CLI_TARGET_COMMAND);
}

static int parse_words(struct parser *p, char *const *word)
{
	for (; *word; word++) {
		int err;

		if (!strcmp(*word, "--"))
			return parse_command(p, word + 1);
		if (!strncmp(*word, "--", 2))
			err = parse_long(p, &word);
		else if ((*word)[0] == '-' && (*word)[1])
			err = parse_short(p, &word);
		else
			return fail(p, "'%.60s': this is not an option (put -- before the command: "
				       "memtrace -- %.60s)",
				    *word, *word);
		if (err || p->options->action != CLI_TRACE)
			return err;
	}
	return 0;
}

static int check_sampling(struct parser *p)
{
	struct cli_options *options = p->options;
	const char *name = p->bytes_given ? "--sample-bytes" : "--sampling-rate";

	if (p->bytes_given && p->rate_given)
		return fail(p, "--sample-bytes and --sampling-rate: a sample is taken one way or the other "
			       "(leave one out)");
	if (!p->bytes_given && !p->rate_given)
		return !p->seed_given ? 0 : fail(p, "--sample-seed: nothing is sampled (use "
						    "--sample-bytes N or --sampling-rate P)");
	options->sampling = p->bytes_given ? CLI_SAMPLE_BYTES : CLI_SAMPLE_RATE;
	if (options->target != CLI_TARGET_COMMAND)
		return fail(p, "%s: only a command can be sampled, by a library that is loaded into it "
			       "(put -- CMD at the end, or leave %s out)",
			    name, name);
	if (options->lane == CLI_LANE_UPROBE)
		return fail(p, "%s: the uprobe lane takes no samples (use --lane preload, or leave one "
			       "of them out)",
			    name);
	if (!options->sample_bytes && !(options->sampling_rate > 0) &&
	    (options->fail_on_limit || options->fail_on_leak))
		return fail(p, "--fail-on: nothing is counted with %s 0, so no gate can trip (leave one of "
			       "them out)",
			    name);
	return 0;
}

static int check_lane(struct parser *p)
{
	if (p->options->lane != CLI_LANE_PRELOAD || p->options->target == CLI_TARGET_COMMAND)
		return 0;
	return fail(p, "--lane preload: a process that runs already cannot be given the library (start it "
		       "anew with -- CMD, or leave --lane out)");
}

/* What no single option can know. */
static int check_together(struct parser *p)
{
	struct cli_options *options = p->options;

	if (!options->target)
		return fail(p, "nothing to trace: no target was named "
			       "(use -p PID, --all, --comm NAME, --cgroup PATH or -- CMD)");
	if (options->user && options->target != CLI_TARGET_COMMAND)
		return fail(p, "--user: there is no command to run (put -- CMD at the end)");
	if (options->max_overhead && options->follow == CLI_FOLLOW_EXACT &&
	    options->target != CLI_TARGET_COMMAND && options->target != CLI_TARGET_ALL)
		return fail(p, "--max-overhead: with --follow exact others run through the same "
			       "probes, so what the targets pay is not known (leave one of them "
			       "out)");
	if (options->fail_on_limit && !options->limit_mb)
		return fail(p, "--fail-on limit: there is no limit (use --limit-mb N above 0)");
	if (options->on_limit != CLI_LIMIT_REPORT && !options->limit_mb)
		return fail(p, "--on-limit: there is no limit (use --limit-mb N above 0)");
	/* Nobody means to stop each large program of the machine by a limit they did not choose. */
	if (options->on_limit != CLI_LIMIT_REPORT && options->target == CLI_TARGET_ALL &&
	    !p->limit_given)
		return fail(p, "--on-limit: with --all this acts on every process of the machine "
			       "(say which limit you mean: --limit-mb %llu)",
			    (unsigned long long)options->limit_mb);
	if (check_lane(p) || check_sampling(p))
		return -EINVAL;
	if (!p->interval_given && options->target != CLI_TARGET_COMMAND)
		options->interval_s = 10;
	return 0;
}

int options_parse(struct cli_options *options, int argc, char *const *argv, struct message *why)
{
	struct parser p = { .options = options, .why = why };
	int err;

	*options = (struct cli_options){
		.min_age_s = 1,
		.min_leak_bytes = 1024,
		.leak_interval_s = 30,
		.top = 10,
		.limit_mb = 250,
		.stack_depth = 64,
		.ready_fd = -1,
	};
	err = argc > 0 ? parse_words(&p, argv + 1) : 0;
	if (err || options->action != CLI_TRACE)
		return err;
	return check_together(&p);
}

void options_fini(struct cli_options *options)
{
	free(options->pids);
	options->pids = NULL;
	options->pid_cnt = 0;
}

/* ---- help ------------------------------------------------------------------------------------ */

void options_help(FILE *out)
{
	fprintf(out, "Usage: memtrace [OPTION]... -p PID | -a | --comm NAME | --cgroup PATH\n"
		     "       memtrace [OPTION]... -- CMD [ARG]...\n"
		     "Count the heap of unmodified programs exactly: live, peak, limit, leaks.\n");
	for (size_t i = 0; i < ROW_CNT; i++) {
		const struct option_row *row = &rows[i];
		char left[48];

		if (row->section)
			fprintf(out, "\n%s:\n", row->section);
		snprintf(left, sizeof(left), "%c%c%c --%s%s%s", row->letter ? '-' : ' ',
			 row->letter ? row->letter : ' ', row->letter ? ',' : ' ', row->name,
			 row->value ? " " : "", row->value ? row->value : "");
		fprintf(out, "  %-32s %s\n", left, row->help);
	}
	fprintf(out,
		"\nExit status: the command's own (128+N for signal N), 0 if attached; 1 memtrace\n"
		"failed; 2 wrong usage; 3 a --fail-on gate tripped. Manual: man memtrace\n");
}
