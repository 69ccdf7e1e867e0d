/* SPDX-License-Identifier: MIT */
/*
 * utf8.h - reading text that may or may not be UTF-8.
 *
 * Names come from traced processes and their files, so every byte sequence is possible.
 */
#ifndef MEMTRACE_BASE_UTF8_H
#define MEMTRACE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID UINT32_MAX

/*
 * Reads the character at bytes (len > 0 of them). Returns how many bytes it took, at least 1.
 * *code is UTF8_INVALID for a sequence that is no character: overlong, a surrogate, beyond
 * U+10FFFF, cut short; then the return is the longest beginning of a possible character, which is
 * what one replacement character stands for.
 */
size_t utf8_decode(const char *bytes, size_t len, uint32_t *code);

/* Characters in a string, an invalid sequence counting as one. Not display cells: wide and
 * combining characters are counted as one each. */
size_t utf8_length(const char *string);

#endif
