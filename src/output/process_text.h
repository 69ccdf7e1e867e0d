/* SPDX-License-Identifier: MIT */
/* process_text.h - processes for people: one by name, or a table of all. */
#ifndef MEMTRACE_OUTPUT_PROCESS_TEXT_H
#define MEMTRACE_OUTPUT_PROCESS_TEXT_H

#include "analyze/ranking.h"
#include "memtrace/memtrace.h"
#include "output/page.h"

/* Adds "pid 4242 (bench)" to the page's line. */
void process_put_name(struct page *page, const struct memtrace_process *process);

/* Adds "running", "exit 0", "SIGKILL" or "exec". */
void process_put_state(struct page *page, const struct memtrace_process *process);

/* Adds what of the process's life was missed, in words, after separator; nothing when all was
 * seen. */
void process_put_missed(struct page *page, const struct memtrace_process *process,
			const char *separator);

/* The table, top rows of it (0: all). */
void process_table(struct page *page, const struct ranking *ranking, size_t top);

#endif
