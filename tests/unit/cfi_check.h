/* SPDX-License-Identifier: MIT */
/* cfi_check.h - what holds for every unwind table, whatever file it was made from. */
#ifndef CFI_CHECK_H
#define CFI_CHECK_H

#include <stddef.h>

#include "capture/cfi.h"

/* NULL, or the first rule that the table breaks. */
static inline const char *cfi_check_table(const struct cfi_table *t)
{
	if (!t->row_cnt)
		return NULL;
	if (t->row_cnt > CFI_ROWS_MAX)
		return "too many rows";
	if (MT_RULE_KIND(t->rows[0].rule) == MT_ROW_NONE)
		return "the first row is a gap";
	if (MT_RULE_KIND(t->rows[t->row_cnt - 1].rule) != MT_ROW_NONE)
		return "the last row is no gap";
	for (size_t i = 0; i < t->row_cnt; i++) {
		if (MT_RULE_KIND(t->rows[i].rule) >= MT_ROW_KIND_CNT)
			return "an unknown kind";
		if (i && t->rows[i].pc <= t->rows[i - 1].pc)
			return "rows out of order";
		if (i && t->rows[i].rule == t->rows[i - 1].rule)
			return "neighbours that are equal";
		if (cfi_table_rule(t, t->rows[i].pc) != t->rows[i].rule)
			return "a row that is not found";
	}
	return NULL;
}

#endif
