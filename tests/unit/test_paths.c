// SPDX-License-Identifier: MIT
/*
 * test_paths.c - call paths are told by one side (capture/paths.h) and looked up by the other
 * (preload/paths.h): here both are one process. What is told goes through /proc/self/mem to pages
 * of our own; stacks are words laid out by hand, between pages that cannot be touched. The truth is
 * a plain list of what was told.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/paths.h"
#include "memtrace/abi.h"
#include "memtrace/unwind.h"
#include "preload/paths.h"
#include "preload/sample.h"

#if defined(__x86_64__)

#define PAGE 4096UL
#define PAGES_BYTES ((sizeof(struct mt_batch) + PAGE - 1) / PAGE * PAGE)
#define STACK_BYTES (4 * PAGE)
#define DEPTH 64
#define ACCT 3
#define ACCTS 8
#define ACCT_ID 7007
#define MAPPED_AT_START 3
#define LATER_NS 1000000000 /* than anything before */

/* ---- a program ---------------------------------------------------------------------------- */

/* How a function leaves its frame: words from its stack pointer up to the CFA, and what its rule
 * says. */
enum shape { BARE, SAVES_FP, LARGE, CHAINED, REALIGNED, PLT_FIRST, PLT_SECOND, SHAPES };

static const uint32_t words_of[SHAPES] = { 1, 4, 9, 5, 7, 2, 3 };
static const uint32_t rule_of_shape[SHAPES] = {
	[BARE] = MT_RULE(MT_ROW_SP, 1, 0),
	[SAVES_FP] = MT_RULE(MT_ROW_SP, 4, 2),
	[LARGE] = MT_RULE(MT_ROW_SP, 9, 0),
	[CHAINED] = MT_RULE(MT_ROW_FP, 2, 2),
	[REALIGNED] = MT_RULE(MT_ROW_FP_DEREF, -1, 1),
	[PLT_FIRST] = MT_RULE(MT_ROW_PLT, 2, 11),
	[PLT_SECOND] = MT_RULE(MT_ROW_PLT, 2, 11),
};

/* Functions are numbers: their shapes take turns, and those from OUTERMOST on have no caller. */
#define OUTERMOST (1U << 26)

static enum shape shape_of(uint32_t function)
{
	return function % SHAPES;
}

static uint64_t pc_of(uint32_t function)
{
	return 0x555500001000ULL + function * 48ULL + (shape_of(function) == PLT_FIRST ? 5 : 13);
}

static uint32_t rule_of(uint32_t function)
{
	return function >= OUTERMOST ? MT_RULE(MT_ROW_END, 0, 0)
				     : rule_of_shape[shape_of(function)];
}

/* Who is on the stack, leaf first. */
struct calls {
	uint32_t cnt;
	uint32_t functions[MT_STACK_DEPTH_MAX + 1];
};

#define CALLS(...) \
	(&(struct calls){ sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), { __VA_ARGS__ } })

/* ---- both sides --------------------------------------------------------------------------- */

struct told {
	struct calls calls; /* cut at the depth */
	uint32_t end, site;
};

static struct {
	struct mt_acct accts[ACCTS];
	struct paths *paths;
	struct mt_batch *pages;
	char *tables[MT_PATH_GENERATIONS];
	uint64_t now_ns;
	uint32_t tickets, waited; /* for a generation to be mapped */
	uintptr_t *stack, *stack_end;
	struct told *told;
	size_t told_cnt;
} world;

static char *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(at, MAP_FAILED);
	return at;
}

/* As the library does: some at the start, others when they are wanted and it asks the next time. */
static void map_generation(uint32_t generation)
{
	cr_assert_lt(generation, (uint32_t)MT_PATH_GENERATIONS);
	if (!world.tables[generation])
		world.tables[generation] = map(MT_PATH_GENERATION_BYTES(generation));
	world.pages->tables[generation] = (uintptr_t)world.tables[generation];
}

static void start_pages(void)
{
	world.pages->epoch = 1;
	for (uint32_t i = 0; i < MAPPED_AT_START; i++)
		map_generation(i);
}

static void setup(void)
{
	char *stack = map(STACK_BYTES + 2 * PAGE);

	cr_assert_eq(mprotect(stack, PAGE, PROT_NONE), 0);
	cr_assert_eq(mprotect(stack + PAGE + STACK_BYTES, PAGE, PROT_NONE), 0);
	world.stack = (uintptr_t *)(stack + PAGE);
	world.stack_end = (uintptr_t *)(stack + PAGE + STACK_BYTES);
	world.pages = (void *)map(PAGES_BYTES);
	start_pages();
	world.accts[ACCT] = (struct mt_acct){ .id = ACCT_ID,
					      .state = MT_ACCT_LIVE,
					      .tgid = (uint32_t)getpid() };
	world.paths = paths_new(world.accts, ACCTS);
	cr_assert_not_null(world.paths);
}

static void teardown(void)
{
	paths_free(world.paths);
	free(world.told);
	munmap(world.pages, PAGES_BYTES);
	for (uint32_t i = 0; i < MT_PATH_GENERATIONS; i++)
		if (world.tables[i])
			munmap(world.tables[i], MT_PATH_GENERATION_BYTES(i));
	munmap((char *)world.stack - PAGE, STACK_BYTES + 2 * PAGE);
}

