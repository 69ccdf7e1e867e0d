// SPDX-License-Identifier: MIT
/* trace.c - a target and memtrace, together: who waits for whom. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- words -------------------------------------------------------------------------------------
 */

struct words {
	const char *word[WORDS_MAX];
	size_t cnt;
};

static void add(struct words *words, const char *word)
{
	if (words->cnt + 1 == WORDS_MAX)
		fatal("too many words");
	words->word[words->cnt++] = word;
	words->word[words->cnt] = NULL;
}

static void add_all(struct words *words, const char *const *more)
{
	for (; more && *more; more++)
		add(words, *more);
}

/* argv with the target's name made a path. */
static void add_target(struct words *words, const char *const *argv)
{
	add(words, target_path(argv[0]));
	if (access(words->word[words->cnt - 1], X_OK))
		skip("%s was not built", argv[0]);
	add_all(words, argv + 1);
}

/* ---- a target ----------------------------------------------------------------------------------
 */

void target_prepare(struct target *target)
{
	*target = (struct target){
		.ready = pipe_new(),
		.go = pipe_new(),
		.done = pipe_new(),
		.hold = pipe_new(),
	};
	target->fds[0] = target->ready.out;
	target->fds[1] = target->go.in;
	target->fds[2] = target->done.out;
	target->fds[3] = target->hold.in;
	target->fds[4] = -1;
	target->env[0] = text_of("MT_READY_FD=%d", target->ready.out);
	target->env[1] = text_of("MT_GO_FD=%d", target->go.in);
	target->env[2] = text_of("MT_DONE_FD=%d", target->done.out);
	target->env[3] = text_of("MT_HOLD_FD=%d", target->hold.in);
}

void target_started(struct target *target)
{
	pipe_close(&target->ready.out);
	pipe_close(&target->go.in);
	pipe_close(&target->done.out);
	pipe_close(&target->hold.in);
}

void target_start(struct target *target, const char *const *argv, const char *const *env)
{
	struct words words = { 0 }, all = { 0 };

	target_prepare(target);
	add_all(&all, target->env);
	add_all(&all, env);
	add_target(&words, argv);
	target->child = child_start(
		&(struct start){ .argv = words.word, .env = all.word, .fds = target->fds });
	target_started(target);
	if (!pipe_wait(target->ready.in))
		fatal("%s ended early: %s", argv[0], file_text(target->child->err));
}

void target_go(struct target *target)
{
	if (write(target->go.out, "g", 1) != 1)
		fatal("the target is gone");
	pipe_close(&target->go.out);
}

void target_wait_done(struct target *target)
{
	if (!pipe_wait(target->done.in))
		fatal("the target ended before it was done");
}

void target_release(struct target *target)
{
	pipe_close(&target->hold.out);
}

/* ---- memtrace ----------------------------------------------------------------------------------
 */

void tracer_start(struct tracer *tracer, const struct tracer_start *start)
{
	struct words words = { 0 };
	int fds[16], cnt = 0;

	tracer->ready = pipe_new();
	tracer->json = stage_path(text_of("report-%d.json", tracer->ready.out));
	add(&words, memtrace_path());
	add(&words, "--json");
	add(&words, tracer->json);
	add(&words, "--ready-fd");
	add(&words, text_of("%d", tracer->ready.out));
	add_all(&words, start->options);
	if (start->command) {
		add(&words, "--");
		add_all(&words, start->command);
	}
	for (; start->fds && start->fds[cnt] >= 0 && cnt < 14; cnt++)
		fds[cnt] = start->fds[cnt];
	fds[cnt++] = tracer->ready.out;
	fds[cnt] = -1;
	tracer->child = child_start(&(struct start){
		.argv = words.word,
		.env = start->env,
		.fds = fds,
		.out_fd = start->out_fd,
		.err_fd = start->err_fd,
	});
	pipe_close(&tracer->ready.out);
}

void tracer_wait_ready(struct tracer *tracer)
{
	if (!pipe_wait(tracer->ready.in))
		fatal("memtrace was never ready (wait status 0x%x): %s", child_wait(tracer->child),
		      file_text(tracer->child->err));
}

json_t *report_load(const char *path)
{
	json_error_t error;
	json_t *report;

	if (access(path, R_OK))
		return NULL;
	report = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!report)
		fatal("the report is no JSON: line %d column %d: %s", error.line, error.column,
		      error.text);
	return report;
}

