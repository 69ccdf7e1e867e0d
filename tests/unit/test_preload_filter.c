// SPDX-License-Identifier: MIT
/* The set of sampled addresses, against a table of what was put in. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "preload/filter.h"
#include "preload/sample.h"

#define SLOTS 20000
#define THREADS 4

/* As an allocator hands them out: 16 bytes apart at least, in order. */
static void *address(size_t i)
{
	return (void *)(0x555555550000 + i * 48);
}

Test(preload_filter, knows_what_was_put_in_and_nothing_else)
{
	static bool in[SLOTS];
	struct filter filter = { .bytes = 0 };
	uint64_t state = 1, live = 0;

	for (int step = 0; step < 1000000; step++) {
		size_t i = sample_random(&state) % SLOTS;

		if (in[i])
			cr_assert(filter_may_have(&filter, address(i)), "missed after %d", step);
		cr_assert_eq(filter_remove(&filter, address(i)), in[i]);
		cr_assert_not(filter_remove(&filter, address(i)));
		live -= in[i];
		in[i] = sample_random(&state) % 2;
		if (in[i]) {
			cr_assert(filter_add(&filter, address(i)));
			live++;
		}
		cr_assert_eq(filter.live, live);
	}
}

Test(preload_filter, takes_no_memory_until_something_is_put_in)
{
	struct filter filter = { .bytes = 0 };

	cr_expect_not(filter_may_have(&filter, address(1)));
	cr_expect_not(filter_remove(&filter, address(1)));
	cr_expect_eq(filter.bytes, 0U);
	cr_expect(filter_add(&filter, address(1)));
	cr_expect_eq(filter.bytes, 16384 + sizeof(struct filter_table));
}

Test(preload_filter, grows_with_what_is_in_it)
{
	struct filter filter = { .bytes = 0 };
	const size_t cnt = 300000;

	for (size_t i = 0; i < cnt; i++) {
		cr_assert(filter_add(&filter, address(i)));
		/* a table is two thirds full before there is a next, 4 times as large; a third on
		 * top for those before it */
		cr_assert_leq(filter.bytes, 17000 + 130 * (i + 1));
	}
	for (size_t i = 0; i < cnt; i++)
		cr_assert(filter_may_have(&filter, address(i)));
	for (size_t i = 0; i < cnt; i++)
		cr_assert(filter_remove(&filter, address(i)));
	cr_expect_eq(filter.live, 0U);
	for (size_t i = 0; i < cnt; i++)
		cr_assert_not(filter_remove(&filter, address(i)));
}

/* Of addresses that are not in it, how many does one load not tell apart? 8 counters for each slot.
 */
Test(preload_filter, lets_most_others_pass_at_a_glance)
{
	struct filter filter = { .bytes = 0 };
	size_t glances = 0, others = 200000;

	for (size_t i = 0; i < 500; i++)
		cr_assert(filter_add(&filter, address(i * 400)));
	for (size_t i = 0; i < others; i++)
		glances += i % 400 && filter_may_have(&filter, address(i));
	/* 500 of 8192 counters: 6 % */
	cr_expect_lt(glances, others / 10, "%zu", glances);
}

Test(preload_filter, bears_it_when_more_hash_alike_than_a_counter_counts)
{
	struct filter filter = { .bytes = 0 };
	static void *alike[400];
	size_t cnt = 0;

	for (size_t i = 0; cnt < 400; i++) {
		if (filter_place(address(i)) % 8192 == 77)
			alike[cnt++] = address(i);
	}
	for (size_t i = 0; i < cnt; i++)
		cr_assert(filter_add(&filter, alike[i]));
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < cnt; i++)
			cr_assert(filter_may_have(&filter, alike[i]));
		for (size_t i = 0; i < cnt; i++)
			cr_assert(filter_remove(&filter, alike[i]));
		for (size_t i = 0; i < cnt; i++)
			cr_assert(filter_add(&filter, alike[i]));
	}
}

struct worker {
	pthread_t thread;
	struct filter *filter;
	size_t first;
	size_t missed;
};

/* Each has addresses of its own, all share tables, buckets and counters. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	static _Thread_local bool in[SLOTS];
	uint64_t state = worker->first;

	for (int step = 0; step < 200000; step++) {
		size_t i = sample_random(&state) % SLOTS;
		void *mine = address(i * THREADS + worker->first);

		if (in[i]) {
			worker->missed += !filter_may_have(worker->filter, mine);
			worker->missed += !filter_remove(worker->filter, mine);
		} else {
			worker->missed += !filter_add(worker->filter, mine);
		}
		in[i] = !in[i];
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (in[i])
			worker->missed += !filter_remove(worker->filter,
							 address(i * THREADS + worker->first));
	}
	return NULL;
}

Test(preload_filter, misses_nothing_when_threads_race)
{
	struct filter filter = { .bytes = 0 };
	struct worker workers[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .filter = &filter, .first = i };
		cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		cr_expect_eq(workers[i].missed, 0U);
	}
	cr_expect_eq(filter.live, 0U);
}
