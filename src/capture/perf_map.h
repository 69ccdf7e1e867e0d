/* SPDX-License-Identifier: MIT */
/*
 * perf_map.h - names of code that a program made at run time, as it lists them for perf.
 *
 *	7f3a1c0400c0 120 LazyCompile:~load /srv/app.js:1
 *	7f3a1c0401e0 48 Builtin:MemMove
 *	start        size name, to the end of the line       (numbers in hexadecimal)
 *
 * What is kept are disjoint ranges, sorted; where two entries overlap the later one holds, because
 * code is moved and its room used again. The file is another program's: lines that are none are
 * passed over and counted, sizes are bounded, a last line without its end is not there yet.
 */
#ifndef CAPTURE_PERF_MAP_H
#define CAPTURE_PERF_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERF_MAP_BYTES_MAX (64U << 20)	   /* of a file; what is behind is not read */
#define PERF_MAP_HOPELESS_BYTES (1U << 20) /* so much without one good line is no map */
#define PERF_MAP_ENTRIES_MAX (1U << 20)
#define PERF_MAP_NAME_MAX 4096 /* longer ones are cut */

struct perf_map;

struct perf_map_stats {
	uint64_t entries;   /* good lines */
	uint64_t malformed; /* lines that are none */
	bool cut;	    /* there was more than is read */
};

/* Of text, or of a regular file from its beginning on. stats may be NULL. 0, -ENOMEM, or -errno of
 * reading. */
int perf_map_parse(struct perf_map **map, const char *text, size_t len,
		   struct perf_map_stats *stats);
int perf_map_read(struct perf_map **map, int fd, struct perf_map_stats *stats);
void perf_map_free(struct perf_map *map); /* takes NULL */

/* The name at address, valid as long as the map; NULL when there is none. */
const char *perf_map_find(const struct perf_map *map, uint64_t address);

/* Forgets every range without one of these addresses, to be small. 0 or -ENOMEM: then the map is as
 * before. */
int perf_map_keep(struct perf_map *map, const uint64_t *addresses, size_t cnt);

/* Ranges, first to last; for tests. False: there is no such one. */
bool perf_map_range(const struct perf_map *map, size_t i, uint64_t *start, uint64_t *end,
		    const char **name);

#endif