TestSuite(paths, .init = setup, .fini = teardown, .timeout = 60);

/* ---- telling ------------------------------------------------------------------------------ */

/* What the probes would say of a stack. */
static struct mt_path path_of(const struct calls *calls, uint32_t depth, uint32_t site)
{
	struct mt_path path = {
		.acct = ACCT,
		.acct_id = ACCT_ID,
		.tgid = (uint32_t)getpid(),
		.site = site,
		.ticket = (uintptr_t)world.pages | world.pages->epoch,
		.end = calls->cnt > depth ? MT_PATH_DEPTH : MT_PATH_COMPLETE,
		.frame_cnt = calls->cnt > depth ? depth : calls->cnt,
	};

	for (uint32_t n = 0; n < path.frame_cnt; n++) {
		path.pcs[n] = pc_of(calls->functions[n]);
		path.rules[n] = rule_of(calls->functions[n]);
	}
	return path;
}

static void tell_path(const struct mt_path *path)
{
	if (world.pages->wanted)
		map_generation(world.pages->wanted);
	cr_assert_eq(paths_tell(world.paths, (void *)path, sizeof(*path)), 0);
	world.tickets++;
}

/* The answer is that the library is to map a generation. */
static bool is_to_map(void)
{
	return world.pages->wanted && !world.tables[world.pages->wanted];
}

static void settle(void)
{
	world.now_ns += LATER_NS;
	paths_settle(world.paths, world.now_ns);
}

static void tell(const struct calls *calls, uint32_t depth, uint32_t site)
{
	struct mt_path path = path_of(calls, depth, site);
	struct told *told;

	tell_path(&path);
	world.told = reallocarray(world.told, world.told_cnt + 1, sizeof(*world.told));
	cr_assert_not_null(world.told);
	told = &world.told[world.told_cnt++];
	*told = (struct told){ *calls, path.end, site };
	told->calls.cnt = path.frame_cnt;
}

/* What the list says of a stack. */
static uint32_t site_in_list(const struct calls *calls, uint32_t depth)
{
	uint32_t cnt = calls->cnt > depth ? depth : calls->cnt;
	uint32_t end = calls->cnt > depth ? MT_PATH_DEPTH : MT_PATH_COMPLETE;

	for (size_t i = 0; i < world.told_cnt; i++) {
		const struct told *told = &world.told[i];

		if (told->calls.cnt == cnt && told->end == end &&
		    !memcmp(told->calls.functions, calls->functions, cnt * sizeof(uint32_t)))
			return told->site;
	}
	return 0;
}

static uint32_t refused(void)
{
	uint64_t taught, refused;

	paths_count(world.paths, &taught, &refused);
	return (uint32_t)refused;
}

/* ---- stacks ------------------------------------------------------------------------------- */

/* Writes the frame of a function that was called by one with that frame pointer. Returns its own.
 */
static uintptr_t lay_frame(uint32_t function, uintptr_t *sp, uintptr_t return_to,
			   uintptr_t callers_fp)
{
	enum shape shape = shape_of(function);
	uintptr_t *cfa = sp + words_of[shape];

	cfa[-1] = return_to;
	switch (shape) {
	case SAVES_FP:
		cfa[-2] = callers_fp;
		return 0x5eed; /* it has other use for the register */
	case CHAINED:
		cfa[-2] = callers_fp;
		return (uintptr_t)&cfa[-2];
	case REALIGNED:
		sp[2] = (uintptr_t)cfa;
		sp[3] = callers_fp;
		return (uintptr_t)&sp[3];
	default:
		return callers_fp;
	}
}

/* The frames of all, below those of nobody: where the last has a caller, its return address is 0.
 */
static void lay_stack(const struct calls *calls)
{
	uintptr_t *sp[MT_STACK_DEPTH_MAX + 2], fp = 0x0dd, return_to = 0;

	memset(world.stack, 0x5a, STACK_BYTES);
	sp[0] = world.stack + 2; /* the library's own frame pointer, and where it returns to */
	for (uint32_t n = 0; n < calls->cnt; n++)
		sp[n + 1] = sp[n] + words_of[shape_of(calls->functions[n])];
	cr_assert_lt(sp[calls->cnt], world.stack_end);
	for (uint32_t n = calls->cnt; n--;) {
		if (calls->functions[n] < OUTERMOST)
			fp = lay_frame(calls->functions[n], sp[n], return_to, fp);
		return_to = pc_of(calls->functions[n]);
	}
	world.stack[0] = fp;
	world.stack[1] = return_to;
}

static uint32_t find_laid(uint32_t depth)
{
	return paths_find(world.pages, world.stack, (uintptr_t)world.stack_end, depth);
}

static uint32_t find(const struct calls *calls, uint32_t depth)
{
	lay_stack(calls);
	return find_laid(depth);
}

/* As the list says, whatever that is. */
static void expect_as_told(const struct calls *calls, uint32_t depth)
{
	uint32_t truth = site_in_list(calls, depth), site = find(calls, depth);

	cr_expect_eq(site, truth, "site %u for a path of site %u", site, truth);
}

