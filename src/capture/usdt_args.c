// SPDX-License-Identifier: MIT
#include "capture/usdt_args.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SCALE_MAX 8
#define DIGITS_MAX 20 /* of a number, in any base */

/* Registers by the names of their 1, 2, 4 and 8 bytes; the number is the place. */
static const char *const x86_names[][4] = {
	{ "al", "ax", "eax", "rax" },	   { "dl", "dx", "edx", "rdx" },
	{ "cl", "cx", "ecx", "rcx" },	   { "bl", "bx", "ebx", "rbx" },
	{ "sil", "si", "esi", "rsi" },	   { "dil", "di", "edi", "rdi" },
	{ "bpl", "bp", "ebp", "rbp" },	   { "spl", "sp", "esp", "rsp" },
	{ "r8b", "r8w", "r8d", "r8" },	   { "r9b", "r9w", "r9d", "r9" },
	{ "r10b", "r10w", "r10d", "r10" }, { "r11b", "r11w", "r11d", "r11" },
	{ "r12b", "r12w", "r12d", "r12" }, { "r13b", "r13w", "r13d", "r13" },
	{ "r14b", "r14w", "r14d", "r14" }, { "r15b", "r15w", "r15d", "r15" },
};

#define X86_REGISTERS ((int)(sizeof(x86_names) / sizeof(x86_names[0])))
#define X86_WHOLE 3
#define ARM_SP 31

static bool take(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		++*at;
}

/* 12, -12, 0x12; false when there is none, or it does not fit. */
static bool take_number(const char **at, __s64 *out)
{
	const char *p = *at;
	bool negative = take(&p, '-');
	uint64_t value = 0;
	int digits = 0, base = 10;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	for (; base == 16 ? isxdigit((unsigned char)*p) : isdigit((unsigned char)*p); p++) {
		int digit = isdigit((unsigned char)*p) ? *p - '0'
						       : tolower((unsigned char)*p) - 'a' + 10;

		if (++digits > DIGITS_MAX ||
		    __builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	if (!digits || (negative && value > 1ULL << 63))
		return false;
	*out = (__s64)(negative ? 0 - value : value);
	*at = p;
	return true;
}

static size_t take_word(const char **at, char *word, size_t size)
{
	size_t len = 0;

	while (isalnum((unsigned char)(*at)[len]) && len + 1 < size) {
		word[len] = (*at)[len];
		len++;
	}
	word[len] = 0;
	*at += len;
	return isalnum((unsigned char)**at) ? 0 : len;
}

/* ---- x86-64, as AT&T writes it --------------------------------------------------------- */

/* %rax; *width is the place of its name among those of the register. */
static bool x86_register(const char **at, uint8_t *number, int *width)
{
	char word[8];

	if (!take(at, '%') || !take_word(at, word, sizeof(word)))
		return false;
	for (int i = 0; i < X86_REGISTERS; i++)
		for (int w = 0; w <= X86_WHOLE; w++)
			if (!strcmp(word, x86_names[i][w])) {
				*number = i;
				*width = w;
				return true;
			}
	return false;
}

/* Of an address: whole ones only. */
static bool x86_address_register(const char **at, uint8_t *number)
{
	int width;

	return x86_register(at, number, &width) && width == X86_WHOLE;
}

/* base), or base,index,scale) without what is not there. */
static bool x86_address(const char **at, struct mt_arg *arg)
{
	__s64 scale = 1;

	if (**at != ',' && !x86_address_register(at, &arg->base))
		return false;
	if (take(at, ',')) {
		if (!x86_address_register(at, &arg->index))
			return false;
		if (take(at, ',') && !take_number(at, &scale))
			return false;
		if (scale < 1 || scale > SCALE_MAX || scale & (scale - 1))
			return false;
		arg->shift = __builtin_ctzll((uint64_t)scale);
	}
	arg->in_memory = 1;
	return take(at, ')');
}

static bool x86_operand(const char **at, struct mt_arg *arg, int bytes)
{
	int width;

	if (take(at, '$'))
		return take_number(at, &arg->value);
	if (**at == '%')
		return x86_register(at, &arg->base, &width) && 1 << width >= bytes;
	if (**at != '(' && !take_number(at, &arg->value))
		return false;
	return take(at, '(') && x86_address(at, arg);
}

/* ---- arm64 ----------------------------------------------------------------------------- */

static bool arm_register(const char **at, uint8_t *number, bool *whole)
{
	char word[8];
	const char *digits = word + 1;
	__s64 value;

	if (!take_word(at, word, sizeof(word)))
		return false;
	*whole = word[0] == 'x';
	if (!strcmp(word, "sp")) {
		*number = ARM_SP;
		return *whole = true;
	}
	if ((word[0] != 'x' && word[0] != 'w') || !take_number(&digits, &value) || *digits ||
	    value < 0 || value >= ARM_SP)
		return false;
	*number = value;
	return true;
}

static bool arm_operand(const char **at, struct mt_arg *arg, int bytes)
{
	bool whole;

	if (**at == '-' || isdigit((unsigned char)**at))
		return take_number(at, &arg->value);
	if (!take(at, '['))
		return arm_register(at, &arg->base, &whole) && (whole || bytes <= 4);
	if (!arm_register(at, &arg->base, &whole) || !whole)
		return false;
	if (take(at, ',')) {
		skip_blanks(at);
		if (!take_number(at, &arg->value))
			return false;
	}
	arg->in_memory = 1;
	return take(at, ']');
}

/* ---- all of them ----------------------------------------------------------------------- */

static bool take_arg(const char **at, uint16_t machine, struct mt_arg *arg)
{
	__s64 bytes;

	*arg = (struct mt_arg){ .base = MT_REG_NONE, .index = MT_REG_NONE };
	if (!take_number(at, &bytes) || !take(at, '@'))
		return false;
	arg->is_signed = bytes < 0;
	if (bytes < 0)
		bytes = -bytes;
	if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
		return false;
	arg->cut = 64 - 8 * bytes;
	return machine == EM_X86_64    ? x86_operand(at, arg, bytes)
	       : machine == EM_AARCH64 ? arm_operand(at, arg, bytes)
				       : false;
}

int usdt_args_parse(const char *text, uint16_t machine, struct mt_arg *args, int cnt)
{
	for (int i = 0; i < cnt; i++) {
		skip_blanks(&text);
		if (!take_arg(&text, machine, &args[i]) || (*text && *text != ' ' && *text != '\t'))
			return -EINVAL;
	}
	skip_blanks(&text);
	return *text ? -EINVAL : 0;
}
