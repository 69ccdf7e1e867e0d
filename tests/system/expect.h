/* SPDX-License-Identifier: MIT */
/* expect.h - what a report must say: of itself, and against a truth. */
#ifndef TESTS_SYSTEM_EXPECT_H
#define TESTS_SYSTEM_EXPECT_H

#include "harness.h"
#include "valgrind.h"

/* A member that must be there and be an integer. Names may be a path: "limit.bytes". */
long long figure(const json_t *object, const char *name);
json_t *member(const json_t *object, const char *name);

/* A process row: the n-th of a pid in order of id, or NULL. */
json_t *row_of_pid(const json_t *report, long long pid, size_t n);
json_t *row_of_id(const json_t *report, long long id);
json_t *only_row(const json_t *report); /* fails unless there is exactly one */
size_t row_cnt(const json_t *report);

/* Every sum a final report states of itself: nothing lost, rows, totals and sites agree. */
void expect_consistent(const json_t *report);

/* Every figure of the row is the truth's, with what the C library allocated beside it. */
void expect_row(const json_t *row, const json_t *truth, enum way way, const char *const *env);

/* What a preloaded allocator, and the libraries it needs, allocate in a program that does nothing:
 * by a library that counts the calls in between. */
struct usage preloaded_usage(const char *library, bool own_names);

/* Consistent; every line of truth has its row, and (launched) every row its line. */
void expect_exact(const struct trace *trace);

/* Runs the target one way and expects exactness and exit status 0. */
void expect_target_exact(enum way way, const char *const *argv);
void expect_request_exact(const struct trace_request *request);

/* Three tests from one sentence; what follows are the target's words. */
#define EACH_WAY(suite, sentence, ...)                                   \
	Test(suite, sentence##_launched)                                 \
	{                                                                \
		expect_target_exact(LAUNCHED, LIST(__VA_ARGS__));        \
	}                                                                \
	Test(suite, sentence##_launched_preload)                          \
	{                                                                \
		expect_target_exact(LAUNCHED_PRELOAD, LIST(__VA_ARGS__)); \
	}                                                                \
	Test(suite, sentence##_attached)                          \
	{                                                         \
		expect_target_exact(ATTACHED, LIST(__VA_ARGS__)); \
	}

/* The one site of a process whose leaf function (inlined frames aside) is this one, or NULL. */
json_t *site_of(const json_t *report, const json_t *row, const char *function);
const char *site_function(const json_t *site);

/* Each site the truth names is there, with its figures. */
void expect_sites(const json_t *report, const json_t *row, const json_t *truth);

/* Exactly one line on stderr, it begins with "memtrace: " and holds each of the words. */
void expect_one_line(struct child *memtrace, const char *const *words);
void expect_stderr_has(struct child *memtrace, const char *word);

/* Not a byte of the process's code differs from the files it was mapped from. */
void expect_code_untouched(pid_t pid);

#endif