/* ---- what is told is found ---------------------------------------------------------------- */

Test(paths, that_were_told_are_found_with_their_sites)
{
	const struct calls *const calls[] = {
		CALLS(BARE, OUTERMOST),
		CALLS(SAVES_FP, CHAINED, OUTERMOST),
		CALLS(LARGE, BARE, CHAINED, SAVES_FP, BARE, CHAINED, OUTERMOST),
		CALLS(REALIGNED, CHAINED, REALIGNED + SHAPES, OUTERMOST),
		CALLS(PLT_FIRST, BARE, OUTERMOST),
		CALLS(PLT_SECOND, BARE, OUTERMOST),
		CALLS(CHAINED, PLT_FIRST, PLT_SECOND, REALIGNED, LARGE, SAVES_FP, OUTERMOST),
		CALLS(OUTERMOST),
	};
	const uint32_t cnt = sizeof(calls) / sizeof(calls[0]);

	for (uint32_t i = 0; i < cnt; i++)
		cr_expect_eq(find(calls[i], DEPTH), 0U, "path %u, before", i);
	for (uint32_t i = 0; i < cnt; i++)
		tell(calls[i], DEPTH, 100 + i);
	for (uint32_t i = 0; i < cnt; i++)
		cr_expect_eq(find(calls[i], DEPTH), 100 + i, "path %u", i);
	cr_expect_eq(world.pages->answered, cnt);
}

Test(paths, of_every_two_functions_are_told_apart)
{
	struct calls calls = { 4, { 0, 0, 1, OUTERMOST } };
	uint32_t site = 0;

	for (uint32_t a = 0; a < 3 * SHAPES; a++)
		for (uint32_t b = 0; b < 3 * SHAPES; b++) {
			calls.functions[0] = a;
			calls.functions[1] = b;
			tell(&calls, DEPTH, ++site);
		}
	site = 0;
	for (uint32_t a = 0; a < 3 * SHAPES; a++)
		for (uint32_t b = 0; b < 3 * SHAPES; b++) {
			calls.functions[0] = a;
			calls.functions[1] = b;
			cr_expect_eq(find(&calls, DEPTH), ++site);
		}
}

/* As where a program's first function was called by nobody, or a thread's stack was made by hand.
 */
Test(paths, that_end_with_a_return_address_of_0_are_complete)
{
	tell(CALLS(CHAINED, BARE, SAVES_FP), DEPTH, 5);
	cr_expect_eq(find(CALLS(CHAINED, BARE, SAVES_FP), DEPTH), 5U);
	cr_expect_eq(find(CALLS(CHAINED, BARE), DEPTH), 0U);
}

Test(paths, that_are_as_deep_as_stacks_may_be_are_found)
{
	struct calls calls = { .cnt = MT_STACK_DEPTH_MAX };

	for (uint32_t n = 0; n < calls.cnt; n++)
		calls.functions[n] = n;
	calls.functions[calls.cnt - 1] = OUTERMOST;
	tell(&calls, MT_STACK_DEPTH_MAX, 9);
	cr_expect_eq(find(&calls, MT_STACK_DEPTH_MAX), 9U);
}

/* ---- what is not told is not found -------------------------------------------------------- */

/* All functions in it are known, so only the path as a whole can tell. */
static const struct calls *told_one(void)
{
	static const struct calls told = { 5, { CHAINED, BARE, SAVES_FP, LARGE, OUTERMOST } };

	tell(&told, DEPTH, 1);
	tell(CALLS(PLT_FIRST, BARE + SHAPES, REALIGNED, OUTERMOST + 1), DEPTH, 2);
	return &told;
}

Test(paths, with_a_frame_more_are_others)
{
	const struct calls *told = told_one();
	static const uint32_t more[] = { BARE, CHAINED, REALIGNED, PLT_FIRST };

	for (uint32_t at = 0; at < told->cnt; at++)
		for (uint32_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
			struct calls longer = *told;

			longer.cnt++;
			memmove(&longer.functions[at + 1], &told->functions[at],
				(told->cnt - at) * sizeof(uint32_t));
			longer.functions[at] = more[i];
			cr_expect_eq(find(&longer, DEPTH), 0U, "%u before frame %u", more[i], at);
		}
	expect_as_told(told, DEPTH);
}

Test(paths, with_a_frame_less_are_others)
{
	const struct calls *told = told_one();

	for (uint32_t at = 0; at < told->cnt; at++) {
		struct calls shorter = *told;

		shorter.cnt--;
		memmove(&shorter.functions[at], &told->functions[at + 1],
			(told->cnt - at - 1) * sizeof(uint32_t));
		cr_expect_eq(find(&shorter, DEPTH), 0U, "without frame %u", at);
	}
	expect_as_told(told, DEPTH);
}

