// SPDX-License-Identifier: MIT
/* witness.c - each side's stacks as sorted texts, a line for each frame, and their comparison. */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../targets/stack_witness.h"
#include "expect.h"

#define SHOWN 4 /* differences that are printed */
#define NAMES 256

/* One stack, or several that are equal. */
struct stack {
	char *frames; /* "module address\n", leaf first */
	long long blocks, bytes;
	bool cut;     /* memtrace says: a row that cannot be said */
	bool matched;
};

struct stacks {
	struct stack *list;
	size_t cnt, cap;
};

static int by_frames(const void *a, const void *b)
{
	return strcmp(((const struct stack *)a)->frames, ((const struct stack *)b)->frames);
}

static void stacks_add(struct stacks *s, struct stack stack)
{
	if (s->cnt == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 1024;
		s->list = realloc(s->list, s->cap * sizeof(*s->list));
		if (!s->list)
			fatal("out of memory");
	}
	s->list[s->cnt++] = stack;
}

/* Sorted, equal ones added up. */
static void stacks_sort(struct stacks *s)
{
	size_t to = 0;

	if (s->cnt)
		qsort(s->list, s->cnt, sizeof(*s->list), by_frames);
	for (size_t i = 0; i < s->cnt; i++) {
		if (to && !by_frames(&s->list[to - 1], &s->list[i])) {
			s->list[to - 1].blocks += s->list[i].blocks;
			s->list[to - 1].bytes += s->list[i].bytes;
			s->list[to - 1].cut |= s->list[i].cut;
			free(s->list[i].frames);
		} else {
			s->list[to++] = s->list[i];
		}
	}
	s->cnt = to;
}

static void stacks_free(struct stacks *s)
{
	for (size_t i = 0; i < s->cnt; i++)
		free(s->list[i].frames);
	free(s->list);
}

static struct stack *stacks_find(const struct stacks *s, const char *frames)
{
	struct stack key = { .frames = (char *)frames };

	return s->cnt ? bsearch(&key, s->list, s->cnt, sizeof(*s->list), by_frames) : NULL;
}

/* ---- names of modules ---------------------------------------------------------------------------- */

/* Loader and kernel call a file by different paths; both lead to one. */
static const char *real_name(const char *name)
{
	static struct {
		const char *name, *real;
	} known[NAMES];
	static size_t cnt;
	char real[PATH_MAX];

	for (size_t i = 0; i < cnt; i++)
		if (!strcmp(known[i].name, name))
			return known[i].real;
	if (cnt == NAMES)
		fatal("too many modules");
	known[cnt].name = text_of("%s", name);
	known[cnt].real = name[0] == '/' && realpath(name, real) ? text_of("%s", real) :
								   known[cnt].name;
	return known[cnt++].real;
}

/* ---- the witness's side ---------------------------------------------------------------------------- */

static char *frames_of_witness(const struct witness_table *t, const struct witness_stack *s)
{
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	for (unsigned int i = 0; i < s->cnt; i++) {
		uint64_t word = t->words[s->first + i];
		const char *name = real_name(t->modules[WITNESS_MODULE(word)].name);

		if (!strcmp(name, real_name(PRELOAD_LIB)))
			continue; /* who called it is who allocated */
		fprintf(out, "%s %#llx\n", name, (unsigned long long)WITNESS_ADDRESS(word));
	}
	fclose(out);
	return text;
}

