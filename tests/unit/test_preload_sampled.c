// SPDX-License-Identifier: MIT
/* Sampling in processes: what comes is right, what was taken is seen to its end, whatever changes.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload_listener.h"

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

TestSuite(preload_sampled, .init = setup, .fini = teardown, .timeout = 120);

static struct mt_preload_config by_bytes(uint64_t bytes, uint64_t seed)
{
	struct mt_preload_config config = preload_config(MT_PRELOAD_BY_BYTES);

	config.sample_bytes = bytes;
	config.seed = seed;
	return config;
}

static struct mt_preload_config by_calls(double probability, uint64_t seed)
{
	struct mt_preload_config config = preload_config(MT_PRELOAD_BY_CALLS);

	config.probability = (uint64_t)(probability * (double)MT_PRELOAD_PROBABILITY_ONE);
	config.seed = seed;
	return config;
}

static const struct listener_account *last(void)
{
	return &run.accounts[run.cnt - 1];
}

static void listen_to(const struct mt_preload_config *config, const char *more, char *const argv[])
{
	struct listener_options options = { .file = &file, .config = config, .more = more };

	listener_run(&options, argv, &run);
	cr_assert(WIFEXITED(run.status) && !WEXITSTATUS(run.status), "%s: status %#x", argv[0],
		  (unsigned int)run.status);
}

#define ARGS(...) ((char *const[]){ __VA_ARGS__, NULL })

static void expect(const char *what, uint64_t got, uint64_t wanted)
{
	cr_expect_eq(got, wanted, "%s: %lu, should be %lu", what, (unsigned long)got,
		     (unsigned long)wanted);
}

/* A sample of everything is the whole: its totals are the truth, though every free asks the filter.
 */
static void expect_all(const char *more, char *const argv[])
{
	struct mt_preload_config config = by_calls(1, 0);

	listen_to(&config, more, argv);
	cr_assert_gt(truth_lines(), 0U);
	for (size_t i = 0; i < truth_lines(); i++) {
		const struct listener_account *account = truth_account(&run, i);

		expect("allocs", account->allocs, truth_figure(i, "allocs"));
		expect("alloc_bytes", account->alloc_bytes, truth_figure(i, "alloc_bytes"));
		expect("frees", account->frees, truth_figure(i, "frees"));
		expect("freed_bytes", account->freed_bytes, truth_figure(i, "freed_bytes"));
		expect("reallocs", account->reallocs, truth_figure(i, "reallocs"));
		expect("failed_allocs", account->failed, truth_figure(i, "failed_allocs"));
		expect("inherited_frees", account->inherited_frees,
		       truth_figure(i, "inherited_frees"));
		expect("unknown_frees but for what the loader takes",
		       account->unknown_frees > account->loaders, 0);
		expect("what cannot be", account->wrong, 0);
	}
}

Test(preload_sampled, all_of_the_family_is_the_truth)
{
	expect_all(NULL, ARGS(TARGET("family")));
	expect_all(NULL, ARGS(TARGET("failures")));
}

Test(preload_sampled, all_of_a_mix_is_the_truth)
{
	expect_all(NULL, ARGS(TARGET("mix"), "5000"));
}

Test(preload_sampled, all_of_threads_is_the_truth)
{
	expect_all(NULL, ARGS(TARGET("threads"), "4", "2000"));
}

Test(preload_sampled, a_forked_child_knows_what_was_taken_before)
{
	expect_all(NULL, ARGS(TARGET("fork_inherit")));
}

Test(preload_sampled, an_allocator_that_calls_itself_is_sampled_once)
{
	expect_all(TARGET("jump_heap"), ARGS(TARGET("jump_over")));
}