Test(paths, with_another_frame_in_one_place_are_others)
{
	const struct calls *told = told_one();
	static const uint32_t known[] = { CHAINED,   BARE,	SAVES_FP,     LARGE,
					  PLT_FIRST, REALIGNED, BARE + SHAPES };

	for (uint32_t at = 0; at + 1 < told->cnt; at++)
		for (uint32_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			struct calls other = *told;

			other.functions[at] = known[i];
			expect_as_told(&other, DEPTH);
		}
	cr_expect_eq(find(CALLS(CHAINED, BARE, SAVES_FP, LARGE, OUTERMOST + 1), DEPTH), 0U);
}

/* The same addresses. */
Test(paths, with_another_end_are_others)
{
	tell(CALLS(CHAINED, BARE, LARGE, SAVES_FP, OUTERMOST), 3, 1);
	expect_as_told(CALLS(CHAINED, BARE, LARGE), 3);
	cr_expect_eq(find(CALLS(CHAINED, BARE, LARGE), 3), 0U);
	tell(CALLS(CHAINED, BARE, LARGE), 3, 2);
	cr_expect_eq(find(CALLS(CHAINED, BARE, LARGE, SAVES_FP, OUTERMOST), 3), 1U);
	cr_expect_eq(find(CALLS(CHAINED, BARE, LARGE), 3), 2U);
}

Test(paths, through_one_function_that_nobody_told_of_are_not_known)
{
	const struct calls *told = told_one();

	for (uint32_t at = 0; at + 1 < told->cnt; at++) {
		struct calls other = *told;

		other.functions[at] += 2 * SHAPES;
		cr_expect_eq(find(&other, DEPTH), 0U, "frame %u", at);
	}
	expect_as_told(told, DEPTH);
}

/* Two paths of three frames that differ in the first two, made so that a word of their hashes is
 * the same. */
Test(paths, whose_hashes_agree_in_a_word_are_others)
{
	static uint32_t with[1 << 17]; /* those 17 bits of a word that no address has: who has them,
					  plus 1 */
	struct calls calls = { 3, { 0, 0, OUTERMOST } };
	__u64 hash[2], other[2], pc = 0;
	uint64_t state = 1;
	struct mt_path path;

	for (int tries = 0; !pc && tries < 100000; tries++) {
		uint32_t f = (uint32_t)(sample_random(&state) % 1000000) * SHAPES, *first;

		hash[0] = hash[1] = other[0] = other[1] = 0;
		mt_path_hash(hash, pc_of(f));
		first = &with[hash[0] >> 47];
		if (*first && *first != f + 1) {
			mt_path_hash(other, pc_of(*first - 1));
			calls.functions[0] = *first - 1;
			pc = other[0] ^ hash[0] ^ pc_of(BARE);
		}
		*first = f + 1;
		hash[0] ^= pc_of(BARE);
		path = path_of(&(struct calls){ 3, { f, BARE, OUTERMOST } }, DEPTH, 1);
	}
	cr_assert_neq(pc, 0U);
	cr_assert_eq(other[0] ^ pc, hash[0]);
	tell_path(&path);
	path = path_of(CALLS(BARE + SHAPES, OUTERMOST + 1), DEPTH, 2);
	path.pcs[0] = pc;
	tell_path(&path); /* the address is known */
	path = path_of(&(struct calls){ 2, { calls.functions[0], OUTERMOST + 1 } }, DEPTH, 3);
	tell_path(&path); /* and its caller */
	lay_stack(&calls);
	world.stack[2] = pc;
	cr_expect_eq(find_laid(DEPTH), 0U);
	path = path_of(&calls, DEPTH, 4);
	path.pcs[1] = pc;
	tell_path(&path);
	cr_expect_eq(find_laid(DEPTH), 4U);
}

/* ---- depth -------------------------------------------------------------------------------- */

Test(paths, are_cut_at_the_depth)
{
	tell(CALLS(CHAINED, BARE, LARGE, SAVES_FP, OUTERMOST), 3, 1);
	cr_expect_eq(find(CALLS(CHAINED, BARE, LARGE, SAVES_FP, OUTERMOST), 3), 1U);
	cr_expect_eq(find(CALLS(CHAINED, BARE, LARGE, REALIGNED, CHAINED, OUTERMOST), 3), 1U,
		     "what is beyond is not looked at");
	cr_expect_eq(find(CALLS(CHAINED, BARE, SAVES_FP, LARGE, OUTERMOST), 3), 0U);
}

Test(paths, of_another_depth_are_others)
{
	const struct calls *calls = CALLS(CHAINED, BARE, LARGE, SAVES_FP, BARE + SHAPES, OUTERMOST);

	tell(calls, DEPTH, 1);
	tell(calls, 3, 2);
	for (uint32_t depth = 1; depth <= 8; depth++)
		cr_expect_eq(find(calls, depth),
			     depth == 3	  ? 2U
			     : depth >= 6 ? 1U
					  : 0U,
			     "depth %u", depth);
}

Test(paths, that_end_just_at_the_depth_are_complete)
{
	const struct calls *calls = CALLS(CHAINED, BARE, OUTERMOST);

	tell(calls, 3, 4);
	cr_expect_eq(world.told[0].end, (uint32_t)MT_PATH_COMPLETE);
	cr_expect_eq(find(calls, 3), 4U);
	cr_expect_eq(find(calls, 4), 4U);
	cr_expect_eq(find(calls, 2), 0U);
}

