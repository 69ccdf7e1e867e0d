/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/units.h"
#include "base/utf8.h"

Test(strbuf, is_an_empty_string_before_anything_was_added)
{
	struct strbuf sb = STRBUF_INIT;

	cr_assert_str_eq(strbuf_text(&sb), "");
	strbuf_add(&sb, NULL, 0);
	strbuf_truncate(&sb, 0);
	cr_assert_str_eq(strbuf_text(&sb), "");
	strbuf_fini(&sb);
}

Test(strbuf, grows_over_many_additions_of_all_kinds)
{
	struct strbuf sb = STRBUF_INIT;

	for (int i = 0; i < 1000; i++) {
		strbuf_puts(&sb, "ab");
		strbuf_putc(&sb, 'c');
		strbuf_fill(&sb, '.', 3);
		strbuf_printf(&sb, "%04d", i);
	}
	cr_assert_eq(sb.len, 10000);
	cr_assert_eq(strlen(strbuf_text(&sb)), 10000);
	cr_assert_str_eq(strbuf_text(&sb) + 9990, "abc...0999");
	cr_assert_eq(strbuf_error(&sb), 0);
	strbuf_fini(&sb);
}

Test(strbuf, prints_what_is_longer_than_its_room)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "%5000d", 7);
	cr_assert_eq(sb.len, 5000);
	cr_assert_eq(sb.text[4999], '7');
	strbuf_fini(&sb);
}

Test(strbuf, keeps_the_first_failure_and_a_prefix)
{
	struct strbuf sb = STRBUF_INIT;

	sb.max_len = 10;
	strbuf_puts(&sb, "12345");
	strbuf_printf(&sb, "%s", "678901");
	cr_assert_eq(strbuf_error(&sb), -ENOMEM);
	cr_assert_str_eq(strbuf_text(&sb), "12345");
	strbuf_puts(&sb, "6");
	cr_assert_str_eq(strbuf_text(&sb), "12345");
	cr_assert_eq(strbuf_write(&sb, -1), -ENOMEM);
	strbuf_clear(&sb);
	strbuf_puts(&sb, "1234567890");
	cr_assert_eq(strbuf_error(&sb), 0);
	cr_assert_str_eq(strbuf_text(&sb), "1234567890");
	strbuf_fini(&sb);
}

Test(strbuf, truncates_but_never_lengthens)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_puts(&sb, "report");
	strbuf_truncate(&sb, 100);
	cr_assert_str_eq(strbuf_text(&sb), "report");
	strbuf_truncate(&sb, 3);
	cr_assert_str_eq(strbuf_text(&sb), "rep");
	strbuf_fini(&sb);
}

Test(strbuf, lets_no_process_command_the_terminal)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_put_printable(&sb, "a\033[2J\n\x7f\xff\xc2\x9b\xc3\xa9");
	cr_assert_str_eq(strbuf_text(&sb), "a\\x1b[2J\\x0a\\x7f\\xff\\xc2\\x9b\xc3\xa9");
	strbuf_fini(&sb);
}

Test(strbuf, writes_everything_to_a_file_descriptor)
{
	struct strbuf sb = STRBUF_INIT;
	char back[8] = "";
	int fds[2];

	strbuf_puts(&sb, "report\n");
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(strbuf_write(&sb, fds[1]), 0);
	cr_assert_eq(read(fds[0], back, sizeof(back)), 7);
	cr_assert_arr_eq(back, "report\n", 7);
	close(fds[0]);
	close(fds[1]);
	strbuf_fini(&sb);
}

Test(strbuf, says_why_it_could_not_write)
{
	struct strbuf sb = STRBUF_INIT;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	strbuf_puts(&sb, "report\n");
	cr_assert_eq(strbuf_write(&sb, -1), -EBADF);
	cr_assert_geq(full, 0);
	cr_assert_eq(strbuf_write(&sb, full), -ENOSPC);
	close(full);
	strbuf_fini(&sb);
}

/* Sequences and answers are those of the Unicode standard, tables 3-7 and 3-8. */
Test(utf8, reads_what_is_a_character_and_refuses_what_is_none)
{
	static const struct {
		const char *bytes;
		size_t step;
		uint32_t code;
	} cases[] = {
		{ "A", 1, 'A' },
		{ "\xc3\xa9", 2, 0xe9 },
		{ "\xe2\x82\xac", 3, 0x20ac },
		{ "\xf0\x9f\x98\x80", 4, 0x1f600 },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		{ "\x80", 1, UTF8_INVALID },
		{ "\xc0\x80", 1, UTF8_INVALID }, /* overlong */
		{ "\xc1\xbf", 1, UTF8_INVALID },
		{ "\xe0\x80\x80", 1, UTF8_INVALID },
		{ "\xed\xa0\x80", 1, UTF8_INVALID },	 /* a surrogate */
		{ "\xf4\x90\x80\x80", 1, UTF8_INVALID }, /* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", 1, UTF8_INVALID },
		{ "\xe2\x82", 2, UTF8_INVALID }, /* cut short */
		{ "\xe2\x82"
		  "A",
		  2, UTF8_INVALID },
		{ "\xf0\x9f\x98", 3, UTF8_INVALID },
		{ "\xc3", 1, UTF8_INVALID },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t code;
		size_t step = utf8_decode(cases[i].bytes, strlen(cases[i].bytes), &code);

		cr_expect_eq(step, cases[i].step, "case %zu", i);
		cr_expect_eq(code, cases[i].code, "case %zu", i);
	}
	cr_assert_eq(utf8_length("na\xc3\xafve \xff"), 7);
}

