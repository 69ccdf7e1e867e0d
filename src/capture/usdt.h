/* SPDX-License-Identifier: MIT */
/*
 * usdt.h - the static probe sites that a file declares: its .note.stapsdt, where programs and libraries
 * say where tools may hang probes, under which name and with which arguments.
 *
 *	provider:name   memtrace:alloc
 *	offset          of the site in the file
 *	semaphore       offset in the file of the counter of who listens; 0: none
 *	arguments       "8@%rdi 8@%rsi"
 *
 * The file may be anything: reading is bounded, what makes no sense is left out.
 */
#ifndef CAPTURE_USDT_H
#define CAPTURE_USDT_H

#include <stddef.h>
#include <stdint.h>

#include "capture/elf_file.h"

struct usdt_site {
	const char *provider, *name, *arguments; /* valid during the call */
	uint64_t offset, semaphore;
};

/* Calls see() for each site of the file; for none when it has no sections. */
typedef void (*usdt_fn)(void *ctx, const struct usdt_site *site);
void usdt_each(const struct elf_file *file, usdt_fn see, void *ctx);

#endif
