// SPDX-License-Identifier: MIT
#include "preload/cxx.h"

#include "preload/lookup.h"
#include "preload/trace.h"

/* clang-format off */
/*
 * X(symbol, form): PLAIN new takes (size), or (size, nothrow); ALIGNED new takes (size, align), or
 * (size, align, nothrow).
 */
#define NEWS(X)                                                                                    \
	X(_Znwm, PLAIN)                                                                            \
	X(_Znam, PLAIN)                                                                            \
	X(_ZnwmRKSt9nothrow_t, PLAIN)                                                              \
	X(_ZnamRKSt9nothrow_t, PLAIN)                                                              \
	X(_ZnwmSt11align_val_t, ALIGNED)                                                           \
	X(_ZnamSt11align_val_t, ALIGNED)                                                           \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, ALIGNED)                                             \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, ALIGNED)
#define DELETES(X)                                                                                 \
	X(_ZdlPv, )                                                                                \
	X(_ZdaPv, )                                                                                \
	X(_ZdlPvm, )                                                                               \
	X(_ZdaPvm, )                                                                               \
	X(_ZdlPvRKSt9nothrow_t, )                                                                  \
	X(_ZdaPvRKSt9nothrow_t, )                                                                  \
	X(_ZdlPvSt11align_val_t, )                                                                 \
	X(_ZdaPvSt11align_val_t, )                                                                 \
	X(_ZdlPvmSt11align_val_t, )                                                                \
	X(_ZdaPvmSt11align_val_t, )                                                                \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t, )                                                   \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t, )
/* clang-format on */

#define ENUM(symbol, form) OPERATOR_##symbol,
enum cxx_operator {
	NEWS(ENUM) OPERATOR_NEWS,
	BEFORE_DELETES = OPERATOR_NEWS - 1,
	DELETES(ENUM) OPERATOR_CNT
};
#undef ENUM

#define PARAMETERS uintptr_t a, uintptr_t b, uintptr_t c
#define NOTHROW(op)                                                                      \
	((op) == OPERATOR__ZnwmRKSt9nothrow_t || (op) == OPERATOR__ZnamRKSt9nothrow_t || \
	 (op) == OPERATOR__ZnwmSt11align_val_tRKSt9nothrow_t ||                          \
	 (op) == OPERATOR__ZnamSt11align_val_tRKSt9nothrow_t)

/* What the allocator has, where it has its own. */
static real_call owns[OPERATOR_CNT];

/* ---- the allocator's own -------------------------------------------------------------------- */

