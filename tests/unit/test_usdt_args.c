// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "capture/usdt_args.h"

#define NONE MT_REG_NONE
#define ARGS_MAX 4

/* What the probe makes of it, with registers and memory of this test's. */
static int64_t value_of(const struct mt_arg *arg, const uint64_t *registers)
{
	uint64_t value =
		registers[arg->base] + (registers[arg->index] << arg->shift) + (uint64_t)arg->value;

	if (arg->in_memory)
		value = *(const uint64_t *)(uintptr_t)value;
	value <<= arg->cut;
	return arg->is_signed ? (int64_t)value >> arg->cut : (int64_t)(value >> arg->cut);
}

static void expect(uint16_t machine, const char *text, const uint64_t *registers, int64_t wanted)
{
	struct mt_arg arg;
	int64_t value;

	cr_assert_eq(usdt_args_parse(text, machine, &arg, 1), 0, "%s is refused", text);
	value = value_of(&arg, registers);
	cr_expect_eq(value, wanted, "%s is %#lx, should be %#lx", text, (long)value, (long)wanted);
}

static void expect_refused(uint16_t machine, const char *text)
{
	struct mt_arg arg;

	cr_expect_eq(usdt_args_parse(text, machine, &arg, 1), -EINVAL, "'%s' is taken", text);
}

/* Each register holds what no other does; the last is none at all. */
static void number_registers(uint64_t *registers)
{
	for (uint64_t i = 0; i < NONE; i++)
		registers[i] = 0x1111111181828380 + i;
	registers[NONE] = 0;
}

Test(usdt_args, registers_of_x86_have_the_numbers_of_dwarf)
{
	static const char *const names[] = {
		"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
	};
	char text[16];
	struct mt_arg arg;

	for (int i = 0; i < 16; i++) {
		snprintf(text, sizeof(text), "8@%%%s", names[i]);
		cr_assert_eq(usdt_args_parse(text, EM_X86_64, &arg, 1), 0);
		cr_expect_eq(arg.base, i);
		cr_expect_eq(arg.index, NONE);
	}
}

Test(usdt_args, parts_of_registers)
{
	uint64_t r[NONE + 1];

	number_registers(r);
	expect(EM_X86_64, "8@%rdi", r, 0x1111111181828385);
	expect(EM_X86_64, "4@%edi", r, 0x81828385);
	expect(EM_X86_64, "-4@%edi", r, (int32_t)0x81828385);
	expect(EM_X86_64, "2@%di", r, 0x8385);
	expect(EM_X86_64, "-1@%dil", r, (int8_t)0x85);
	expect(EM_X86_64, "4@%rdi", r, 0x81828385);
	expect(EM_X86_64, "1@%r10b", r, 0x8a);
	expect(EM_X86_64, "-8@%r15", r, 0x111111118182838f);
}

Test(usdt_args, constants)
{
	uint64_t r[NONE + 1];

	number_registers(r);
	expect(EM_X86_64, "8@$5", r, 5);
	expect(EM_X86_64, "-4@$-5", r, -5);
	expect(EM_X86_64, "8@$0x7fffffffffffffff", r, INT64_MAX);
	expect(EM_X86_64, "-8@$-9223372036854775808", r, INT64_MIN);
	expect(EM_X86_64, "4@$-1", r, 0xffffffff);
	expect(EM_AARCH64, "8@5", r, 5);
	expect(EM_AARCH64, "-4@-5", r, -5);
}

Test(usdt_args, memory)
{
	uint64_t words[] = { 10, 11, 0xffffffff80000001, 13, 14 };
	uint64_t r[NONE + 1] = { 0 };

	r[0] = (uintptr_t)&words[2];
	r[2] = 2;
	r[6] = (uintptr_t)&words[4];
	expect(EM_X86_64, "8@(%rax)", r, (int64_t)words[2]);
	expect(EM_X86_64, "4@(%rax)", r, 0x80000001);
	expect(EM_X86_64, "-4@(%rax)", r, (int32_t)0x80000001);
	expect(EM_X86_64, "8@-8(%rax)", r, 11);
	expect(EM_X86_64, "8@0x8(%rax)", r, 13);
	expect(EM_X86_64, "8@-16(%rbp)", r, (int64_t)words[2]);
	expect(EM_X86_64, "8@(%rax,%rcx,8)", r, 14);
	expect(EM_X86_64, "8@-16(%rax,%rcx,4)", r, 11);
	expect(EM_X86_64, "8@-2(%rax,%rcx)", r, (int64_t)words[2]);
	r[3] = (uintptr_t)words / 8;
	expect(EM_X86_64, "8@8(,%rbx,8)", r, 11);
	expect(EM_AARCH64, "8@[x0]", r, (int64_t)words[2]);
	expect(EM_AARCH64, "8@[x0, 8]", r, 13);
	expect(EM_AARCH64, "8@[x6,-8]", r, 13);
	r[31] = (uintptr_t)words;
	expect(EM_AARCH64, "8@[sp, 8]", r, 11);
}

