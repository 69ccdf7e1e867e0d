// SPDX-License-Identifier: MIT
/* What the preload library fires, seen by a debugger, against what programs count themselves. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload_listener.h"

#define SKIP(...)                                      \
	do {                                           \
		fprintf(stderr, "SKIP: " __VA_ARGS__); \
		cr_skip_test(__VA_ARGS__);             \
	} while (0)

#define TARGET(name) TARGETS_DIR "/" name

static struct preload_file file;
static struct listener_run run;

static void setup(void)
{
	preload_read(&file);
}

static void teardown(void)
{
	preload_file_free(&file);
	preload_unstage();
}

TestSuite(preload_events, .init = setup, .fini = teardown, .timeout = 120);

static void listen_to(const char *more, char *const argv[])
{
	struct listener_options options = { .file = &file, .more = more };

	listener_run(&options, argv, &run);
	cr_assert(WIFEXITED(run.status) && !WEXITSTATUS(run.status), "%s: status %#x", argv[0],
		  (unsigned int)run.status);
}

#define LISTEN_TO(...) listen_to(NULL, (char *const[]){ __VA_ARGS__, NULL })

static void expect(const char *what, uint64_t got, uint64_t wanted)
{
	cr_expect_eq(got, wanted, "%s: %lu, should be %lu", what, (unsigned long)got,
		     (unsigned long)wanted);
}

/* One account against the line of the truth; others are what libraries allocate for themselves. */
static void expect_line(size_t line, uint64_t other_blocks, uint64_t other_bytes)
{
	const struct listener_account *account = truth_account(&run, line);

	expect("allocs", account->allocs, truth_figure(line, "allocs") + other_blocks);
	expect("alloc_bytes", account->alloc_bytes,
	       truth_figure(line, "alloc_bytes") + other_bytes);
	expect("frees", account->frees, truth_figure(line, "frees"));
	expect("freed_bytes", account->freed_bytes, truth_figure(line, "freed_bytes"));
	expect("reallocs", account->reallocs, truth_figure(line, "reallocs"));
	expect("failed_allocs", account->failed, truth_figure(line, "failed_allocs"));
	expect("inherited_frees", account->inherited_frees, truth_figure(line, "inherited_frees"));
	expect("live_bytes", account->live_bytes, truth_figure(line, "live_bytes") + other_bytes);
	expect("weight", account->weight, account->alloc_bytes);
	expect("count", account->count, account->allocs * MT_PRELOAD_COUNT_ONE);
	expect("what cannot be", account->wrong, 0);
}

static void expect_truth(void)
{
	cr_assert_gt(truth_lines(), 0U);
	for (size_t i = 0; i < truth_lines(); i++)
		expect_line(i, 0, 0);
}

#define EQUALS_THE_TRUTH(sentence, ...) \
	Test(preload_events, sentence)  \
	{                               \
		LISTEN_TO(__VA_ARGS__); \
		expect_truth();         \
	}

EQUALS_THE_TRUTH(count_every_member_of_the_family, TARGET("family"))
EQUALS_THE_TRUTH(count_calls_that_fail_as_no_block, TARGET("failures"))
EQUALS_THE_TRUTH(count_a_random_mix, TARGET("mix"), "4000")
EQUALS_THE_TRUTH(count_blocks_that_threads_hand_over, TARGET("threads"), "4", "2000")
EQUALS_THE_TRUTH(count_threads_that_come_and_go, TARGET("thread_exit"), "20")
EQUALS_THE_TRUTH(give_a_forked_child_an_account_of_its_own, TARGET("fork_inherit"))
EQUALS_THE_TRUTH(count_a_vfork_child_in_its_parents_heap, TARGET("vfork_heap"))
EQUALS_THE_TRUTH(count_on_after_longjmp, TARGET("jump_plain"))
EQUALS_THE_TRUTH(count_what_libc_allocates_for_its_caller, TARGET("libc_callers"))
EQUALS_THE_TRUTH(count_reallocs_that_move_and_fail, TARGET("peak_realloc"))

/* What libstdc++ takes at the start, for exceptions when memory has run out. */
static void libstdcxx(uint64_t *blocks, uint64_t *bytes)
{
	LISTEN_TO(TARGET("cxx_empty"));
	*blocks = run.accounts[run.cnt - 1].allocs;
	*bytes = run.accounts[run.cnt - 1].alloc_bytes;
	cr_assert_leq(*blocks, 1U);
}