/* ---- many --------------------------------------------------------------------------------- */

#define MANY 20000U

/* The i-th of many: a function of its own, up to 20 from 3,000 others, one of three outermost ones.
 */
static struct calls random_calls(uint32_t i)
{
	struct calls calls = { .cnt = 1 };
	uint64_t state = i;
	uint32_t own, others = 2 + (uint32_t)(sample_random(&state) % 19);

	own = (uint32_t)(sample_random(&state) % others);
	for (uint32_t n = 0; n < others; n++)
		calls.functions[n] = (uint32_t)(sample_random(&state) % 3000);
	calls.functions[own] = 5000 + i;
	calls.functions[others] = OUTERMOST + (uint32_t)(sample_random(&state) % 3);
	calls.cnt = others + 1;
	return calls;
}

static void tell_random(uint32_t i)
{
	struct calls calls = random_calls(i);
	struct mt_path path = path_of(&calls, DEPTH, i + 1);

	tell_path(&path);
	if (is_to_map()) {
		world.waited++;
		tell_path(&path);
	}
}

static uint32_t find_random(uint32_t i)
{
	struct calls calls = random_calls(i);

	return find(&calls, DEPTH);
}

Test(paths, in_their_thousands_are_found_through_all_generations)
{
	uint32_t forgotten = 0, generation = 0, again = 0, other;

	for (uint32_t i = 0; i < MANY; i++) {
		tell_random(i);
		cr_assert_eq(find_random(i), i + 1, "just told");
		/* none is left out */
		cr_assert_leq(world.pages->generation, generation + 1);
		generation = world.pages->generation;
	}
	cr_expect_eq(generation, MT_PATH_GENERATIONS - 1);
	cr_expect_eq(world.waited, (uint32_t)MT_PATH_GENERATIONS - MAPPED_AT_START);
	cr_expect_eq(world.tickets, MANY + world.waited);
	cr_expect_eq(world.pages->answered, world.tickets);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t site = find_random(i);

		cr_assert(!site || site == i + 1, "path %u has site %u", i, site);
		if (!site) {
			forgotten++;
			tell_random(i);
			again += find_random(i) == i + 1;
		}
	}
	/* 16 slots in a row would have to be taken, in a table that is a quarter full */
	cr_expect_leq(forgotten, 3U, "%u of %u were forgotten", forgotten, MANY);
	cr_expect_eq(again, forgotten, "what was forgotten can be told again");
	for (uint32_t i = 0; i < MANY; i++) {
		struct calls calls = random_calls(i);

		/* what else goes through the i-th's own function is nobody's path */
		other = calls.functions[calls.cnt - 2];
		calls.functions[calls.cnt - 2] =
			other >= 5000 ? 5000 + (i + 1) % MANY : (other + 1) % 3000;
		cr_assert_eq(find(&calls, DEPTH), 0U, "path %u, changed", i);
	}
}

Test(paths, beyond_the_last_generation_are_refused_and_the_others_stay)
{
	const uint32_t most = MT_PATH_SLOTS(MT_PATH_GENERATIONS - 1) / 2;
	uint32_t found = 0, taught, known, unanswered;

	for (uint32_t i = 0; i < most + 2000; i++)
		tell_random(i);
	taught = world.tickets - refused();
	known = world.pages->path_cnt;
	unanswered = world.tickets - world.pages->answered;
	cr_expect_gt(unanswered, 0U);
	cr_expect_eq(unanswered, refused() - world.waited);
	for (uint32_t i = 0; i < most + 2000; i++) {
		uint32_t site = find_random(i);

		cr_assert(!site || site == i + 1, "path %u has site %u", i, site);
		found += site != 0;
	}
	cr_expect_eq(found, known);
	cr_expect_leq(known, taught);
	cr_expect_leq(taught - known, 3U, "%u of %u were forgotten", taught - known, taught);
	settle();
	cr_expect_eq(world.pages->answered, world.tickets);
}

/* Functions whose addresses all belong to the same 16 slots of the last generation, and one too
 * many. */
Test(paths, with_an_address_that_has_no_room_are_refused_each_time)
{
	const uint32_t last = MT_PATH_GENERATIONS - 1;
	struct calls calls = { .cnt = 2 };
	uint32_t slot, cnt = 0, site = 0;

	world.pages->generation = last;
	map_generation(last);
	slot = MT_PATH_SLOT(MT_PATH_PC_HASH(pc_of(0)), last);
	for (uint32_t f = 0; cnt < MT_PATH_PROBES; f += SHAPES) {
		if (MT_PATH_SLOT(MT_PATH_PC_HASH(pc_of(f)), last) != slot)
			continue;
		calls = (struct calls){ 2, { f, OUTERMOST } };
		tell(&calls, DEPTH, ++site);
		cr_expect_eq(find(&calls, DEPTH), site);
		cnt++;
		calls.functions[0] = f + SHAPES;
	}
	while (MT_PATH_SLOT(MT_PATH_PC_HASH(pc_of(calls.functions[0])), last) != slot)
		calls.functions[0] += SHAPES;
	cr_expect_eq(refused(), 0U);
	for (uint32_t time = 1; time <= 3; time++) {
		tell(&calls, DEPTH, 99);
		cr_expect_eq(find(&calls, DEPTH), 0U);
		cr_expect_eq(refused(), time);
	}
}