Test(usdt_args, registers_of_arm)
{
	uint64_t r[NONE + 1];

	number_registers(r);
	expect(EM_AARCH64, "8@x0", r, 0x1111111181828380);
	expect(EM_AARCH64, "4@w30", r, 0x8182839e);
	expect(EM_AARCH64, "-4@w1", r, (int32_t)0x81828381);
	expect(EM_AARCH64, "8@sp", r, 0x111111118182839f);
}

Test(usdt_args, as_many_as_there_should_be)
{
	struct mt_arg args[ARGS_MAX];

	cr_expect_eq(usdt_args_parse("8@%rdi -4@%eax 8@$5", EM_X86_64, args, 3), 0);
	cr_expect_eq(args[1].base, 0);
	cr_expect_eq(args[2].value, 5);
	cr_expect_eq(usdt_args_parse("  8@%rdi\t8@%rsi ", EM_X86_64, args, 2), 0);
	cr_expect_eq(usdt_args_parse("8@x0 8@[sp, 16] 8@x2", EM_AARCH64, args, 3), 0);
	cr_expect_eq(args[2].base, 2);
	cr_expect_eq(usdt_args_parse("8@%rdi 8@%rsi", EM_X86_64, args, 3), -EINVAL);
	cr_expect_eq(usdt_args_parse("8@%rdi 8@%rsi", EM_X86_64, args, 1), -EINVAL);
	cr_expect_eq(usdt_args_parse("", EM_X86_64, args, 1), -EINVAL);
	cr_expect_eq(usdt_args_parse("", EM_X86_64, args, 0), 0);
}

Test(usdt_args, what_is_not_understood_is_refused)
{
	static const char *const texts[] = {
		" ",
		"8",
		"8@",
		"@%rdi",
		"%rdi",
		"rdi",
		"8@rdi",
		"8@%",
		"8@%%rdi",
		"8@%rdi,",
		"8@%rdix",
		"8@%xmm0",
		"8f@%xmm0",
		"8@%rip",
		"8@8(%rip)",
		"8@name(%rip)",
		"8@name",
		"8@$name",
		"8@$",
		"8@%ah",
		"8@%eax",
		"4@%al",
		"8@(%eax)",
		"8@(%rax",
		"8@(rax)",
		"8@()",
		"8@(%rax))",
		"8@(%rax,)",
		"8@(%rax,%rcx,3)",
		"8@(%rax,%rcx,0)",
		"8@(%rax,%rcx,-8)",
		"8@(%rax,%rcx,16)",
		"8@(%rax,%rcx,8",
		"8@8(",
		"8@-(%rax)",
		"8@--8(%rax)",
		"8@$0x",
		"8@%fs:8",
		"8@8@%rdi",
		"3@%rdi",
		"0@%rdi",
		"16@%rdi",
		"-9223372036854775808@%rdi",
		"18446744073709551624@%rdi",
		"8@$18446744073709551616",
		"8@$0x10000000000000000",
		"8@$-9223372036854775809",
		"8@$000000000000000000000000000000000001",
		"8@%r16",
		"8@%r",
		"8@*%rax",
		"8@%rdi;8@%rsi",
	};
	static const char *const arm_texts[] = {
		"8@x31", "8@w0",    "8@x",	  "8@d0",	"8@[w0]",
		"8@[x0", "8@[x0,]", "8@[x0, x1]", "8@[x0, 8]!", "8@[]",
		"8@x-1", "8@x0x",   "8@%rdi",	  "8@$5",	"8@x000000001",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_refused(EM_X86_64, texts[i]);
	for (size_t i = 0; i < sizeof(arm_texts) / sizeof(arm_texts[0]); i++)
		expect_refused(EM_AARCH64, arm_texts[i]);
	expect_refused(EM_RISCV, "8@%rdi");
}

/* Whatever comes ends, and what is taken leads nowhere outside of the registers. */
Test(usdt_args, hostile_text)
{
	static const char letters[] = "8@%$-(),[] rdiaxsp0123456789abcdefx\x80\xff\n";
	struct mt_arg args[ARGS_MAX];
	char text[24];
	uint32_t seed = 1;
	long taken = 0;

	for (int n = 0; n < 2000000; n++) {
		size_t len = 0;

		strcpy(text, n & 1 ? "8@%r" : "8@");
		for (len = strlen(text); len < sizeof(text) - 1; len++) {
			seed = seed * 1664525 + 1013904223;
			text[len] = letters[(seed >> 16) % sizeof(letters)];
		}
		text[len] = 0;
		if (usdt_args_parse(text, n & 2 ? EM_X86_64 : EM_AARCH64, args, 1))
			continue;
		taken++;
		cr_assert_leq(args[0].base, NONE);
		cr_assert_leq(args[0].index, NONE);
		cr_assert_leq(args[0].shift, 3);
		cr_assert_lt(args[0].cut, 64);
	}
	cr_expect_gt(taken, 100);
}
