/* SPDX-License-Identifier: MIT */
/*
 * records.h - the kernel's own records of maps, forks, execs and exits, in order of time.
 *
 * They come from a perf dummy event on every CPU, so they tell what was mapped in a process that
 * lived 5 ms and is gone. There is no record of munmap.
 */
#ifndef CAPTURE_RECORDS_H
#define CAPTURE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;

enum record_kind { RECORD_MAP, RECORD_EXEC, RECORD_FORK, RECORD_EXIT };

struct record {
	enum record_kind kind;
	uint32_t tgid;
	uint32_t ppid; /* FORK: who forked */
	uint64_t time_ns;
	/* MAP: an executable mapping */
	uint64_t start, end, pgoff;
	uint64_t ino, generation; /* a number given out again has another generation */
	uint32_t dev_major, dev_minor;
	uint8_t build_id[20];
	uint8_t build_id_len; /* 0: the kernel gave ino, generation and dev */
	const char *path;     /* valid during the call */
};

struct records;

/* ready_fd: becomes readable when records arrived (an epoll set of all CPUs). */
int records_open(struct records **records, int *ready_fd, struct message *why);
void records_close(struct records *records);

/* Calls see() for every record, oldest first. settled_only holds back the last moment's, because
 * another CPU's earlier ones may not be visible yet. Returns -ENOMEM when some had to be dropped. */
typedef void (*record_fn)(void *ctx, const struct record *record);
int records_drain(struct records *records, bool settled_only, record_fn see, void *ctx);

/* Records the kernel dropped so far. */
uint64_t records_lost(const struct records *records);

/* Kernel memory of the rings. */
uint64_t records_bytes(const struct records *records);

#endif