json_t *report_next(int fd)
{
	const char *line = pipe_line(fd);
	json_error_t error;
	json_t *report;

	if (!line)
		return NULL;
	report = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	if (!report)
		fatal("the report is no JSON: %s: %.200s", error.text, line);
	return report;
}

json_t *report_last(int fd)
{
	json_t *report, *last = NULL;

	while ((report = report_next(fd))) {
		json_decref(last);
		last = report;
	}
	if (!last)
		fatal("no report came");
	return last;
}

static bool knows(const json_t *report, pid_t pid, const char *known)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(report, "processes"), i, row)
	{
		if (json_integer_value(json_object_get(row, "pid")) == pid &&
		    !json_is_null(json_object_get(row, known)))
			return true;
	}
	return false;
}

json_t *report_wait_row(int fd, pid_t pid, const char *known)
{
	json_t *report;

	while ((report = report_next(fd))) {
		if (knows(report, pid, known))
			return report;
		json_decref(report);
	}
	fatal("the trace ended without a word of pid %d", (int)pid);
	return NULL;
}

json_t *tracer_finish(struct tracer *tracer)
{
	child_wait(tracer->child);
	return report_load(tracer->json);
}

/* ---- together -----------------------------------------------------------------------------------
 */

json_t *truths_load(const char *path)
{
	json_t *truths = json_array();
	FILE *file = fopen(path, "re");
	json_error_t error;
	json_t *line;

	while (file && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error)))
		json_array_append_new(truths, line);
	if (file)
		fclose(file);
	return truths;
}

static void launched(struct trace *trace, const struct trace_request *request, const char *truth)
{
	struct words command = { 0 }, env = { 0 }, options = { 0 };
	struct tracer tracer;

	add_target(&command, request->argv);
	add(&env, truth);
	add_all(&env, request->env);
	add(&options, "--lane");
	add(&options, request->way == LAUNCHED_PRELOAD ? "preload" : "uprobe");
	add_all(&options, request->options);
	tracer_start(&tracer, &(struct tracer_start){
				      .options = options.word,
				      .command = command.word,
				      .env = env.word,
			      });
	trace->report = tracer_finish(&tracer);
	trace->memtrace = tracer.child;
}

static void attached(struct trace *trace, const struct trace_request *request, const char *truth)
{
	bool held = request->way == ATTACHED_HELD;
	struct words options = { 0 }, env = { 0 };
	struct tracer tracer;
	struct target target;

	add(&env, truth);
	add_all(&env, request->env);
	target_start(&target, request->argv, env.word);
	trace->pid = target.child->pid;
	add(&options, "-p");
	add(&options, text_of("%d", (int)trace->pid));
	add_all(&options, request->options);
	tracer_start(&tracer, &(struct tracer_start){ .options = options.word });
	tracer_wait_ready(&tracer);
	target_go(&target);
	if (held) {
		target_wait_done(&target);
		child_signal(tracer.child, SIGINT);
		trace->report = tracer_finish(&tracer);
		cr_expect(child_runs(target.child), "the target did not outlive memtrace");
		target_release(&target);
		trace->target_status = child_wait(target.child);
	} else {
		target_release(&target);
		trace->target_status = child_wait(target.child);
		trace->report = tracer_finish(&tracer);
	}
	trace->memtrace = tracer.child;
}

void trace_run(struct trace *trace, const struct trace_request *request)
{
	const char *path = stage_path("truth");

	unlink(path);
	*trace = (struct trace){ .way = request->way, .env = request->env };
	if (request->way == LAUNCHED || request->way == LAUNCHED_PRELOAD)
		launched(trace, request, text_of("MT_TRUTH=%s", path));
	else
		attached(trace, request, text_of("MT_TRUTH=%s", path));
	if (!trace->report && request->way == LAUNCHED_PRELOAD &&
	    strstr(file_text(trace->memtrace->err), "nothing can be preloaded"))
		skip("nothing can be preloaded into %s", request->argv[0]);
	if (!trace->report)
		fatal("memtrace left no report (wait status 0x%x): %s", child_wait(trace->memtrace),
		      file_text(trace->memtrace->err));
	trace->truths = truths_load(path);
}
