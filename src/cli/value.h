/* SPDX-License-Identifier: MIT */
/*
 * value.h - numbers as people type them, read strictly.
 *
 * Digits only: no sign, no space, no base prefix, no exponent, nothing behind; independent of the
 * locale. Each returns 0, -EINVAL for what is no number, or -ERANGE for one that does not fit, and
 * writes the value only on success.
 */
#ifndef MEMTRACE_CLI_VALUE_H
#define MEMTRACE_CLI_VALUE_H

#include <stdint.h>

int value_count(const char *text, uint64_t *value);

/* May have one point: "10", "0.5", ".5", "5." */
int value_seconds(const char *text, double *value);

#endif