/* The n-th image of a process; false when there is none. */
static bool witness_load(struct stacks *s, const char *dir, long long pid, unsigned int n)
{
	const char *path = text_of("%s/%lld.%u", dir, pid, n);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct witness_table *t;

	if (fd < 0)
		return false;
	t = mmap(NULL, sizeof(*t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (t == MAP_FAILED || t->magic != WITNESS_MAGIC || t->pid != pid)
		fatal("%s is no witness's file", path);
	cr_assert_eq(t->lost, 0, "the witness had no room");
	for (size_t i = 0; i < WITNESS_STACKS; i++) {
		const struct witness_stack *w = &t->stacks[i];

		if (w->blocks)
			stacks_add(s, (struct stack){ frames_of_witness(t, w),
						      (long long)w->blocks, (long long)w->bytes,
						      false, false });
	}
	munmap((void *)t, sizeof(*t));
	stacks_sort(s);
	return true;
}

/* ---- memtrace's side -------------------------------------------------------------------------------- */

static const char *text(const json_t *object, const char *name)
{
	return json_string_value(member(object, name)) ?: "";
}

/* The physical frames without the witness's own; *seen: there were such. */
static char *frames_of_site(const json_t *site, const char *witness, bool *seen, const char **last)
{
	size_t len, i;
	char *out_text;
	FILE *out = open_memstream(&out_text, &len);
	bool outside = false;
	json_t *frame;

	*seen = false;
	*last = "";
	json_array_foreach(member(site, "stack"), i, frame)
	{
		const char *module = real_name(text(frame, "module"));
		long long address = figure(frame, "offset");

		if (json_is_true(member(frame, "inlined")))
			continue;
		if (!outside && !strcmp(module, witness)) {
			*seen = true;
			continue;
		}
		outside = true;
		*last = text(frame, "symbol");
		/* nothing called it: where memtrace has its first byte, the witness has the one
		 * before, which is in no function */
		if (!strcmp(*last, "__start_context"))
			address--;
		fprintf(out, "%s %#llx\n", module, (unsigned long long)address);
	}
	fclose(out);
	return out_text;
}

static bool may_be_cut(const char *function, const char *const *cut_at)
{
	for (; cut_at && *cut_at; cut_at++)
		if (!strncmp(function, *cut_at, strlen(*cut_at)))
			return true;
	return false;
}

/* All stacks of a row; how many of its sites did not come through the witness. */
static size_t report_load_stacks(struct stacks *s, const json_t *report, long long row,
				 const char *const *cut_at)
{
	const char *witness = real_name(target_path("stack_witness")), *last;
	size_t i, without = 0;
	json_t *site;

	json_array_foreach(member(report, "sites"), i, site)
	{
		struct stack stack = { .blocks = figure(site, "alloc_blocks"),
				       .bytes = figure(site, "alloc_bytes") };
		bool seen;

		if (figure(site, "process") != row)
			continue;
		stack.frames = frames_of_site(site, witness, &seen, &last);
		without += !seen;
		stack.cut = !strcmp(text(site, "stack_end"), "unsupported_rule");
		cr_expect(!stack.cut || may_be_cut(last, cut_at), "a stack was cut in %s", last);
		/* the map of the process was locked by another thread: cut short, and it says so; how many
		 * may be is in the share that must be complete */
		stack.cut |= !strcmp(text(site, "stack_end"), "no_table") ||
			     !strcmp(text(site, "stack_end"), "read_fault");
		stacks_add(s, stack);
	}
	stacks_sort(s);
	return without;
}

/* ---- comparison ------------------------------------------------------------------------------------ */

static void show(const char *name, const char *whose, const struct stack *stack, size_t *shown)
{
	if ((*shown)++ >= SHOWN)
		return;
	fprintf(stderr, "%s: only %s has %lld blocks, %lld bytes at\n%s", name, whose,
		stack->blocks, stack->bytes, stack->frames);
}

/* The cut stack that this one begins with, or NULL. */
static struct stack *cut_of(const struct stacks *memtrace, const char *frames)
{
	char *head = strdup(frames), *end;
	struct stack *found = NULL;

	while (!found && (end = strrchr(head, '\n'))) {
		end[0] = '\0';
		end = strrchr(head, '\n');
		if (!end)
			break;
		end[1] = '\0';
		found = stacks_find(memtrace, head);
		if (found && !found->cut)
			found = NULL;
	}
	free(head);
	return found;
}

static void compare(struct witnessed *w, struct stacks *memtrace, struct stacks *witness)
{
	size_t shown = 0;

	for (size_t i = 0; i < witness->cnt; i++) {
		struct stack *stack = &witness->list[i];
		struct stack *same = stacks_find(memtrace, stack->frames), *cut;

		w->stacks++;
		w->blocks += stack->blocks;
		if (same && same->blocks == stack->blocks && same->bytes == stack->bytes) {
			same->matched = true;
			w->equal++;
			continue;
		}
		cut = cut_of(memtrace, stack->frames);
		if (cut) {
			cut->blocks -= stack->blocks - (same ? same->blocks : 0);
			cut->bytes -= stack->bytes - (same ? same->bytes : 0);
			cut->matched = !cut->blocks && !cut->bytes;
			if (same)
				same->matched = true;
			w->cut++;
			continue;
		}
		show(w->name, "the witness", stack, &shown);
	}
	for (size_t i = 0; i < memtrace->cnt; i++)
		if (!memtrace->list[i].matched)
			show(w->name, "memtrace", &memtrace->list[i], &shown);
	cr_expect_eq(shown, 0, "%s: %zu stacks differ", w->name, shown);
}

static void compare_row(struct witnessed *w, const json_t *report, const json_t *row,
			unsigned int *image, const char *const *cut_at)
{
	const char *exe = text(row, "exe");
	struct stacks memtrace = { 0 }, witness = { 0 };
	size_t without = report_load_stacks(&memtrace, report, figure(row, "id"), cut_at);

	if (memtrace.cnt) {
		cr_expect(!without || !strcmp(text(row, "lane"), "preload"),
			  "%s: %zu sites of %s did not come through the witness", w->name, without,
			  exe);
		cr_expect(witness_load(&witness, w->dir, figure(row, "pid"), (*image)++),
			  "%s: the witness saw nothing of %s", w->name, exe);
		compare(w, &memtrace, &witness);
	}
	stacks_free(&memtrace);
	stacks_free(&witness);
}

/* Rows of a pid are in order of its images. The first of all is env's. */
static void compare_all(struct witnessed *w, const json_t *report, const char *const *cut_at)
{
	json_t *row, *env = NULL;
	size_t i;

	json_array_foreach(member(report, "processes"), i, row)
	{
		if (!env || figure(row, "id") < figure(env, "id"))
			env = row;
	}
	cr_expect_str_eq(text(env, "ended_by"), "exec");
	json_array_foreach(member(report, "processes"), i, row)
	{
		long long pid = figure(row, "pid");
		unsigned int image = 0;

		if (row != row_of_pid(report, pid, 0))
			continue;
		for (size_t n = row == env; row_of_pid(report, pid, n); n++)
			compare_row(w, report, row_of_pid(report, pid, n), &image, cut_at);
		cr_expect_neq(access(text_of("%s/%lld.%u", w->dir, pid, image), F_OK), 0,
			      "%s: pid %lld has allocations that only the witness saw", w->name,
			      pid);
	}
}

static double share_complete(const json_t *report)
{
	long long all = 0, complete = figure(report, "stack_quality.complete");
	json_t *quality = member(report, "stack_quality"), *value;
	const char *key;

	json_object_foreach(quality, key, value)
	{
		all += json_integer_value(value);
	}
	return all ? 100.0 * (double)complete / (double)all : 100.0;
}

/* In the preload lane the witness comes after memtrace's library, else instead of it. */
void witnessed_start(struct witnessed *w, const char *lane, const char *name,
		     const char *const *argv, const char *const *env, int out_fd)
{
	const char *command[WORDS_MAX];
	size_t cnt = 0;

	*w = (struct witnessed){
		.name = text_of("%s, %s lane", name, lane),
		.dir = stage_path(text_of("witness-%s", lane)),
	};
	if (mkdir(w->dir, 0777) || chmod(w->dir, 0777))
		fatal("cannot make %s: %s", w->dir, strerror(errno));
	command[cnt++] = find_program("sh");
	command[cnt++] = "-c";
	command[cnt++] = text_of("export MT_WITNESS=%s LD_PRELOAD=\"$LD_PRELOAD%s%s\"; exec \"$@\"",
				 w->dir, strcmp(lane, "preload") ? "" : ":",
				 target_path("stack_witness"));
	command[cnt++] = "sh";
	if (env)
		command[cnt++] = find_program("env");
	while (env && *env)
		command[cnt++] = *env++;
	while (*argv && cnt + 1 < WORDS_MAX)
		command[cnt++] = *argv++;
	command[cnt] = NULL;
	tracer_start(&w->tracer, &(struct tracer_start){
					 .options = LIST("--stack-depth", "127", "--lane", lane),
					 .command = command,
					 .out_fd = out_fd,
				 });
}

void witnessed_finish(struct witnessed *w, const char *const *cut_at)
{
	json_t *report = tracer_finish(&w->tracer);

	expect_exit(w->tracer.child, 0);
	cr_assert_not_null(report, "%s", file_text(w->tracer.child->err));
	expect_consistent(report);
	compare_all(w, report, cut_at);
	w->complete = share_complete(report);
	fprintf(stderr,
		"%s: %lld allocations by %zu stacks, %zu equal, %zu cut; %.3f %% complete\n",
		w->name, w->blocks, w->stacks, w->equal, w->cut, w->complete);
}

void expect_witnessed(const char *name, const char *const *argv, const char *const *env,
		      size_t stacks_min)
{
	static const char *const lanes[] = { "preload", "uprobe" };

	for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
		struct witnessed w;

		witnessed_start(&w, lanes[i], name, argv, env, 0);
		witnessed_finish(&w, NULL);
		cr_expect_geq(w.stacks, stacks_min, "%s: only %zu stacks", w.name, w.stacks);
		cr_expect_geq(w.complete, 99.5, "%s: %.3f %% complete", w.name, w.complete);
	}
}