#define EQUALS_THE_TRUTH_CXX(sentence, ...)    \
	Test(preload_events, sentence)         \
	{                                      \
		uint64_t blocks, bytes;        \
                                               \
		libstdcxx(&blocks, &bytes);    \
		LISTEN_TO(__VA_ARGS__);        \
		expect_line(0, blocks, bytes); \
	}

EQUALS_THE_TRUTH_CXX(count_an_operator_new_once, TARGET("cxx_new"))
EQUALS_THE_TRUTH_CXX(count_on_after_exceptions, TARGET("cxx_throw"))
EQUALS_THE_TRUTH_CXX(count_operators_that_fail, TARGET("cxx_bad_alloc"))

Test(preload_events, claim_an_address_space_once_and_before_all_else)
{
	LISTEN_TO(TARGET("family"));
	expect("claims", run.accounts[run.cnt - 1].claims, 1);
	LISTEN_TO(TARGET("fork_inherit"));
	expect("claims of the parent", truth_account(&run, truth_lines() - 1)->claims, 1);
	for (size_t i = 0; i < run.cnt; i++)
		cr_expect_leq(run.accounts[i].claims, 1U);
}

Test(preload_events, do_not_come_from_a_program_with_its_own_malloc)
{
	LISTEN_TO(TARGET("nest_own"));
	for (size_t i = 0; i < run.cnt; i++) {
		expect("claims", run.accounts[i].claims, 0);
		expect("allocs", run.accounts[i].allocs, 0);
		expect("unknown_frees", run.accounts[i].unknown_frees, 0);
	}
}

/* ---- other allocators --------------------------------------------------------------------------
 */

static void with_allocator(const char *library)
{
	uint64_t blocks, bytes;
	char path[128];

	snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/%s", library);
	if (access(path, R_OK))
		SKIP("%s is not installed\n", library);
	listen_to(path, (char *const[]){ TARGET("empty"), NULL });
	expect("claims", run.accounts[run.cnt - 1].claims, 1);
	blocks = run.accounts[run.cnt - 1].allocs;
	bytes = run.accounts[run.cnt - 1].alloc_bytes;
	listen_to(path, (char *const[]){ TARGET("mix"), "2000", NULL });
	expect_line(0, blocks, bytes);
	listen_to(path, (char *const[]){ TARGET("cxx_empty"), NULL });
	blocks = run.accounts[run.cnt - 1].allocs;
	bytes = run.accounts[run.cnt - 1].alloc_bytes;
	listen_to(path, (char *const[]){ TARGET("cxx_new"), NULL });
	expect_line(0, blocks, bytes);
}

Test(preload_events, come_from_jemalloc_and_its_operators)
{
	with_allocator("libjemalloc.so.2");
}

Test(preload_events, come_from_tcmalloc_and_its_operators)
{
	with_allocator("libtcmalloc_minimal.so.4");
}

Test(preload_events, come_from_mimalloc_and_its_operators)
{
	with_allocator("libmimalloc.so.2");
}

Test(preload_events, stop_where_an_allocator_is_preloaded_before)
{
	struct listener_options options = {
		.file = &file,
		.before = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
	};

	if (access(options.before, R_OK))
		SKIP("libjemalloc2 is not installed\n");
	listener_run(&options, (char *const[]){ TARGET("mix"), "2000", NULL }, &run);
	cr_expect_eq(run.status, 0);
	expect("claims", run.accounts[run.cnt - 1].claims, 0);
	expect("allocs", run.accounts[run.cnt - 1].allocs, 0);
}

/* An allocator before this library that lacks memalign: that call does come here, and goes on to
 * glibc. */
Test(preload_events, do_not_come_in_part_where_malloc_is_elsewhere)
{
	struct listener_options options = { .file = &file, .before = TARGET("jump_heap") };
	const struct listener_account *account;

	listener_run(&options, (char *const[]){ TARGET("family"), NULL }, &run);
	cr_assert_eq(run.status, 0);
	account = &run.accounts[run.cnt - 1];
	expect("events",
	       account->claims + account->allocs + account->frees + account->failed +
		       account->unknown_frees + account->reallocs,
	       0);
}

/* ---- calls that never return, and operators nobody has yet
 * ----------------------------------------- */

Test(preload_events, count_on_after_calls_of_the_allocator_that_never_return)
{
	listen_to(TARGET("jump_heap"), (char *const[]){ TARGET("jump_over"), NULL });
	expect_truth();
}