Test(paths, wait_until_the_next_generation_is_mapped)
{
	uint32_t i = 0;

	for (; !is_to_map(); i++) {
		struct calls calls = random_calls(i);
		struct mt_path path = path_of(&calls, DEPTH, i + 1);

		tell_path(&path);
	}
	cr_expect_eq(world.pages->generation, MAPPED_AT_START - 1U);
	cr_expect_eq(world.pages->wanted, (uint32_t)MAPPED_AT_START);
	cr_expect_eq(world.pages->answered, world.tickets, "who waits for answers asks no more");
	cr_expect_eq(find_random(i - 1), 0U);
	for (uint32_t known = 0; known < i - 1; known++)
		cr_expect_eq(find_random(known), known + 1);
	tell_random(i - 1);
	cr_expect_eq(world.pages->generation, (uint32_t)MAPPED_AT_START);
	for (uint32_t known = 0; known < i; known++)
		cr_expect_eq(find_random(known), known + 1);
}

/* ---- epochs ------------------------------------------------------------------------------- */

/* What the library does when code goes. */
static void next_epoch(void)
{
	world.pages->epoch++;
	world.pages->pc_cnt = world.pages->path_cnt = 0;
	world.told_cnt = 0;
}

Test(paths, of_another_epoch_are_none)
{
	const struct calls *told = told_one();

	next_epoch();
	cr_expect_eq(find(told, DEPTH), 0U);
	tell(told, DEPTH, 8);
	cr_expect_eq(find(told, DEPTH), 8U);
	cr_expect_eq(find(CALLS(PLT_FIRST, BARE + SHAPES, REALIGNED, OUTERMOST + 1), DEPTH), 0U);
	/* all its functions are known, and so it was as a whole */
	tell(CALLS(REALIGNED, BARE + SHAPES, PLT_FIRST, OUTERMOST + 1), DEPTH, 9);
	cr_expect_eq(find(CALLS(PLT_FIRST, BARE + SHAPES, REALIGNED, OUTERMOST + 1), DEPTH), 0U);
}

/* The same addresses are other functions now. */
Test(paths, of_another_epoch_may_have_other_rules)
{
	struct calls calls = { 3, { LARGE, BARE, OUTERMOST } };
	struct mt_path path;

	tell(&calls, DEPTH, 1);
	next_epoch();
	path = path_of(&calls, DEPTH, 2);
	path.rules[0] = MT_RULE(MT_ROW_SP, 4, 0);
	tell_path(&path);
	cr_expect_eq(find(&calls, DEPTH), 0U);
	world.stack[2 + 3] = pc_of(BARE);
	world.stack[2 + 4] = pc_of(OUTERMOST);
	cr_expect_eq(find_laid(DEPTH), 2U);
}

Test(paths, of_many_epochs_need_no_more_room_than_those_of_one)
{
	uint32_t generation = 0;

	for (uint32_t epoch = 1; epoch <= 100; epoch++) {
		/* of all epochs together some 70,000 addresses in a table of 2,048 */
		for (uint32_t i = epoch; i < epoch + 60; i++) {
			tell_random(i);
			cr_assert_eq(find_random(i), i + 1, "path %u of epoch %u", i, epoch);
		}
		cr_expect_eq(find_random(epoch - 1), 0U);
		if (epoch == 1)
			generation = world.pages->generation;
		cr_expect_eq(world.pages->generation, generation);
		next_epoch();
	}
	cr_expect_leq(generation, 1U);
	cr_expect_eq(refused(), 0U);
}

Test(paths, that_were_asked_for_in_an_epoch_that_is_over_are_answered_by_nothing)
{
	struct mt_path path = path_of(CALLS(CHAINED, BARE, OUTERMOST), DEPTH, 3);

	next_epoch();
	tell_path(&path);
	cr_expect_eq(world.pages->answered, 1U);
	cr_expect_eq(world.pages->path_cnt, 0U);
	cr_expect_eq(find(CALLS(CHAINED, BARE, OUTERMOST), DEPTH), 0U);
}

/* ---- whose memory it is ------------------------------------------------------------------- */

/* All that could be written. */
static char *copy_of_pages(void)
{
	size_t bytes = PAGES_BYTES;
	char *copy, *at;

	for (uint32_t i = 0; i < MAPPED_AT_START; i++)
		bytes += MT_PATH_GENERATION_BYTES(i);
	copy = at = malloc(bytes);
	cr_assert_not_null(copy);
	at = mempcpy(at, world.pages, PAGES_BYTES);
	for (uint32_t i = 0; i < MAPPED_AT_START; i++)
		at = mempcpy(at, world.tables[i], MT_PATH_GENERATION_BYTES(i));
	return copy;
}

static bool is_copy(const char *copy)
{
	char *now = copy_of_pages();
	size_t bytes = PAGES_BYTES;
	bool same;

	for (uint32_t i = 0; i < MAPPED_AT_START; i++)
		bytes += MT_PATH_GENERATION_BYTES(i);
	same = !memcmp(copy, now, bytes);
	free(now);
	return same;
}