/* A free that was missed shows: the address is handed out again, and is in the account twice. */
Test(preload_sampled, frees_of_what_was_taken_are_seen_and_no_others)
{
	static const double chances[] = { 0.02, 0.3, 0.7 };

	for (size_t i = 0; i < 3; i++) {
		struct mt_preload_config config = by_calls(chances[i], i + 1);
		double taken = chances[i] * 4500;

		listen_to(&config, NULL, ARGS(TARGET("mix"), "8000"));
		expect("unknown_frees", last()->unknown_frees, 0);
		expect("what cannot be", last()->wrong, 0);
		cr_expect(last()->allocs > taken / 2 && last()->allocs < taken * 2, "%lu",
			  (unsigned long)last()->allocs);
		cr_expect_gt(last()->frees, last()->allocs / 2);
	}
}

Test(preload_sampled, sums_are_near_the_truth)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct mt_preload_config config = by_bytes(3000, seed);
		double bytes, blocks, mean_size;

		listen_to(&config, NULL, ARGS(TARGET("mix"), "10000"));
		bytes = (double)truth_figure(0, "alloc_bytes");
		blocks = (double)truth_figure(0, "allocs");
		mean_size = bytes / blocks;
		/* a point each 3000 bytes on average: 1 / sqrt(points) of error, four of them
		 * allowed */
		cr_expect_lt(fabs((double)last()->weight / bytes - 1), 4 / sqrt(bytes / 3000));
		cr_expect_lt(fabs((double)last()->count / MT_PRELOAD_COUNT_ONE / blocks - 1), 0.35);
		cr_expect_lt((double)last()->allocs, blocks / 3);
		cr_expect_gt((double)last()->allocs, bytes / 3000 / 2, "%g", mean_size);
		expect("what cannot be", last()->wrong, 0);
	}
}

/* ---- whose numbers -----------------------------------------------------------------------------
 */

#define CHILDREN 8

struct firsts {
	pid_t pid[CHILDREN + 1];
	uint64_t address[CHILDREN + 1];
	size_t cnt;
};

static void note_first(const struct listener_event *event, void *context)
{
	struct firsts *firsts = context;

	if (strcmp(event->site->name, "alloc") || firsts->cnt > CHILDREN)
		return;
	for (size_t i = 0; i < firsts->cnt; i++) {
		if (firsts->pid[i] == event->pid)
			return;
	}
	firsts->pid[firsts->cnt] = event->pid;
	firsts->address[firsts->cnt++] = event->arg[0];
}

static struct firsts firsts_of(uint64_t seed)
{
	struct mt_preload_config config = by_bytes(20000, seed);
	struct firsts firsts = { .cnt = 0 };
	struct listener_options options = {
		.file = &file,
		.config = &config,
		.on_event = note_first,
		.context = &firsts,
	};

	listener_run(&options, ARGS(TARGET("fork_alike")), &run);
	cr_assert_eq(run.status, 0);
	cr_assert_geq(firsts.cnt, (size_t)CHILDREN - 1);
	return firsts;
}

/* The same calls at the same addresses: children that drew their parent's numbers would take the
 * same. */
Test(preload_sampled, forked_children_take_different_blocks)
{
	for (uint64_t seed = 0; seed < 2; seed++) {
		struct firsts firsts = firsts_of(seed);
		size_t alike = 0;

		for (size_t i = 1; i < firsts.cnt; i++)
			alike += firsts.address[i] == firsts.address[i - 1];
		cr_expect_leq(alike, 2U);
	}
}

/* Offsets in the heap: where that is differs from run to run. */
Test(preload_sampled, a_seed_makes_a_run_come_out_the_same)
{
	struct firsts a = firsts_of(77), b = firsts_of(77);

	cr_assert_eq(a.cnt, b.cnt);
	for (size_t i = 1; i < a.cnt; i++)
		cr_expect_eq(a.address[i] - a.address[0], b.address[i] - b.address[0]);
}

/* ---- changes while it runs ---------------------------------------------------------------------
 */

struct change {
	uint64_t after; /* events of the account */
	struct mt_preload_config to;
	uint64_t seen, allocs_after, frees_after;
};

