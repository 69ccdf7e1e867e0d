// SPDX-License-Identifier: MIT
#include "preload/trace.h"

#include "preload/arm.h"
#include "preload/batch.h"
#include "preload/cxx.h"
#include "preload/leave.h"
#include "preload/sys.h"

#define STRING(x) #x
#define NUMBER(x) STRING(x)
#define NEST_BYTES \
	(1 << 20)	/* of stack between the outermost call and one made inside it, at most */
#define NOT_YET (~0ULL) /* no generation */

/* ---- what the file and others see of it ----------------------------------------------------- */

/* As built: exact. In assembly, because C puts what is volatile where it can be written. */
/* clang-format off */
__asm__(".pushsection " MT_PRELOAD_CONFIG_SECTION ", \"a\"\n"
	".p2align 12\n"
	".hidden memtrace_config\n"
	".globl memtrace_config\n"
	".type memtrace_config, %object\n"
	".size memtrace_config, " NUMBER(MT_PRELOAD_CONFIG_BYTES) "\n"
	"memtrace_config:\n"
	".8byte " NUMBER(MT_PRELOAD_MAGIC_NUMBER) "\n"
	".4byte " NUMBER(MT_PRELOAD_VERSION) ", 0\n"
	".zero " NUMBER(MT_PRELOAD_CONFIG_BYTES) " - 16\n"
	".popsection\n"
	/* notes say how far this is from where they were linked for; it never moves */
	".pushsection .stapsdt.base, \"a\"\n"
	".hidden memtrace_sites_base\n"
	".globl memtrace_sites_base\n"
	"memtrace_sites_base: .zero 1\n"
	".popsection\n");
/* clang-format on */

union semaphore_line memtrace_semaphores
	__attribute__((section(".probes"), aligned(64), visibility("hidden"), used));

static struct mt_preload_stats stats
	__attribute__((section(MT_PRELOAD_STATS_SECTION), aligned(64), used)) = { 0 };

__thread struct thread thread = { .passing = NOT_YET, .generation = NOT_YET };
struct process process __attribute__((aligned(64))) = { .passing = NOT_YET };

/* What is needed less often. */
static struct {
	uint64_t seed;	  /* of this process; 0: not drawn yet */
	uint64_t threads; /* that have a generator */
	uint64_t forks;	  /* children made */
	uint32_t claimed;
} once;

/* ---- configuration -------------------------------------------------------------------------- */

/* Asked before each site. */
#define listens(semaphore) (semaphores->semaphore && is_armed())

/* After the functions were looked up. */
static __attribute__((noinline)) void claim(void)
{
	if (listens(memtrace) && !allocator.elsewhere &&
	    !__atomic_exchange_n(&once.claimed, 1, __ATOMIC_RELAXED))
		SITE0("memtrace", "claim", SEMAPHORE_MEMTRACE);
}

static void seed(uint64_t configured)
{
	uint64_t nobodys = 0, ordinal;

	if (thread.seeded)
		return;
	ordinal = __atomic_add_fetch(&once.threads, 1, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&once.seed, __ATOMIC_RELAXED))
		__atomic_compare_exchange_n(&once.seed, &nobodys,
					    configured ? configured : sys_random() | 1, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	sampler_seed(&thread.sampler, sample_mix(once.seed) + sample_mix(ordinal));
	thread.seeded = true;
}

static void resolve(void)
{
	next_resolve();
	cxx_resolve();
	leave_resolve();
}

