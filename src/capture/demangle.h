/* SPDX-License-Identifier: MIT */
/* demangle.h - symbol names as their language writes them: C++, Rust (both schemes), D. */
#ifndef CAPTURE_DEMANGLE_H
#define CAPTURE_DEMANGLE_H

/*
 * _ZN3foo3barEi is foo::bar(int); Rust's hash is left out, and so is the version in foo@@VERSION. NULL for a
 * name that is as it should be, or is not well mangled, or when memory ran out; the caller frees the result.
 */
char *demangle(const char *name);

#endif