/* Writes the page, in the file that the stopped process has mapped: generation last. */
static void write_config(const struct mt_preload_config *config)
{
	uint64_t offset, bytes, flags, generation = config->generation;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/listened.so", preload_stage());
	cr_assert(preload_section(&file, MT_PRELOAD_CONFIG_SECTION, &offset, &bytes, &flags));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(
		pwrite(fd, config, offsetof(struct mt_preload_config, generation), (off_t)offset),
		(ssize_t)offsetof(struct mt_preload_config, generation));
	cr_assert_eq(pwrite(fd, &generation, sizeof(generation),
			    (off_t)(offset + offsetof(struct mt_preload_config, generation))),
		     (ssize_t)sizeof(generation));
	close(fd);
}

static void change_config(const struct listener_event *event, void *context)
{
	struct change *change = context;

	change->seen++;
	if (change->seen == change->after) {
		change->to.generation = 1;
		write_config(&change->to);
	} else if (change->seen > change->after) {
		change->allocs_after += !strcmp(event->site->name, "alloc");
		change->frees_after += !strcmp(event->site->name, "free");
	}
}

static void listen_changing(const struct mt_preload_config *from, struct change *change)
{
	struct listener_options options = {
		.file = &file,
		.config = from,
		.on_event = change_config,
		.context = change,
	};

	listener_run(&options, ARGS(TARGET("mix"), "6000"), &run);
	cr_assert_eq(run.status, 0);
	cr_assert_geq(change->seen, change->after);
	expect("what cannot be", last()->wrong, 0);
}

Test(preload_sampled, exact_turned_off_takes_no_more_and_sees_frees_of_what_it_had)
{
	struct change change = { .after = 1001, .to = preload_config(MT_PRELOAD_OFF) };

	listen_changing(NULL, &change);
	expect("allocs after", change.allocs_after, 0);
	/* up to 512 blocks lived then, and the program goes on to replace them all */
	cr_expect_gt(change.frees_after, 100U);
	cr_expect_lt(last()->live_blocks, 20U);
}

Test(preload_sampled, exact_turned_to_samples_sees_frees_of_what_it_counted)
{
	struct change change = { .after = 1001, .to = by_calls(1, 3) };

	listen_changing(NULL, &change);
	expect("allocs", last()->allocs, truth_figure(0, "allocs"));
	expect("frees", last()->frees, truth_figure(0, "frees"));
	expect("live_bytes", last()->live_bytes, truth_figure(0, "live_bytes"));
}

Test(preload_sampled, samples_turned_exact_see_frees_of_what_was_sampled)
{
	struct mt_preload_config all = by_calls(1, 3);
	struct change change = { .after = 1001, .to = preload_config(MT_PRELOAD_EXACT) };

	listen_changing(&all, &change);
	expect("allocs", last()->allocs, truth_figure(0, "allocs"));
	expect("frees", last()->frees, truth_figure(0, "frees"));
	expect("live_bytes", last()->live_bytes, truth_figure(0, "live_bytes"));
}

Test(preload_sampled, samples_turned_off_see_frees_of_what_was_sampled_and_no_others)
{
	struct mt_preload_config some = by_calls(0.5, 3);
	struct change change = { .after = 501, .to = preload_config(MT_PRELOAD_OFF) };

	listen_changing(&some, &change);
	expect("allocs after", change.allocs_after, 0);
	expect("unknown_frees", last()->unknown_frees, 0);
	cr_expect_gt(change.frees_after, 30U);
	cr_expect_lt(last()->live_blocks, 20U);
}

Test(preload_sampled, fewer_samples_are_taken_as_soon_as_that_is_asked_for)
{
	struct mt_preload_config many = by_bytes(1, 3);
	struct change change = { .after = 1001, .to = by_bytes(1 << 30, 3) };

	listen_changing(&many, &change);
	cr_expect_leq(change.allocs_after, 1U);
	expect("unknown_frees", last()->unknown_frees, 0);
}
