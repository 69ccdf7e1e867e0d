// SPDX-License-Identifier: MIT
#include "capture/family.h"

#include <stdlib.h>
#include <string.h>

/* A further name longer than any of the family need not be looked up. */
#define NAME_MAX_LEN 63

/* clang-format off */
/* Sorted as strcmp does. Aligned forms of new take (size, align), so the size is where malloc has it. */
static const struct family_name names[] = {
	{ "_ZdaPv", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdaPvRKSt9nothrow_t", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdaPvSt11align_val_t", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdaPvSt11align_val_tRKSt9nothrow_t", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdaPvm", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdaPvmSt11align_val_t", MT_CALL_FREE, FAMILY_CXX, 21 },
	{ "_ZdlPv", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_ZdlPvRKSt9nothrow_t", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_ZdlPvSt11align_val_t", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_ZdlPvSt11align_val_tRKSt9nothrow_t", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_ZdlPvm", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_ZdlPvmSt11align_val_t", MT_CALL_FREE, FAMILY_CXX, 20 },
	{ "_Znam", MT_CALL_MALLOC, FAMILY_CXX, 21 },
	{ "_ZnamRKSt9nothrow_t", MT_CALL_MALLOC, FAMILY_CXX, 21 },
	{ "_ZnamSt11align_val_t", MT_CALL_MALLOC, FAMILY_CXX, 21 },
	{ "_ZnamSt11align_val_tRKSt9nothrow_t", MT_CALL_MALLOC, FAMILY_CXX, 21 },
	{ "_Znwm", MT_CALL_MALLOC, FAMILY_CXX, 20 },
	{ "_ZnwmRKSt9nothrow_t", MT_CALL_MALLOC, FAMILY_CXX, 20 },
	{ "_ZnwmSt11align_val_t", MT_CALL_MALLOC, FAMILY_CXX, 20 },
	{ "_ZnwmSt11align_val_tRKSt9nothrow_t", MT_CALL_MALLOC, FAMILY_CXX, 20 },
	{ "_rjem_aligned_alloc", MT_CALL_ALIGNED, FAMILY_EXTRA, 10 },
	{ "_rjem_calloc", MT_CALL_CALLOC, FAMILY_EXTRA, 10 },
	{ "_rjem_dallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "_rjem_free", MT_CALL_FREE, FAMILY_EXTRA, 10 },
	{ "_rjem_malloc", MT_CALL_MALLOC, FAMILY_EXTRA, 10 },
	{ "_rjem_mallocx", MT_CALL_MALLOC, FAMILY_EXTRA, 12 },
	{ "_rjem_memalign", MT_CALL_ALIGNED, FAMILY_EXTRA, 11 },
	{ "_rjem_posix_memalign", MT_CALL_POSIX_MEMALIGN, FAMILY_EXTRA, 10 },
	{ "_rjem_rallocx", MT_CALL_REALLOC, FAMILY_EXTRA, 12 },
	{ "_rjem_realloc", MT_CALL_REALLOC, FAMILY_EXTRA, 10 },
	{ "_rjem_sdallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "_rjem_valloc", MT_CALL_MALLOC, FAMILY_EXTRA, 11 },
	{ "aligned_alloc", MT_CALL_ALIGNED, FAMILY_C, 0 },
	{ "calloc", MT_CALL_CALLOC, FAMILY_C, 0 },
	{ "cfree", MT_CALL_FREE, FAMILY_C, 1 },
	{ "dallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "free", MT_CALL_FREE, FAMILY_C, 0 },
	{ "free_aligned_sized", MT_CALL_FREE_SIZED, FAMILY_C, 3 },
	{ "free_sized", MT_CALL_FREE_SIZED, FAMILY_C, 2 },
	{ "je_aligned_alloc", MT_CALL_ALIGNED, FAMILY_EXTRA, 10 },
	{ "je_calloc", MT_CALL_CALLOC, FAMILY_EXTRA, 10 },
	{ "je_dallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "je_free", MT_CALL_FREE, FAMILY_EXTRA, 10 },
	{ "je_malloc", MT_CALL_MALLOC, FAMILY_EXTRA, 10 },
	{ "je_mallocx", MT_CALL_MALLOC, FAMILY_EXTRA, 12 },
	{ "je_memalign", MT_CALL_ALIGNED, FAMILY_EXTRA, 11 },
	{ "je_posix_memalign", MT_CALL_POSIX_MEMALIGN, FAMILY_EXTRA, 10 },
	{ "je_rallocx", MT_CALL_REALLOC, FAMILY_EXTRA, 12 },
	{ "je_realloc", MT_CALL_REALLOC, FAMILY_EXTRA, 10 },
	{ "je_sdallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "je_valloc", MT_CALL_MALLOC, FAMILY_EXTRA, 11 },
	{ "malloc", MT_CALL_MALLOC, FAMILY_C, 0 },
	{ "mallocx", MT_CALL_MALLOC, FAMILY_EXTRA, 12 },
	{ "memalign", MT_CALL_ALIGNED, FAMILY_C, 1 },
	{ "mi_aligned_alloc", MT_CALL_ALIGNED, FAMILY_EXTRA, 10 },
	{ "mi_calloc", MT_CALL_CALLOC, FAMILY_EXTRA, 10 },
	{ "mi_calloc_aligned", MT_CALL_CALLOC, FAMILY_EXTRA, 14 },
	{ "mi_calloc_aligned_at", MT_CALL_CALLOC, FAMILY_EXTRA, 14 },
	{ "mi_cfree", MT_CALL_FREE, FAMILY_EXTRA, 11 },
	{ "mi_free", MT_CALL_FREE, FAMILY_EXTRA, 10 },
	{ "mi_free_aligned", MT_CALL_FREE, FAMILY_EXTRA, 14 },
	{ "mi_free_size", MT_CALL_FREE, FAMILY_EXTRA, 14 },
	{ "mi_free_size_aligned", MT_CALL_FREE, FAMILY_EXTRA, 14 },
	{ "mi_malloc", MT_CALL_MALLOC, FAMILY_EXTRA, 10 },
	{ "mi_malloc_aligned", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_malloc_aligned_at", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_malloc_small", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_mallocn", MT_CALL_CALLOC, FAMILY_EXTRA, 14 },
	{ "mi_memalign", MT_CALL_ALIGNED, FAMILY_EXTRA, 11 },
	{ "mi_new", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_aligned", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_aligned_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_n", MT_CALL_CALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_realloc", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_new_reallocn", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 14 },
	{ "mi_posix_memalign", MT_CALL_POSIX_MEMALIGN, FAMILY_EXTRA, 10 },
	{ "mi_pvalloc", MT_CALL_MALLOC, FAMILY_EXTRA, 12 },
	{ "mi_realloc", MT_CALL_REALLOC, FAMILY_EXTRA, 10 },
	{ "mi_realloc_aligned", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_realloc_aligned_at", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_reallocarray", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 10 },
	{ "mi_reallocf", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_reallocn", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 14 },
	{ "mi_recalloc", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 14 },
	{ "mi_recalloc_aligned", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 14 },
	{ "mi_recalloc_aligned_at", MT_CALL_REALLOCARRAY, FAMILY_EXTRA, 14 },
	{ "mi_rezalloc", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_rezalloc_aligned", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_rezalloc_aligned_at", MT_CALL_REALLOC, FAMILY_EXTRA, 14 },
	{ "mi_valloc", MT_CALL_MALLOC, FAMILY_EXTRA, 11 },
	{ "mi_zalloc", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_zalloc_aligned", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_zalloc_aligned_at", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "mi_zalloc_small", MT_CALL_MALLOC, FAMILY_EXTRA, 14 },
	{ "posix_memalign", MT_CALL_POSIX_MEMALIGN, FAMILY_C, 0 },
	{ "pvalloc", MT_CALL_MALLOC, FAMILY_C, 2 },
	{ "rallocx", MT_CALL_REALLOC, FAMILY_EXTRA, 12 },
	{ "realloc", MT_CALL_REALLOC, FAMILY_C, 0 },
	{ "reallocarray", MT_CALL_REALLOCARRAY, FAMILY_C, 0 },
	{ "sdallocx", MT_CALL_FREE, FAMILY_EXTRA, 12 },
	{ "tc_calloc", MT_CALL_CALLOC, FAMILY_EXTRA, 10 },
	{ "tc_cfree", MT_CALL_FREE, FAMILY_EXTRA, 11 },
	{ "tc_delete", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_delete_aligned", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_delete_aligned_nothrow", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_delete_nothrow", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_delete_sized", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_delete_sized_aligned", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray_aligned", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray_aligned_nothrow", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray_nothrow", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray_sized", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_deletearray_sized_aligned", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_free", MT_CALL_FREE, FAMILY_EXTRA, 10 },
	{ "tc_free_sized", MT_CALL_FREE, FAMILY_EXTRA, 13 },
	{ "tc_malloc", MT_CALL_MALLOC, FAMILY_EXTRA, 10 },
	{ "tc_malloc_skip_new_handler", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_memalign", MT_CALL_ALIGNED, FAMILY_EXTRA, 11 },
	{ "tc_new", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_new_aligned", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_new_aligned_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_new_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_newarray", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_newarray_aligned", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_newarray_aligned_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_newarray_nothrow", MT_CALL_MALLOC, FAMILY_EXTRA, 13 },
	{ "tc_posix_memalign", MT_CALL_POSIX_MEMALIGN, FAMILY_EXTRA, 10 },
	{ "tc_pvalloc", MT_CALL_MALLOC, FAMILY_EXTRA, 12 },
	{ "tc_realloc", MT_CALL_REALLOC, FAMILY_EXTRA, 10 },
	{ "tc_valloc", MT_CALL_MALLOC, FAMILY_EXTRA, 11 },
	{ "valloc", MT_CALL_MALLOC, FAMILY_C, 1 },
};
/* clang-format on */

#define NAME_CNT (sizeof(names) / sizeof(names[0]))

static int compare(const void *key, const void *entry)
{
	return strcmp(key, ((const struct family_name *)entry)->name);
}

const struct family_name *family_find(const char *name)
{
	size_t len = strcspn(name, "@");
	char plain[NAME_MAX_LEN + 1];

	if (!len || len > NAME_MAX_LEN)
		return NULL;
	memcpy(plain, name, len);
	plain[len] = 0;
	return bsearch(plain, names, NAME_CNT, sizeof(names[0]), compare);
}

const struct family_name *family_at(size_t index)
{
	return index < NAME_CNT ? &names[index] : NULL;
}

bool family_call_allocates(enum mt_call call)
{
	switch (call) {
	case MT_CALL_MALLOC:
	case MT_CALL_CALLOC:
	case MT_CALL_REALLOC:
	case MT_CALL_REALLOCARRAY:
	case MT_CALL_ALIGNED:
	case MT_CALL_POSIX_MEMALIGN:
		return true;
	default:
		return false;
	}
}

bool family_call_frees(enum mt_call call)
{
	return call == MT_CALL_FREE || call == MT_CALL_FREE_SIZED;
}