#define EXPECT_TEXT(call, expected) cr_expect_str_eq((call).text, expected)

Test(units, bytes_round_to_nearest_and_carry_into_the_next_unit)
{
	EXPECT_TEXT(units_bytes(0), "0 B");
	EXPECT_TEXT(units_bytes(1023), "1023 B");
	EXPECT_TEXT(units_bytes(1024), "1.0 KiB");
	EXPECT_TEXT(units_bytes(1536), "1.5 KiB");
	EXPECT_TEXT(units_bytes(1024 + 51), "1.0 KiB");	 /* 1.0498 */
	EXPECT_TEXT(units_bytes(1024 + 52), "1.1 KiB");	 /* 1.0508 */
	EXPECT_TEXT(units_bytes(1048524), "1023.9 KiB"); /* 1023.949 */
	EXPECT_TEXT(units_bytes(1048525), "1.0 MiB");	 /* 1023.9502 */
	EXPECT_TEXT(units_bytes(250ULL << 20), "250.0 MiB");
	EXPECT_TEXT(units_bytes(3ULL << 30), "3.0 GiB");
	EXPECT_TEXT(units_bytes(UINT64_MAX), "16.0 EiB");
	EXPECT_TEXT(units_bytes_exact(999), "999 B");
	EXPECT_TEXT(units_bytes_exact(1536), "1.5 KiB (1,536 bytes)");
	EXPECT_TEXT(units_bytes_exact(UINT64_MAX), "16.0 EiB (18,446,744,073,709,551,615 bytes)");
}

Test(units, counts_have_separators_and_nouns_their_plural)
{
	EXPECT_TEXT(units_count(0), "0");
	EXPECT_TEXT(units_count(999), "999");
	EXPECT_TEXT(units_count(1000), "1,000");
	EXPECT_TEXT(units_count(1234567), "1,234,567");
	EXPECT_TEXT(units_count(UINT64_MAX), "18,446,744,073,709,551,615");
	EXPECT_TEXT(units_counted(0, "block"), "0 blocks");
	EXPECT_TEXT(units_counted(1, "block"), "1 block");
	EXPECT_TEXT(units_counted(1000, "call path"), "1,000 call paths");
}

Test(units, durations_change_unit_without_a_sixtieth_second)
{
	EXPECT_TEXT(units_duration(0), "0 s");
	EXPECT_TEXT(units_duration(0.00035), "350 us");
	EXPECT_TEXT(units_duration(0.0009996), "1.0 ms");
	EXPECT_TEXT(units_duration(0.0123), "12.3 ms");
	EXPECT_TEXT(units_duration(0.99996), "1.0 s");
	EXPECT_TEXT(units_duration(10), "10 s");
	EXPECT_TEXT(units_duration(12.34), "12.3 s");
	EXPECT_TEXT(units_duration(59.94), "59.9 s");
	EXPECT_TEXT(units_duration(59.96), "1 min 0 s");
	EXPECT_TEXT(units_duration(200), "3 min 20 s");
	EXPECT_TEXT(units_duration(3599.6), "1 h 0 min");
	EXPECT_TEXT(units_duration(7500), "2 h 5 min");
	EXPECT_TEXT(units_duration(3 * 86400 + 4 * 3600), "3 d 4 h");
	EXPECT_TEXT(units_duration(-1), "unknown");
	EXPECT_TEXT(units_duration(NAN), "unknown");
	EXPECT_TEXT(units_duration(INFINITY), "unknown");
	EXPECT_TEXT(units_duration(1e300), "213,503,982,334,601 d 7 h");
}

Test(units, rates_and_shares)
{
	EXPECT_TEXT(units_rate(0), "0");
	EXPECT_TEXT(units_rate(0.01), "under 0.1");
	EXPECT_TEXT(units_rate(0.34), "0.3");
	EXPECT_TEXT(units_rate(9.94), "9.9");
	EXPECT_TEXT(units_rate(9.96), "10");
	EXPECT_TEXT(units_rate(12345.6), "12,346");
	EXPECT_TEXT(units_rate(NAN), "unknown");
	EXPECT_TEXT(units_byte_rate(1258291.2), "1.2 MiB/s");
	EXPECT_TEXT(units_byte_rate(-1), "unknown");
	EXPECT_TEXT(units_permille(0), "0.0 %");
	EXPECT_TEXT(units_permille(49), "4.9 %");
	EXPECT_TEXT(units_permille(1000), "100.0 %");
	EXPECT_TEXT(units_permille(12345678), "1,234,567.8 %");
}
