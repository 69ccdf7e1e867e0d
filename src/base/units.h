/* SPDX-License-Identifier: MIT */
/*
 * units.h - figures as people read them: "12.3 MiB", "3 min 20 s", "1,234 blocks".
 *
 * Each function returns a small struct by value, so that a figure is written where it is used:
 *
 *	strbuf_printf(out, "%s in %s", units_bytes(bytes).text, units_counted(n, "block").text);
 *
 * The text never depends on the locale. Rounding is to nearest and carries into the next unit:
 * 1,048,575 bytes are "1.0 MiB", not "1024.0 KiB".
 */
#ifndef MEMTRACE_BASE_UNITS_H
#define MEMTRACE_BASE_UNITS_H

#include <stdint.h>

struct units_text {
	char text[56];
};

/* "0 B", "1023 B", "1.0 KiB" ... "16.0 EiB" */
struct units_text units_bytes(uint64_t bytes);

/* "512 B", "1.5 KiB (1,536 bytes)": what people compare and what programs do. */
struct units_text units_bytes_exact(uint64_t bytes);

/* "1,234,567" */
struct units_text units_count(uint64_t cnt);

/* "1 block", "1,234 blocks": noun takes an s; it is cut to fit. */
struct units_text units_counted(uint64_t cnt, const char *noun);

/* "350 us", "12.3 ms", "10 s", "12.3 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"; "unknown" for a
 * negative time and for NAN. A whole number of seconds has no decimal. */
struct units_text units_duration(double seconds);

/* "0", "0.3", "12,345" (of anything per second); "unknown" like above. */
struct units_text units_rate(double per_second);

/* "1.2 MiB/s"; "unknown" like above. */
struct units_text units_byte_rate(double bytes_per_second);

/* 123 is "12.3 %" */
struct units_text units_permille(uint64_t permille);

#endif