#define OWN_NEW(symbol, form)                             \
	static void *own_##symbol(PARAMETERS)             \
	{                                                 \
		real_call own = owns[OPERATOR_##symbol];  \
                                                          \
		if (!anyone_listens() || trace_passes(a)) \
			return own(a, b, c);              \
		return trace_alloc(a, own, a, b, c);      \
	}
NEWS(OWN_NEW)

#define OWN_DELETE(symbol, form)                                             \
	static void *own_##symbol(PARAMETERS)                                \
	{                                                                    \
		real_call own = owns[OPERATOR_##symbol];                     \
                                                                             \
		if (!anyone_listens() || !a || trace_free_passes((void *)a)) \
			return own(a, b, c);                                 \
		trace_free((void *)a, own, b, c);                            \
		return NULL;                                                 \
	}
DELETES(OWN_DELETE)

/* ---- nobody's ------------------------------------------------------------------------------- */

static const char *const symbols[OPERATOR_CNT];

/* Memory has run out: the C++ runtime knows what to do, if there is one by now. */
static __attribute__((noinline)) void *give_up(enum cxx_operator op, PARAMETERS)
{
	struct definition found = { .name = symbols[op] };

	lookup_next(&found, 1);
	if (found.address) {
		trace_nest(__builtin_frame_address(0)); /* should it get a block after all */
		return REAL_CALL(found.address)(a, b, c);
	}
	if (!NOTHROW(op))
		__builtin_trap(); /* nobody can throw */
	return NULL;
}

/* What libstdc++ asks malloc for. */
static inline size_t asked_PLAIN(size_t size, size_t align)
{
	(void)align;
	return size + !size;
}

static inline void *get_PLAIN(size_t size, size_t align)
{
	(void)align;
	return next.malloc(size);
}

static inline size_t asked_ALIGNED(size_t size, size_t align)
{
	size_t asked = size + !size;

	return (asked + align - 1) & -align ? (asked + align - 1) & -align : asked;
}

static inline void *get_ALIGNED(size_t size, size_t align)
{
	return next.aligned_alloc(align, size);
}

#define BUILT_IN_NEW(symbol, form)                                                  \
	static void *real_##symbol(PARAMETERS)                                      \
	{                                                                           \
		void *block = get_##form(asked_##form(a, b), b);                    \
                                                                                    \
		return likely(block) ? block : give_up(OPERATOR_##symbol, a, b, c); \
	}                                                                           \
	static void *built_in_##symbol(PARAMETERS)                                  \
	{                                                                           \
		size_t size = asked_##form(a, b);                                   \
                                                                                    \
		if (!anyone_listens() || trace_passes(size))                        \
			return real_##symbol(a, b, c);                              \
		return trace_alloc(size, real_##symbol, a, b, c);                   \
	}
NEWS(BUILT_IN_NEW)

static void *built_in_delete(PARAMETERS)
{
	(void)b;
	(void)c;
	if (!anyone_listens() || !a || trace_free_passes((void *)a))
		next.free((void *)a);
	else
		trace_free((void *)a, REAL_CALL(next.free), 0, 0);
	return NULL;
}

/* ---- which of them -------------------------------------------------------------------------- */

#define FIRST(symbol, form) static void *first_##symbol(PARAMETERS);
NEWS(FIRST)
DELETES(FIRST)
#undef FIRST

#define NAME(symbol, form) [OPERATOR_##symbol] = #symbol,
static const char *const symbols[OPERATOR_CNT] = { NEWS(NAME) DELETES(NAME) };
#define FIRST(symbol, form) [OPERATOR_##symbol] = first_##symbol,
static real_call ways[OPERATOR_CNT] = { NEWS(FIRST) DELETES(FIRST) };
#undef FIRST
#define OWN(symbol, form) [OPERATOR_##symbol] = own_##symbol,
#define BUILT_IN(symbol, form) [OPERATOR_##symbol] = built_in_##symbol,
#define BUILT_IN_DELETE(symbol, form) [OPERATOR_##symbol] = built_in_delete,

void cxx_resolve(void)
{
	static const real_call own_ways[OPERATOR_CNT] = { NEWS(OWN) DELETES(OWN) };
	static const real_call built_in_ways[OPERATOR_CNT] = { NEWS(BUILT_IN)
								       DELETES(BUILT_IN_DELETE) };
	struct definition found[OPERATOR_CNT];

	for (size_t i = 0; i < OPERATOR_CNT; i++)
		found[i] = (struct definition){ .name = symbols[i] };
	lookup_next(found, OPERATOR_CNT);
	for (size_t i = 0; i < OPERATOR_CNT; i++) {
		real_call way = built_in_ways[i];

		if (found[i].address && found[i].object == allocator.object) {
			__atomic_store_n(&owns[i], REAL_CALL(found[i].address), __ATOMIC_RELEASE);
			way = own_ways[i];
		} else if (found[i].address) {
			way = REAL_CALL(found[i].address);
		}
		__atomic_store_n(&ways[i], way, __ATOMIC_RELEASE);
	}
}

/* An operator called before the constructor ran. */
#define FIRST(symbol, form)                              \
	static void *first_##symbol(PARAMETERS)          \
	{                                                \
		next_resolve();                          \
		cxx_resolve();                           \
		return ways[OPERATOR_##symbol](a, b, c); \
	}
NEWS(FIRST)
DELETES(FIRST)

#define EXPORTED(symbol, form)                           \
	EXPORT void *symbol(PARAMETERS)                  \
	{                                                \
		return ways[OPERATOR_##symbol](a, b, c); \
	}
NEWS(EXPORTED)
DELETES(EXPORTED)
