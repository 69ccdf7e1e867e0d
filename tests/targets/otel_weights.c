// SPDX-License-Identifier: MIT
/*
 * otel_weights.c [rounds] [any] - tells of a few of its blocks at otel_memory sites of its own,
 * with a weight for each; of most it tells nothing. The truth is the sum of what it told.
 *
 * The arguments are wherever a compiler may have them: in registers, on the stack, constant, in an
 * array by index, in four bytes among others. Weights are from a table of those that memtrace keeps
 * to the bit (some less than the block); with "any" they are whatever comes.
 */
#include "truth.h"

#define CONSTANT_SIZE 48
#define BLOCKS_MAX 4096
#define KINDS 3

unsigned short otel_alloc_semaphore __attribute__((section(".probes"), used));
unsigned short otel_free_semaphore __attribute__((section(".probes"), used));

#define SITE(name, semaphore, arguments, ...)                           \
	__asm__ volatile("990: nop\n"                                   \
			 ".pushsection .note.stapsdt, \"\", \"note\"\n" \
			 ".balign 4\n"                                  \
			 ".4byte 992f - 991f, 994f - 993f, 3\n"         \
			 "991: .asciz \"stapsdt\"\n"                    \
			 "992: .balign 4\n"                             \
			 "993: .8byte 990b, 0, " semaphore "\n"         \
			 ".asciz \"otel_memory\"\n"                     \
			 ".asciz \"" name "\"\n"                        \
			 ".asciz \"" arguments "\"\n"                   \
			 "994: .balign 4\n"                             \
			 ".popsection\n"                                \
			 :                                              \
			 : __VA_ARGS__                                  \
			 : "memory")
#define ALLOC(arguments, ...) SITE("alloc", "otel_alloc_semaphore", arguments, __VA_ARGS__)
#define FREE(arguments, ...) SITE("free", "otel_free_semaphore", arguments, __VA_ARGS__)

#if defined(__x86_64__)
#define BASE "r13"
#define INDEX "r14"
#define ARRAY_ARGS "8@(%%r13,%%r14,8) 4@16(%%r13) 8@-8(%%r13,%%r14,8)"
#define FREE_ARRAY_ARGS "8@8(%%r13)"
#else
#define BASE "x13"
#define INDEX "x14"
#define ARRAY_ARGS "8@[x13, 8] 4@[x13, 16] 8@[x13]"
#define FREE_ARRAY_ARGS "8@[x13, 8]"
#endif

/* ---- told ------------------------------------------------------------------------------ */

static T_NOINLINE void tell_registers(void *block, size_t size, uint64_t weight)
{
	if (*(volatile unsigned short *)&otel_alloc_semaphore)
		ALLOC("8@%[block] 8@%[size] 8@%[weight]", [block] "r"(block), [size] "r"(size),
		      [weight] "r"(weight));
}

static T_NOINLINE void tell_stack(void *block, uint64_t weight)
{
	void *volatile on_stack = block;
	volatile uint64_t weight_on_stack = weight;

	if (*(volatile unsigned short *)&otel_alloc_semaphore)
		ALLOC("8@%[block] -4@%[size] 8@%[weight]", [block] "m"(on_stack),
		      [size] "i"(CONSTANT_SIZE), [weight] "m"(weight_on_stack));
}

static T_NOINLINE void tell_array(void *block, size_t size, uint64_t weight)
{
	/* the upper half of the third is not the argument's */
	uint64_t words[] = { weight, (uintptr_t)block, size | 0xdeadULL << 32 };
	register uint64_t *base __asm__(BASE) = words;
	register uint64_t index __asm__(INDEX) = 1;

	if (*(volatile unsigned short *)&otel_alloc_semaphore)
		ALLOC(ARRAY_ARGS, "r"(base), "r"(index));
}

static T_NOINLINE void tell_gone(void *block)
{
	if (*(volatile unsigned short *)&otel_free_semaphore)
		FREE("8@%[block]", [block] "r"(block));
}

static T_NOINLINE void tell_gone_array(void *block)
{
	uint64_t words[] = { 0, (uintptr_t)block };
	register uint64_t *base __asm__(BASE) = words;

	if (*(volatile unsigned short *)&otel_free_semaphore)
		FREE(FREE_ARRAY_ARGS, "r"(base));
}