static void expect_nothing_written(const struct mt_path *path, size_t size, const char *why)
{
	char *before = copy_of_pages();

	cr_expect_eq(paths_tell(world.paths, (void *)path, size), 0);
	settle();
	cr_expect(is_copy(before), "%s", why);
	free(before);
}

/* known: the account has asked before, so its memory is open. */
static void expect_only_the_living_are_told(bool known)
{
	const struct calls *calls = CALLS(LARGE, BARE, OUTERMOST);
	struct mt_path path = path_of(calls, DEPTH, 2), wrong = path;
	struct mt_acct *acct = &world.accts[ACCT];

	if (known)
		tell(CALLS(CHAINED, BARE, OUTERMOST), DEPTH, 1);
	wrong.acct_id = ACCT_ID - 1;
	expect_nothing_written(&wrong, sizeof(wrong), "an account that was here before");
	wrong = path;
	wrong.acct = 0;
	expect_nothing_written(&wrong, sizeof(wrong), "no account");
	wrong.acct = ACCTS;
	expect_nothing_written(&wrong, sizeof(wrong), "an account that cannot be");
	wrong.acct = ACCT + 1;
	expect_nothing_written(&wrong, sizeof(wrong), "a slot that nobody has");
	expect_nothing_written(&path, sizeof(path) - 1, "half a record");
	acct->state = MT_ACCT_ENDED;
	expect_nothing_written(&path, sizeof(path), "an account that has ended");
	acct->state = MT_ACCT_VOID;
	expect_nothing_written(&path, sizeof(path), "an account that never was");
	acct->state = MT_ACCT_LIVE;
	acct->id = ACCT_ID + 1;
	expect_nothing_written(&path, sizeof(path), "the slot is another's by now");
	acct->id = ACCT_ID;
	tell_path(&path);
	cr_expect_eq(find(calls, DEPTH), 2U);
}

Test(paths, are_told_to_living_accounts_only)
{
	expect_only_the_living_are_told(false);
}

Test(paths, are_not_told_to_an_account_that_is_no_longer)
{
	expect_only_the_living_are_told(true);
}

Test(paths, are_not_told_to_a_process_that_cannot_be_opened)
{
	struct mt_path path = path_of(CALLS(LARGE, BARE, OUTERMOST), DEPTH, 2);

	path.tgid = 1U << 30; /* more than there can be */
	expect_nothing_written(&path, sizeof(path), "nobody's memory");
}

Test(paths, are_not_told_to_pages_that_are_gone)
{
	struct mt_path path = path_of(CALLS(LARGE, BARE, OUTERMOST), DEPTH, 2);

	path.ticket = ((uintptr_t)world.stack_end & ~(PAGE - 1)) + STACK_BYTES * 1024 * 1024;
	expect_nothing_written(&path, sizeof(path), "no pages there");
	path = path_of(CALLS(LARGE, BARE, OUTERMOST), DEPTH, 2);
	world.pages->generation = MT_PATH_GENERATIONS;
	expect_nothing_written(&path, sizeof(path), "a generation that cannot be");
}

/* ---- what cannot be known ----------------------------------------------------------------- */

Test(paths, that_cannot_be_known_are_answered_later_and_once)
{
	struct mt_path path = path_of(CALLS(CHAINED, BARE, OUTERMOST), DEPTH, 3);
	uint64_t taught, refused;

	path.end = MT_PATH_GOES_ON;
	tell_path(&path);
	tell_path(&path);
	cr_expect_eq(world.pages->answered, 0U);
	tell(CALLS(LARGE, OUTERMOST), DEPTH, 4);
	cr_expect_eq(world.pages->answered, 1U);
	settle();
	cr_expect_eq(world.pages->answered, 3U);
	settle();
	cr_expect_eq(world.pages->answered, 3U);
	cr_expect_eq(find(CALLS(CHAINED, BARE, OUTERMOST), DEPTH), 0U);
	paths_count(world.paths, &taught, &refused);
	cr_expect_eq(taught, 1U);
	cr_expect_eq(refused, 2U);
}

/* Pages that a forked child finds, and pages wiped in the middle of a call. */
Test(paths, are_not_known_to_pages_that_are_wiped)
{
	const struct calls *told = told_one();

	expect_as_told(told, DEPTH);
	memset(world.pages, 0, PAGES_BYTES);
	for (uint32_t i = 0; i < MAPPED_AT_START; i++)
		memset(world.tables[i], 0, MT_PATH_GENERATION_BYTES(i));
	cr_expect_eq(find(told, DEPTH), 0U);
	start_pages();
	cr_expect_eq(find(told, DEPTH), 0U);
}

/* ---- stacks that are wrong ---------------------------------------------------------------- */

