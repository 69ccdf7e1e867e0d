/* SPDX-License-Identifier: MIT */
/*
 * usdt_args.h - where a static probe site's arguments are: what its note says, as the probes read
 * it (struct mt_arg).
 *
 *	8@%rdi          a register                      8@x0
 *	-4@%eax         its low four bytes, signed      -4@w0
 *	8@$5            a constant                      8@5
 *	8@-16(%rbp)     in memory, at rbp - 16          8@[x29, -16]
 *	8@8(%rax,%rcx,4)
 *
 * The text is another program's: what is not understood is refused, never guessed.
 */
#ifndef CAPTURE_USDT_ARGS_H
#define CAPTURE_USDT_ARGS_H

#include <stdint.h>

#include "memtrace/abi.h"

/* Reads exactly cnt arguments. machine: EM_X86_64 or EM_AARCH64, whose assembler's words they are.
 * 0, or -EINVAL: there are more, or fewer, or one that is not understood (a symbol, a floating
 * point register, memory relative to the instruction). */
int usdt_args_parse(const char *text, uint16_t machine, struct mt_arg *args, int cnt);

#endif
