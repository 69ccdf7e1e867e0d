// SPDX-License-Identifier: MIT
#include "preload/batch.h"

#include "preload/arm.h"
#include "preload/next.h"
#include "preload/paths.h"
#include "preload/sys.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline))

#define WIPE_ON_FORK 18 /* MADV_WIPEONFORK, Linux 4.14 */
#define PAUSES_MAX (1 << 18)
#define MAPPED_AT_START 3 /* generations: there may be no other time */

struct batching batching;

/* What other threads and the kernel read. */
#define NOW(x) (*(volatile __typeof__(x) *)&(x))
#define BARRIER() __asm__ volatile("" : : : "memory")

#ifdef __x86_64__
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() BARRIER()
#endif

static inline uint64_t self(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

/* memtrace alone: to others each event is told on its own. */
static inline bool is_heard(void)
{
	return semaphores->memtrace && !(semaphores->any >> 16);
}

extern char **environ __attribute__((weak));

/* Memory that a forked child finds wiped. */
static void *map_wiped(size_t bytes)
{
	void *memory = sys_map(bytes);

	if (!memory || !sys_call6(SYS_madvise, (long)memory, (long)bytes, WIPE_ON_FORK, 0, 0, 0))
		return memory;
	sys_unmap(memory, bytes);
	return NULL;
}

static void map_generation(struct mt_batch *pages, uint32_t generation)
{
	if (generation >= MT_PATH_GENERATIONS)
		return;
	if (!batching.tables[generation])
		batching.tables[generation] =
			(uintptr_t)map_wiped(MT_PATH_GENERATION_BYTES(generation));
	NOW(pages->tables[generation]) = batching.tables[generation];
}

void batch_start(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	struct mt_batch *pages;

#ifndef __x86_64__
	return; /* there are no rules for others */
#endif
	/* at its end the stack of the first thread has the environment, as the program was given it */
	batching.stack_end = &environ ? (uintptr_t)environ : 0;
	if (batching.stack_end - here >= PATHS_STACK_MAX)
		return;
	pages = map_wiped(sizeof(*pages));
	for (uint32_t i = 0; pages && i < MAPPED_AT_START; i++)
		map_generation(pages, i);
	if (pages && batching.tables[0])
		batching.pages = pages;
}

NOINLINE void batch_fire(struct mt_batch *pages, bool stays)
{
	uint64_t head = NOW(pages->head);

	if (semaphores->memtrace && is_armed())
		SITE2("memtrace", "batch", SEMAPHORE_MEMTRACE, pages, stays);
	NOW(pages->told) = head;
	pages->bytes = 0;
}

/* Another thread is here that nobody said would be. Whoever writes is let finish. Without a system call, which
 * may be forbidden here: what a processor has written is seen by all long before this loop ends, so the
 * writer has seen that, or we see that it writes. One that was left by longjmp never finishes. */
static void take_over(struct mt_batch *pages)
{
	batching.over = true;
	NOW(pages->owner) = 0;
	for (int i = 0; i < PAUSES_MAX && (i < PAUSES_MAX / 16 || NOW(pages->busy)); i++)
		PAUSE();
	batch_fire(pages, false);
}

/* May this thread begin to write? */
static NOINLINE bool open_pages(struct mt_batch *pages)
{
	__u64 nobody = 0;

	if (!batching.wanted || batching.over || !is_heard() || !is_armed() || pages->busy)
		return false;
	if (NOW(pages->owner)) {
		take_over(pages);
		return false;
	}
	if (!__atomic_compare_exchange_n(&pages->owner, &nobody, self(), false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return false;
	if (!pages->epoch)
		pages->epoch = 1;
	for (uint32_t i = 0; i < MT_PATH_GENERATIONS; i++) /* if wiped */
		NOW(pages->tables[i]) = batching.tables[i];
	batch_fire(pages, true);
	return true;
}

static inline struct mt_batch *my_pages(void)
{
	struct mt_batch *pages = batching.pages;

	if (!pages || (NOW(pages->owner) != self() && !open_pages(pages)))
		return NULL;
	return pages->busy || !is_heard() ? NULL : pages;
}

/* Between these a handler of a signal, or another thread's arrival, finds the pages busy. */
static inline bool begin(struct mt_batch *pages)
{
	NOW(pages->busy) = 1;
	BARRIER();
	if (likely(NOW(pages->owner) == self()))
		return true;
	NOW(pages->busy) = 0;
	return false;
}

/* The n-th after those that are there. */
static inline void write_event(struct mt_batch *pages, unsigned int n, void *block, size_t size,
			       uint64_t site)
{
	struct mt_batch_event *event = &pages->events[(pages->head + n) % MT_BATCH_EVENTS];

	event->block = (uintptr_t)block;
	event->size = size;
	event->site = site;
	pages->bytes += size;
}

/* Now they are there, all at once. */
static inline void finish(struct mt_batch *pages, unsigned int cnt)
{
	BARRIER();
	NOW(pages->head) = pages->head + cnt;
	BARRIER();
	NOW(pages->busy) = 0;
	if (unlikely(pages->head - pages->told > MT_BATCH_EVENTS - 2 ||
		     pages->bytes > MT_BATCH_BYTES))
		batch_fire(pages, true);
}

static inline bool keep(struct mt_batch *pages, void *block, size_t size, uint64_t site)
{
	if (!begin(pages))
		return false;
	write_event(pages, 0, block, size, site);
	finish(pages, 1);
	return true;
}

static NOINLINE uint64_t ask(struct mt_batch *pages)
{
	/* an answer may have been lost */
	if (pages->asked - NOW(pages->answered) >= MT_PATH_ASKED_MAX &&
	    ++pages->starved < MT_PATH_STARVED_MAX)
		return 0;
	pages->starved = 0;
	pages->asked++;
	if (NOW(pages->wanted) && !batching.tables[NOW(pages->wanted) % MT_PATH_GENERATIONS])
		map_generation(pages, NOW(pages->wanted));
	return (uintptr_t)pages | pages->epoch;
}

bool batch_alloc(const uintptr_t *frame, void *block, size_t size, uint64_t *ticket)
{
	struct mt_batch *pages = my_pages();
	uint32_t site;

	*ticket = 0;
	if (!pages)
		return false;
	site = paths_find(pages, frame, batching.stack_end, batching.depth);
	if (likely(site))
		return keep(pages, block, size, site);
	*ticket = ask(pages);
	return false;
}

bool batch_free(void *block)
{
	struct mt_batch *pages = my_pages();
	size_t size;

	if (!pages)
		return false;
	/* what others take to answer is not known */
	size = allocator.flat ? next.malloc_usable_size(block) : 0;
	return keep(pages, block, size, MT_BATCH_FREE);
}

bool batch_realloc(const uintptr_t *frame, void *old, void *block, size_t size, uint64_t *ticket)
{
	struct mt_batch *pages = my_pages();
	uint32_t site;

	if (!pages)
		return false;
	site = paths_find(pages, frame, batching.stack_end, batching.depth);
	if (unlikely(!site)) {
		*ticket = ask(pages);
		return false;
	}
	if (!begin(pages))
		return false;
	write_event(pages, 0, old, 0, MT_BATCH_MOVED);
	write_event(pages, 1, block, size, site);
	finish(pages, 2);
	return true;
}

bool batch_is_open(void)
{
	return my_pages();
}

/* ---- moments ------------------------------------------------------------------------------------- */

static struct mt_batch *mine(void)
{
	struct mt_batch *pages = batching.pages;

	return pages && NOW(pages->owner) == self() ? pages : NULL;
}

void batch_pause(void)
{
	struct mt_batch *pages = mine();

	if (!pages)
		return;
	batch_fire(pages, false);
	NOW(pages->owner) = 0;
}

void batch_want(bool wanted, uint32_t depth)
{
	batching.wanted = wanted;
	batching.depth = depth;
	if (!wanted)
		batch_pause();
}

void batch_end(void)
{
	batching.over = true;
	batch_pause();
}

void batch_forget(void)
{
	struct mt_batch *pages = mine();

	if (!pages)
		return;
	batch_tell();
	if (pages->epoch >= MT_PATH_EPOCHS) {
		batch_end();
		return;
	}
	NOW(pages->epoch) = pages->epoch + 1;
	pages->pc_cnt = pages->path_cnt = 0;
}

void batch_child(void)
{
	batching.over = false;
}