/* Values that a frame pointer may have in code that has other use for the register. */
static size_t wrong_pointers(uintptr_t *wrong)
{
	const uintptr_t begin = (uintptr_t)world.stack, end = (uintptr_t)world.stack_end;
	const uintptr_t all[] = {
		0,
		1,
		8,
		begin + 1,
		begin - 8,
		begin - 16,
		begin - PAGE,
		end - 15,
		end - 8,
		end - 7,
		end - 1,
		end,
		end + 8,
		end + 16,
		~0UL,
		~0UL - 7,
		~0UL - 15,
		1UL << 47,
		1UL << 63,
		0x5a5a5a5a5a5a5a58UL,
	};

	memcpy(wrong, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

static void expect_lost_by_frame_pointer(const struct calls *calls)
{
	uintptr_t wrong[32];
	size_t cnt = wrong_pointers(wrong);

	tell(calls, DEPTH, 6);
	cr_assert_eq(find(calls, DEPTH), 6U);
	for (size_t i = 0; i < cnt; i++) {
		world.stack[0] = wrong[i];
		cr_expect_eq(find_laid(DEPTH), 0U, "frame pointer %#lx", wrong[i]);
	}
}

Test(paths, that_a_wrong_frame_pointer_leads_away_from_are_not_known)
{
	expect_lost_by_frame_pointer(CALLS(CHAINED, BARE, OUTERMOST));
}

Test(paths, that_a_wrong_frame_pointer_leads_away_from_a_realigned_stack_are_not_known)
{
	expect_lost_by_frame_pointer(CALLS(REALIGNED, BARE, OUTERMOST));
}

Test(paths, of_a_realigned_stack_with_a_wrong_cfa_are_not_known)
{
	const struct calls *calls = CALLS(REALIGNED, BARE, OUTERMOST);
	uintptr_t wrong[32];
	size_t cnt = wrong_pointers(wrong);

	tell(calls, DEPTH, 6);
	cr_assert_eq(find(calls, DEPTH), 6U);
	for (size_t i = 0; i < cnt; i++) {
		world.stack[4] = wrong[i];
		cr_expect_eq(find_laid(DEPTH), 0U, "CFA %#lx", wrong[i]);
	}
}

Test(paths, whose_frames_reach_beyond_the_stack_are_not_known)
{
	const struct calls *calls = CALLS(LARGE, BARE, OUTERMOST);

	tell(calls, DEPTH, 6);
	for (size_t words = 0; words < 24; words++) {
		const uintptr_t *frame = world.stack_end - words;
		uint32_t site;

		lay_stack(calls);
		/* its last words are the last of the stack, or would be behind it; 12 are needed */
		memmove((void *)frame, world.stack, (words < 12 ? words : 12) * sizeof(*frame));
		if (words < 2) /* not even its own frame */
			continue;
		site = paths_find(world.pages, frame, (uintptr_t)world.stack_end, DEPTH);
		cr_expect_eq(site, words < 12 ? 0U : 6U, "%zu words", words);
	}
}

/* Of a thread, a coroutine, a handler: what is above need not be mapped. */
Test(paths, of_a_frame_that_is_not_on_the_first_stack_are_not_known)
{
	const uintptr_t begin = (uintptr_t)world.stack;

	tell(CALLS(LARGE, BARE, OUTERMOST), DEPTH, 6);
	cr_assert_eq(find(CALLS(LARGE, BARE, OUTERMOST), DEPTH), 6U);
	cr_expect_eq(paths_find(world.pages, world.stack, begin + PATHS_STACK_MAX, DEPTH), 6U);
	cr_expect_eq(paths_find(world.pages, world.stack, begin + PATHS_STACK_MAX + PAGE, DEPTH),
		     0U);
	cr_expect_eq(paths_find(world.pages, world.stack, begin, DEPTH), 0U);
	cr_expect_eq(paths_find(world.pages, world.stack, begin - PAGE, DEPTH), 0U);
	cr_expect_eq(paths_find(world.pages, world.stack, 0, DEPTH), 0U);
}

/* A handler's frame leads to an instruction, and not to a return address. */
Test(paths, through_a_signal_are_not_known)
{
	struct calls calls = { 3, { BARE, LARGE, OUTERMOST } };
	struct mt_path path = path_of(&calls, DEPTH, 6);

	path.rules[0] = MT_RULE(MT_ROW_SIGNAL, 2, 1);
	tell_path(&path);
	lay_stack(&calls);
	world.stack[2 + 1] = 0;
	world.stack[2 + 2] = (uintptr_t)(world.stack + 8);
	world.stack[2 + 3] = pc_of(LARGE);
	world.stack[8 + 8] = pc_of(OUTERMOST);
	cr_expect_eq(find_laid(DEPTH), 0U);
}

Test(paths, by_rules_that_say_nothing_are_not_known)
{
	static const uint32_t rules[] = { 0, MT_RULE(MT_ROW_UNSUPPORTED, 0, 0),
					  MT_RULE(MT_ROW_GENERATED, 0, 0),
					  MT_RULE(MT_ROW_SP, -5, 0), ~0U };
	struct calls calls = { 2, { BARE, OUTERMOST } };

	for (uint32_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct mt_path path;

		next_epoch();
		path = path_of(&calls, DEPTH, 6);
		path.rules[0] = rules[i];
		tell_path(&path);
		cr_expect_eq(find(&calls, DEPTH), 0U, "rule %#x", rules[i]);
	}
}

#endif /* architecture */
