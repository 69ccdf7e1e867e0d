/* SPDX-License-Identifier: MIT */
/* demangle.h - symbol names as their language writes them: C++, Rust (both schemes), D. */
#ifndef CAPTURE_DEMANGLE_H
#define CAPTURE_DEMANGLE_H

/*
 * _ZN3foo3barEi is foo::bar(int); Rust's hash is left out. NULL for a name that is not mangled, or
 * not well, or when memory ran out; the caller frees the result.
 */
char *demangle(const char *name);

#endif