/* Reads the page again, for this thread, and for frees. */
static __attribute__((noinline)) void configure(void)
{
	struct sample_rule rule;
	uint64_t generation, configured, batches;

	if (unlikely(!allocator.resolved))
		resolve();
	do {
		generation = config->generation;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (config->magic == MT_PRELOAD_MAGIC && config->version == MT_PRELOAD_VERSION &&
		    !allocator.elsewhere)
			rule = sample_rule(config->mode, config->sample_bytes, config->probability);
		else
			rule = sample_rule(MT_PRELOAD_OFF, 0, 0);
		configured = config->seed;
		batches = config->batches;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (generation != config->generation);

	if (rule.mode == MT_PRELOAD_BY_BYTES || rule.mode == MT_PRELOAD_BY_CALLS)
		seed(configured);
	batch_want(rule.mode == MT_PRELOAD_EXACT && batches, (uint32_t)batches);
	sampler_follow(&thread.sampler, &rule);
	thread.generation = generation;
	/* an allocator that calls itself has to be followed even where nothing is taken */
	thread.passing = allocator.flat && rule.mode != MT_PRELOAD_EXACT ? generation : NOT_YET;
	if (rule.mode == MT_PRELOAD_EXACT)
		__atomic_store_n(&process.every_free, true, __ATOMIC_RELAXED);
	__atomic_store_n(&process.passing,
			 allocator.flat && !process.every_free ? generation : NOT_YET,
			 __ATOMIC_RELAXED);
	claim();
}

static inline void look_at_config(void)
{
	if (unlikely(thread.generation != config->generation))
		configure();
}

/* ---- nesting -------------------------------------------------------------------------------- */

static inline bool is_nested(const uintptr_t *frame)
{
	const uintptr_t *outer = (const uintptr_t *)thread.outer_frame;

	if (likely(!outer))
		return false;
	if (frame < outer && (uintptr_t)outer - (uintptr_t)frame < NEST_BYTES &&
	    outer[0] == thread.outer_words[0] && outer[1] == thread.outer_words[1])
		return true;
	thread.outer_frame = 0; /* it never came back */
	return false;
}

void trace_nest(const void *frame)
{
	const uintptr_t *words = frame;

	thread.outer_words[0] = words[0];
	thread.outer_words[1] = words[1];
	thread.outer_frame = (uintptr_t)frame;
}

static inline void enter(const uintptr_t *frame)
{
	if (unlikely(!allocator.flat))
		trace_nest(frame);
}

static inline void leave(void)
{
	thread.outer_frame = 0;
}

#define FRAME() ((const uintptr_t *)__builtin_frame_address(0))

/* ---- accounts ------------------------------------------------------------------------------- */

static inline bool is_exact(void)
{
	return thread.sampler.rule.mode == MT_PRELOAD_EXACT;
}

static inline struct sample_weight decide(size_t size)
{
	look_at_config();
	if (likely(is_exact()))
		return (struct sample_weight){ size, MT_PRELOAD_COUNT_ONE };
	/* negative: the caller has counted it, see trace_passes() */
	return thread.sampler.left < 0 ? sampler_taken(&thread.sampler, size)
				       : sampler_take(&thread.sampler, size);
}

static void publish(void)
{
	stats.filter_bytes = __atomic_load_n(&process.filter.bytes, __ATOMIC_RELAXED);
	stats.sampled_live = __atomic_load_n(&process.filter.live, __ATOMIC_RELAXED);
}

/* A block that was taken: its free has to be seen. What cannot be remembered is not taken. */
static __attribute__((noinline)) bool remember(const void *block)
{
	bool done = filter_add(&process.filter, block);

	if (!done)
		__atomic_fetch_add(&stats.sample_lost, 1, __ATOMIC_RELAXED);
	publish();
	return done;
}

static __attribute__((noinline)) bool forget(const void *block)
{
	bool was = filter_remove(&process.filter, block);

	if (was)
		publish();
	return was;
}

enum known {
	KNOWN_NOT,
	KNOWN_MAYBE, /* counted exactly, if at all */
	KNOWN_SAMPLED,
};

/* A block that is about to go: takes it out of the filter, and says whether a listener may know it.
 */
static inline enum known take_out(const void *block)
{
	if (filter_may_have(&process.filter, block) && forget(block))
		return KNOWN_SAMPLED;
	return process.every_free ? KNOWN_MAYBE : KNOWN_NOT;
}

/* ---- calls ---------------------------------------------------------------------------------- */

#define FIRE_ALLOC(block, size, weight, ticket)                                          \
	do {                                                                             \
		if (likely(listens(memtrace)))                                           \
			SITE5("memtrace", "alloc", SEMAPHORE_MEMTRACE, block, size,      \
			      (weight).bytes, (weight).count, ticket);                   \
		if (unlikely(listens(otel_alloc)))                                    \
			SITE3("otel_memory", "alloc", SEMAPHORE_OTEL_ALLOC, block, size, \
			      (weight).bytes);                                           \
	} while (0)

#define FIRE_FAILED(size, weight)                                                             \
	do {                                                                                  \
		if (likely(listens(memtrace)))                                             \
			SITE3("memtrace", "failed", SEMAPHORE_MEMTRACE, size, (weight).bytes, \
			      (weight).count);                                                \
	} while (0)

void *trace_alloc(size_t size, real_call call, uintptr_t a, uintptr_t b, uintptr_t c)
{
	struct sample_weight weight;
	uint64_t ticket = 0;
	void *block;

	if (is_nested(FRAME()))
		return call(a, b, c);
	weight = decide(size);
	if (unlikely(!once.claimed))
		claim();
	enter(FRAME());
	block = call(a, b, c);
	leave();
	if (!weight.count)
		return block;
	if (likely(block && is_exact()) && batch_alloc(FRAME(), block, size, &ticket))
		return block;
	batch_tell();
	if (unlikely(!block)) {
		FIRE_FAILED(size, weight);
		return block;
	}
	if (is_exact() || remember(block))
		FIRE_ALLOC(block, size, weight, ticket);
	return block;
}

int trace_posix_memalign(void **out, size_t align, size_t size)
{
	struct sample_weight weight;
	uint64_t ticket = 0;
	int error;

	if (is_nested(FRAME()))
		return next.posix_memalign(out, align, size);
	weight = decide(size);
	if (unlikely(!once.claimed))
		claim();
	enter(FRAME());
	error = next.posix_memalign(out, align, size);
	leave();
	if (!weight.count)
		return error;
	if (likely(!error && is_exact()) && batch_alloc(FRAME(), *out, size, &ticket))
		return 0;
	batch_tell();
	if (unlikely(error)) {
		FIRE_FAILED(size, weight);
		return error;
	}
	if (is_exact() || remember(*out))
		FIRE_ALLOC(*out, size, weight, ticket);
	return 0;
}

/* In the frame of who calls it, where the sites have to be. */
ALWAYS_INLINE void realloc_went(void *old, void *block, size_t size, enum known known,
				struct sample_weight weight, size_t usable, uint64_t ticket)
{
	bool in = weight.count && block;

	if (in && !is_exact() && !remember(block)) {
		weight = (struct sample_weight){ 0, 0 };
		in = false;
	}
	if (!block && size && known == KNOWN_SAMPLED)
		remember(old); /* it is still there; what its weight was, listeners know */
	if (listens(memtrace) && (known != KNOWN_NOT || (weight.count && (block || size))))
		SITE6("memtrace", "realloc_end", SEMAPHORE_MEMTRACE, old, block, size, weight.bytes,
		      weight.count, ticket);
	if (unlikely(listens(otel_alloc))) {
		if (!block && size && known != KNOWN_NOT) {
			block = old;
			size = usable;
			weight.bytes = usable;
			in = true;
		}
		if (in)
			SITE3("otel_memory", "alloc", SEMAPHORE_OTEL_ALLOC, block, size,
			      weight.bytes);
	}
}

/* What goes is told before the call. While one thread is alone nobody can be given the block in between, so it
 * may also be told afterwards, with what came. */
void *trace_realloc(void *old, size_t size, real_call call, uintptr_t b, uintptr_t c)
{
	struct sample_weight weight;
	uint64_t ticket = 0;
	size_t usable = 0;
	enum known known;
	void *block = NULL;
	bool later;

	if (is_nested(FRAME()))
		return call((uintptr_t)old, b, c);
	weight = decide(size);
	if (unlikely(!once.claimed))
		claim();
	later = is_exact() && !filter_may_have(&process.filter, old) && batch_is_open();
	if (later) {
		enter(FRAME());
		block = call((uintptr_t)old, b, c);
		leave();
		if (likely(block) && batch_realloc(FRAME(), old, block, size, &ticket))
			return block;
	}
	batch_tell();
	known = take_out(old);
	if (known != KNOWN_NOT) {
		if (likely(listens(memtrace)))
			SITE1("memtrace", "realloc_begin", SEMAPHORE_MEMTRACE, old);
		if (unlikely(listens(otel_free)))
			SITE1("otel_memory", "free", SEMAPHORE_OTEL_FREE, old);
		if (unlikely(listens(otel_alloc)) && !later)
			usable = next.malloc_usable_size(old);
	}
	if (!later) {
		enter(FRAME());
		block = call((uintptr_t)old, b, c);
		leave();
	}
	realloc_went(old, block, size, known, weight, usable, ticket);
	return block;
}

void trace_free(void *block, real_call call, uintptr_t b, uintptr_t c)
{
	if (is_nested(FRAME())) {
		call((uintptr_t)block, b, c);
		return;
	}
	look_at_config();
	if (unlikely(!once.claimed))
		claim();
	if (!is_exact() || filter_may_have(&process.filter, block) || !batch_free(block)) {
		batch_tell();
		if (take_out(block) != KNOWN_NOT) {
			if (likely(listens(memtrace)))
				SITE1("memtrace", "free", SEMAPHORE_MEMTRACE, block);
			if (unlikely(listens(otel_free)))
				SITE1("otel_memory", "free", SEMAPHORE_OTEL_FREE, block);
		}
	}
	enter(FRAME());
	call((uintptr_t)block, b, c);
	leave();
}

/* ---- the start, and fork -------------------------------------------------------------------- */

static void before_fork(void)
{
	__atomic_fetch_add(&once.forks, 1, __ATOMIC_RELAXED);
	batch_tell();
}

/* The child draws numbers of its own, from the next call on, or the two would sample alike. */
static void in_child(void)
{
	thread.passing = NOT_YET;
	thread.generation = NOT_YET;
	thread.seeded = false;
	once.seed = sample_mix(once.seed + sample_mix(once.forks)) | 1;
	once.forks = 0;
	/* now: no other thread is there yet, and the program may go on into a sandbox */
	if (semaphores->any)
		is_armed();
	batch_child();
}

/* What comes later is told at once: nothing else says when the last of it was. */
static __attribute__((destructor)) void end(void)
{
	batch_end();
}

/* glibc has the first, musl the second. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
		      void *object) __attribute__((weak));
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
	__attribute__((weak));

static __attribute__((constructor)) void start(void)
{
	resolve();
	arm_start();
	batch_start();
	claim();
	trace_nest(__builtin_frame_address(0)); /* musl takes a block for it */
	if (__register_atfork)
		__register_atfork(before_fork, NULL, in_child, NULL);
	else if (pthread_atfork)
		pthread_atfork(before_fork, NULL, in_child);
	leave();
}