/* ---- blocks ---------------------------------------------------------------------------- */

static struct block {
	void *at;
	uint64_t weight, halves; /* what it stands for: bytes, and half blocks */
	int kind;
} blocks[BLOCKS_MAX];
static unsigned int block_cnt;

static struct t_site sites[KINDS] = {
	{ .function = "take_registers" },
	{ .function = "take_stack" },
	{ .function = "take_array" },
};

static void *get(size_t size)
{
	void *block, *nobodys = malloc(size + 1);

	T_HIDE(nobodys); /* of these nobody is told */
	free(nobodys);
	block = malloc(size);
	T_HIDE(block);
	if (!block)
		t_die("otel_weights: out of memory\n");
	return block;
}

static T_NOINLINE void *take_registers(size_t size, uint64_t weight)
{
	void *block = get(size);

	tell_registers(block, size, weight);
	T_HIDE(block);
	return block;
}

static T_NOINLINE void *take_stack(size_t size, uint64_t weight)
{
	void *block = get(size);

	tell_stack(block, weight);
	T_HIDE(block);
	return block;
}

static T_NOINLINE void *take_array(size_t size, uint64_t weight)
{
	void *block = get(size);

	tell_array(block, size, weight);
	T_HIDE(block);
	return block;
}

static void take(int kind, size_t size, uint64_t weight)
{
	struct block b = { .weight = weight, .halves = 2 * weight / size, .kind = kind };

	b.at = kind == 0   ? take_registers(size, weight)
	       : kind == 1 ? take_stack(size, weight)
			   : take_array(size, weight);
	if (block_cnt == BLOCKS_MAX)
		t_die("otel_weights: too many blocks\n");
	blocks[block_cnt++] = b;
	t_state.allocs += b.halves;
	t_state.live_blocks += b.halves;
	t_state.alloc_bytes += weight;
	t_state.live_bytes += weight;
	t_peak();
	sites[kind].alloc_blocks += b.halves;
	sites[kind].alloc_bytes += weight;
	sites[kind].live_blocks += b.halves;
	sites[kind].live_bytes += weight;
}

static void give_back(void)
{
	struct block b = blocks[--block_cnt];

	if (block_cnt & 1)
		tell_gone(b.at);
	else
		tell_gone_array(b.at);
	free(b.at);
	t_state.frees += b.halves;
	t_state.live_blocks -= b.halves;
	t_state.freed_bytes += b.weight;
	t_state.live_bytes -= b.weight;
	sites[b.kind].live_blocks -= b.halves;
	sites[b.kind].live_bytes -= b.weight;
}

/* In halves of the block's size; all of them together are whole, and so are all sums of rounds. */
static const uint64_t weights[] = { 2, 1, 1, 4, 14, 3, 3, 200, 2000, 8190, 1 << 21 };

#define WEIGHTS (sizeof(weights) / sizeof(weights[0]))

static void round_of(int kind, int any, uint32_t *seed)
{
	for (size_t i = 0; i < WEIGHTS; i++) {
		size_t size = kind == 1 ? CONSTANT_SIZE : 2 * (t_random(seed) % 3000 + 1);

		take(kind, size,
		     any ? size / 4 + t_random(seed) % (1 << 22) : weights[i] * size / 2);
	}
}

int main(int argc, char **argv)
{
	long rounds = t_arg(argc, argv, 1, 60);
	uint32_t seed = 7;

	t_begin();
	for (long n = 0; n < rounds; n++) {
		round_of((int)(n % KINDS), argc > 2, &seed);
		for (size_t i = 0; i < WEIGHTS && n % 4; i++)
			give_back();
	}
	t_state.allocs /= 2;
	t_state.frees /= 2;
	t_state.live_blocks /= 2;
	t_state.peak_blocks = (t_state.peak_blocks + 1) / 2; /* to the nearest */
	for (int i = 0; i < KINDS; i++) {
		struct t_site *site = t_site(sites[i].function);

		*site = sites[i];
		site->live_blocks /= 2;
		site->alloc_blocks /= 2;
	}
	t_finish();
	return 0;
}
