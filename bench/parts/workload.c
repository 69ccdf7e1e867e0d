// SPDX-License-Identifier: MIT
#include "parts/workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef BENCH_DIR
#define BENCH_DIR "bench"
#endif

bool program_is_there(const char *name)
{
	const char *path = getenv("PATH");
	char file[4096];

	if (strchr(name, '/'))
		return !access(name, X_OK);
	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (!access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

const char *workload_missing(const struct workload *w)
{
	for (size_t i = 0; i < 3 && w->needs[i]; i++)
		if (!program_is_there(w->needs[i]))
			return w->needs[i];
	return NULL;
}

/* The figure of the line that a program says when told to go. */
static int go(struct child *child, double *figure)
{
	size_t from = child->text.len;
	char *end;

	if (child_say(child, "\n", 1) || !child_await(child, "\n", from))
		return -EIO;
	*figure = strtod(strbuf_text(&child->text) + from, &end);
	return end == strbuf_text(&child->text) + from ? -EIO : 0;
}

/* ---- programs of our own -------------------------------------------------------------------- */

static void compose_pairs(const struct workload *w, const struct place *place, long amount,
			  struct command *command)
{
	command_add(command, "%s/bench/pairs", place->build);
	command_add(command, "%ld", amount);
	command_add(command, "%s", w->parameter);
	command_add(command, "1");
}

static int work_pairs(const struct workload *w, const struct place *place, long amount,
		      struct child *child, struct measure *measure)
{
	(void)w, (void)place;
	measure->allocs = (uint64_t)amount;
	return go(child, &measure->ns);
}

static void compose_larson(const struct workload *w, const struct place *place, long amount,
			   struct command *command)
{
	(void)w;
	command_add(command, "%s/bench/larson", place->build);
	command_add(command, "%ld", amount);
}

static int work_larson(const struct workload *w, const struct place *place, long amount,
		       struct child *child, struct measure *measure)
{
	(void)w, (void)place;
	measure->allocs = 2 * (uint64_t)amount; /* of two threads */
	return go(child, &measure->ns);
}

/* ---- python3 -------------------------------------------------------------------------------- */

static void compose_python(const struct workload *w, const struct place *place, long amount,
			   struct command *command)
{
	(void)place;
	command_export(command, "PYTHONMALLOC=malloc");
	command_add(command, "%s", w->needs[0]);
	command_add(command, BENCH_DIR "/objects.py");
	command_add(command, "%ld", amount);
}

static int work_python(const struct workload *w, const struct place *place, long amount,
		       struct child *child, struct measure *measure)
{
	double ns;
	int err = go(child, &ns);

	(void)w, (void)place;
	measure->ns = ns / (double)amount;
	measure->allocs_least = 10000 * (uint64_t)(amount + 1);
	return err;
}

/* ---- sqlite3 -------------------------------------------------------------------------------- */

/* What is not flushed at once is flushed when .output goes elsewhere. */
#define SAY_ALOUD ".output /dev/stdout\n"
#define SAID ".output stdout\n"

static void compose_sqlite(const struct workload *w, const struct place *place, long amount,
			   struct command *command)
{
	(void)place, (void)amount;
	command_add(command, "%s", w->needs[0]);
	command_add(command, "-init");
	command_add(command, BENCH_DIR "/ready.sql");
	command_add(command, "-batch");
	command_add(command, ":memory:");
}

static int read_script(struct strbuf *out)
{
	FILE *f = fopen(BENCH_DIR "/tables.sql", "re");
	char bytes[4096];
	size_t len;

	if (!f)
		return -errno;
	while ((len = fread(bytes, 1, sizeof(bytes), f)))
		strbuf_add(out, bytes, len);
	fclose(f);
	return strbuf_error(out);
}

/* Runs the script so many times; where in what it says its answers begin and end. */
static int run_script(struct child *child, const char *script, long times, size_t *from,
		      size_t *answer_len)
{
	struct strbuf text;
	const char *behind;
	int err;

	strbuf_init(&text);
	strbuf_puts(&text, SAY_ALOUD);
	for (long i = 0; i < times; i++)
		strbuf_puts(&text, script);
	strbuf_puts(&text, ".print done\n" SAID);
	*from = child->text.len;
	err = strbuf_error(&text) ? -ENOMEM : child_say(child, text.text, text.len);
	behind = err ? NULL : child_await(child, "done\n", *from);
	if (behind)
		*answer_len =
			(size_t)(behind - strlen("done\n") - strbuf_text(&child->text)) - *from;
	strbuf_fini(&text);
	return behind ? 0 : -EIO;
}

/* The same answers each time: a run that did something else does not count. */
static bool same_answers(const char *first, size_t len, const char *all, size_t all_len, long times)
{
	if (!len || all_len != len * (size_t)times)
		return false;
	for (long i = 0; i < times; i++)
		if (memcmp(first, all + (size_t)i * len, len))
			return false;
	return true;
}

static int work_sqlite(const struct workload *w, const struct place *place, long amount,
		       struct child *child, struct measure *measure)
{
	size_t first, first_len = 0, all, all_len = 0;
	struct strbuf script;
	const char *said;
	double start;
	int err;

	(void)w, (void)place;
	strbuf_init(&script);
	err = read_script(&script);
	if (!err)
		err = run_script(child, script.text, 1, &first, &first_len);
	start = now_s();
	if (!err)
		err = run_script(child, script.text, amount, &all, &all_len);
	measure->ns = (now_s() - start) * 1e9 / (double)amount;
	measure->allocs_least = 10000 * (uint64_t)(amount + 1);
	said = strbuf_text(&child->text);
	if (!err && !same_answers(said + first, first_len, said + all, all_len, amount))
		err = -EILSEQ;
	strbuf_fini(&script);
	return err;
}

/* ---- redis-server --------------------------------------------------------------------------- */

#define REDIS_TESTS "set,get,lpush,hset,zadd"
#define REDIS_TEST_CNT 5

static void compose_redis(const struct workload *w, const struct place *place, long amount,
			  struct command *command)
{
	(void)amount;
	command_add(command, "%s", w->needs[0]);
	command_add(command, "--port");
	command_add(command, "0");
	command_add(command, "--unixsocket");
	command_add(command, "%s/redis.sock", place->scratch);
	command_add(command, "--dir");
	command_add(command, "%s", place->scratch);
	command_add(command, "--save");
	command_add(command, "%s", "");
	command_add(command, "--appendonly");
	command_add(command, "no");
}

/* "SET","99800.40",...: requests in a second. The mean time of a request, over all tests. */
static int read_rates(const char *text, double *ns)
{
	double sum = 0;
	int cnt = 0;

	while (text && *text) {
		const char *rate = strstr(text, "\",\""), *end = strchr(text, '\n');
		double per_s = rate && end && rate < end ? atof(rate + 3) : 0;

		if (per_s > 0) { /* the heading is none */
			sum += 1e9 / per_s;
			cnt++;
		}
		text = end ? end + 1 : NULL;
	}
	*ns = sum / cnt;
	return cnt == REDIS_TEST_CNT ? 0 : -EIO;
}

static int work_redis(const struct workload *w, const struct place *place, long amount,
		      struct child *child, struct measure *measure)
{
	struct command command;
	struct child client;
	char errors[4096];
	int status, err;

	command_init(&command);
	snprintf(errors, sizeof(errors), "%s/redis-benchmark.err", place->scratch);
	command_add(&command, "%s", w->needs[1]);
	command_add(&command, "-s");
	command_add(&command, "%s/redis.sock", place->scratch);
	command_add(&command, "-t");
	command_add(&command, REDIS_TESTS);
	command_add(&command, "-n");
	command_add(&command, "%ld", amount);
	command_add(&command, "-r");
	command_add(&command, "50000");
	command_add(&command, "-d");
	command_add(&command, "100");
	command_add(&command, "--csv");
	err = child_start(&client, &command, errors, child->deadline_s - now_s());
	command_fini(&command);
	if (err)
		return err;
	err = child_end(&client, &status);
	if (!err)
		err = status ? -EIO : read_rates(strbuf_text(&client.text), &measure->ns);
	child_fini(&client);
	measure->allocs_least = REDIS_TEST_CNT * (uint64_t)amount;
	return err;
}

static void stop_redis(const struct place *place)
{
	struct command command;
	struct child client;
	char errors[4096];
	int status;

	command_init(&command);
	snprintf(errors, sizeof(errors), "%s/redis-cli.err", place->scratch);
	command_add(&command, "redis-cli");
	command_add(&command, "-s");
	command_add(&command, "%s/redis.sock", place->scratch);
	command_add(&command, "shutdown");
	command_add(&command, "nosave");
	if (!child_start(&client, &command, errors, 20)) {
		child_end(&client, &status);
		child_fini(&client);
	}
	command_fini(&command);
}

/* ---- all ------------------------------------------------------------------------------------ */

#define PAIRS(depth)                                                                         \
	{                                                                                    \
		.name = "pairs-" #depth, .title = "malloc and free, " #depth " frames deep", \
		.unit = "pair", .amounts = { 40000000, 4000000, 400000, 400000, 40000 },     \
		.ready = "ready\n", .parameter = #depth, .compose = compose_pairs,           \
		.work = work_pairs, .block_bytes = 64                                        \
	}

const struct workload workloads[] = {
	PAIRS(3),
	PAIRS(16),
	{ .name = "sqlite",
	  .title = "sqlite3, tables in memory",
	  .unit = "pass",
	  .amounts = { 60, 25, 6, 1, 1 },
	  .needs = { "sqlite3" },
	  .ready = "ready\n",
	  .compose = compose_sqlite,
	  .work = work_sqlite },
	{ .name = "python",
	  .title = "python3 with PYTHONMALLOC=malloc",
	  .unit = "pass",
	  .amounts = { 200, 40, 10, 2, 1 },
	  .needs = { "/usr/bin/python3" },
	  .ready = "ready\n",
	  .compose = compose_python,
	  .work = work_python },
	{ .name = "larson",
	  .title = "two threads that free each other's blocks",
	  .unit = "pair",
	  .amounts = { 20000000, 2000000, 300000, 300000, 30000 },
	  .ready = "ready\n",
	  .compose = compose_larson,
	  .work = work_larson,
	  .block_bytes = 264 },
	{ .name = "redis",
	  .title = "redis-server under redis-benchmark (" REDIS_TESTS ")",
	  .unit = "request",
	  .amounts = { 60000, 60000, 30000, 4000, 2000 },
	  .needs = { "redis-server", "redis-benchmark", "redis-cli" },
	  .ready = "ready to accept connections at",
	  .compose = compose_redis,
	  .work = work_redis,
	  .stop = stop_redis },
};

const size_t workload_cnt = sizeof(workloads) / sizeof(workloads[0]);