Test(preload_events, count_operators_of_a_library_that_is_loaded_late)
{
	uint64_t blocks, bytes, frees;

	LISTEN_TO(TARGET("late_cxx"), TARGET("late_plugin"), "0");
	blocks = run.accounts[run.cnt - 1].allocs;
	bytes = run.accounts[run.cnt - 1].alloc_bytes;
	frees = run.accounts[run.cnt - 1].frees;
	LISTEN_TO(TARGET("late_cxx"), TARGET("late_plugin"), "20");
	expect("allocs", run.accounts[run.cnt - 1].allocs, truth_figure(0, "allocs") + blocks);
	expect("frees", run.accounts[run.cnt - 1].frees, truth_figure(0, "frees") + frees);
	/* an aligned new asks for whole multiples: 256 of 128 is one; no other size is rounded */
	expect("bytes", run.accounts[run.cnt - 1].alloc_bytes,
	       truth_figure(0, "alloc_bytes") + bytes);
	expect("what cannot be", run.accounts[run.cnt - 1].wrong, 0);
}

/* ---- frames ------------------------------------------------------------------------------------
 */

struct callers {
	const char *wanted;
	size_t right, wrong;
};

static void look_at_caller(const struct listener_event *event, void *context)
{
	struct callers *callers = context;

	if (!strcmp(event->site->name, "claim"))
		return;
	if (!strcmp(event->caller, callers->wanted))
		callers->right++;
	else
		callers->wrong++;
}

static void expect_callers(const char *program, const char *wanted)
{
	struct callers callers = { .wanted = wanted };
	struct listener_options options = {
		.file = &file,
		.on_event = look_at_caller,
		.context = &callers,
	};

	listener_run(&options, (char *const[]){ (char *)program, NULL }, &run);
	cr_expect_gt(callers.right, 0U);
	cr_expect_eq(callers.wrong, 0U, "%zu right, %zu wrong", callers.right, callers.wrong);
}

Test(preload_events, have_the_programs_own_frame_next)
{
	expect_callers(TARGET("family"), TARGET("family"));
}

/* ---- OpenTelemetry's sites ---------------------------------------------------------------------
 */

struct otel {
	uint64_t allocs, bytes, weight, frees;
};

static void look_at_otel(const struct listener_event *event, void *context)
{
	struct otel *otel = context;

	if (strcmp(event->site->provider, MT_PRELOAD_OTEL_PROVIDER))
		return;
	if (!strcmp(event->site->name, "free")) {
		otel->frees++;
		return;
	}
	otel->allocs++;
	otel->bytes += event->arg[1];
	otel->weight += event->arg[2];
}

Test(preload_events, are_offered_to_opentelemetry_alone)
{
	struct otel otel = { 0 };
	struct listener_options options = {
		.file = &file,
		.listen = LISTEN_OTEL,
		.on_event = look_at_otel,
		.context = &otel,
	};

	listener_run(&options, (char *const[]){ TARGET("mix"), "3000", NULL }, &run);
	cr_assert_eq(run.status, 0);
	expect("allocs", otel.allocs, truth_figure(0, "allocs"));
	expect("bytes", otel.bytes, truth_figure(0, "alloc_bytes"));
	expect("weight", otel.weight, truth_figure(0, "alloc_bytes"));
	expect("frees", otel.frees, truth_figure(0, "frees"));
	expect("memtrace's", run.accounts[run.cnt - 1].allocs, 0);
}

/* ---- musl --------------------------------------------------------------------------------------
 */

/* A target's source, built with musl into the stage. */
static void musl(const char *target, const char *more, char *const args[])
{
	char command[512], program[128];

	if (system("command -v musl-gcc >/dev/null 2>&1"))
		SKIP("musl-gcc is not installed\n");
	snprintf(program, sizeof(program), "%s/%s", preload_stage(), target);
	snprintf(command, sizeof(command),
		 "musl-gcc -O1 -fno-builtin -pthread -o %s %s/targets/%s.c 2>&1", program,
		 TESTS_DIR, target);
	cr_assert_eq(system(command), 0);
	listen_to(more, (char *const[]){ program, args[0], args[1], NULL });
	expect_truth();
	expect("claims", run.accounts[run.cnt - 1].claims, 1);
}

Test(preload_events, equal_the_truth_under_musl_whose_calloc_calls_malloc)
{
	musl("family", NULL, (char *const[]){ NULL, NULL });
	musl("failures", NULL, (char *const[]){ NULL, NULL });
	musl("mix", NULL, (char *const[]){ "3000", NULL });
	musl("jump_plain", NULL, (char *const[]){ NULL, NULL });
}
