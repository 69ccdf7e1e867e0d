// SPDX-License-Identifier: MIT
/* Unwind tables of files made for the purpose: which rows what information gives. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/cfi.h"
#include "elf_maker.h"

#if defined(__x86_64__)

#define NONE MT_RULE(MT_ROW_NONE, 0, 0)
#define UNSUPPORTED MT_RULE(MT_ROW_UNSUPPORTED, 0, 0)
#define ENTRY MT_RULE(MT_ROW_SP, 1, 0) /* a function's first instruction */

/* DWARF's own numbers, so that a program below can be read:
 * 0c def_cfa reg off, 0d def_cfa_register, 0e def_cfa_offset, 0f def_cfa_expression len ...,
 * 40+n advance n, 02 advance1, 80+reg offset, c0+reg restore, 0a remember, 0b restore state,
 * 07 undefined reg, 08 same, 09 register, 10 expression reg len ..., 01 set_loc, 14 val_offset,
 * 11 offset with a sign;
 * registers 06 rbp, 07 rsp, 0a r10, 10 rip; 70+reg breg, 06 deref */

static struct cfi_table table;
static struct bytes frame;
static size_t cie;

static void setup(void)
{
	cie = cfi_put_cie(&frame);
}

static void teardown(void)
{
	cfi_table_fini(&table);
	bytes_fini(&frame);
}

TestSuite(cfi, .init = setup, .fini = teardown);

static void function(uint64_t start, uint64_t len, const char *program, size_t program_len)
{
	cfi_put_fde(&frame, cie, start, len, program, program_len);
}

static void build_entered_at(uint64_t entry)
{
	int fd;

	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame, .entry = entry });
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	close(fd);
}

static void build(void)
{
	build_entered_at(0);
}

static void expect_rows(const struct mt_row *rows, size_t cnt)
{
	cr_expect_eq(table.row_cnt, cnt, "%zu rows, not %zu", table.row_cnt, cnt);
	for (size_t i = 0; i < cnt && i < table.row_cnt; i++) {
		cr_expect_eq(table.rows[i].pc, rows[i].pc, "row %zu at %#x, not %#x", i,
			     table.rows[i].pc, rows[i].pc);
		cr_expect_eq(table.rows[i].rule, rows[i].rule, "row %zu says %s %d %u", i,
			     cfi_kind_name(MT_RULE_KIND(table.rows[i].rule)),
			     MT_RULE_CFA(table.rows[i].rule), MT_RULE_FP(table.rows[i].rule));
	}
}

#define EXPECT(...)                                         \
	expect_rows((const struct mt_row[]){ __VA_ARGS__ }, \
		    sizeof((const struct mt_row[]){ __VA_ARGS__ }) / sizeof(struct mt_row))

/* The one rule of a program that says something at its first address. */
static void expect_rule(uint32_t rule, const char *program, size_t program_len)
{
	function(0x2000, 0x10, program, program_len);
	build();
	EXPECT({ 0x2000, rule }, { 0x2010, NONE });
}

Test(cfi, a_frame_pointer_function_has_its_four_rows)
{
	/* push rbp; mov rsp, rbp; ...; pop rbp; ret */
	function(0x2000, 0x40, PROGRAM("\x41\x0e\x10\x86\x02\x43\x0d\x06\x02\x30\x0c\x07\x08\xc6"));
	build();
	EXPECT({ 0x2000, ENTRY }, { 0x2001, MT_RULE(MT_ROW_SP, 2, 2) },
	       { 0x2004, MT_RULE(MT_ROW_FP, 2, 2) }, { 0x2034, ENTRY }, { 0x2040, NONE });
	cr_expect_eq(table.counts.functions, 1);
}

Test(cfi, neighbours_are_merged_and_gaps_are_rows)
{
	function(0x2000, 0x10, PROGRAM(""));
	function(0x2010, 0x10, PROGRAM(""));
	function(0x2030, 0x10, PROGRAM(""));
	build();
	EXPECT({ 0x2000, ENTRY }, { 0x2020, NONE }, { 0x2030, ENTRY }, { 0x2040, NONE });
	cr_expect_eq(table.counts.functions, 3);
}

Test(cfi, a_state_can_be_remembered_and_restored)
{
	function(0x2000, 0x20, PROGRAM("\x44\x0e\x20\x44\x0a\x0e\x08\x44\x0b"));
	build();
	EXPECT({ 0x2000, ENTRY }, { 0x2004, MT_RULE(MT_ROW_SP, 4, 0) }, { 0x2008, ENTRY },
	       { 0x200c, MT_RULE(MT_ROW_SP, 4, 0) }, { 0x2020, NONE });
}

Test(cfi, a_table_is_searched_by_address)
{
	function(0x2000, 0x10, PROGRAM("\x44\x0e\x20"));
	build();
	cr_expect_eq(cfi_table_rule(&table, 0), NONE);
	cr_expect_eq(cfi_table_rule(&table, 0x1fff), NONE);
	cr_expect_eq(cfi_table_rule(&table, 0x2000), ENTRY);
	cr_expect_eq(cfi_table_rule(&table, 0x2003), ENTRY);
	cr_expect_eq(cfi_table_rule(&table, 0x2004), MT_RULE(MT_ROW_SP, 4, 0));
	cr_expect_eq(cfi_table_rule(&table, 0x200f), MT_RULE(MT_ROW_SP, 4, 0));
	cr_expect_eq(cfi_table_rule(&table, 0x2010), NONE);
	cr_expect_eq(cfi_table_rule(&table, 1ULL << 32 | 0x2000), NONE);
	cr_expect_eq(cfi_table_rule(&table, UINT64_MAX), NONE);
}

Test(cfi, an_undefined_return_address_is_the_root)
{
	expect_rule(MT_RULE(MT_ROW_END, 0, 0), PROGRAM("\x07\x10"));
}

Test(cfi, an_entry_that_nothing_is_said_of_is_the_root)
{
	function(0x2000, 0x10, PROGRAM(""));
	function(0x2050, 0x10, PROGRAM(""));
	build_entered_at(0x2020);
	EXPECT({ 0x2000, ENTRY }, { 0x2010, NONE }, { 0x2020, MT_RULE(MT_ROW_END, 0, 0) },
	       { 0x2050, ENTRY }, { 0x2060, NONE });
}

Test(cfi, an_entry_right_behind_a_function_is_the_root)
{
	function(0x2000, 0x10, PROGRAM(""));
	function(0x2050, 0x10, PROGRAM(""));
	build_entered_at(0x2010);
	EXPECT({ 0x2000, ENTRY }, { 0x2010, MT_RULE(MT_ROW_END, 0, 0) }, { 0x2050, ENTRY },
	       { 0x2060, NONE });
}

Test(cfi, an_entry_that_has_a_row_keeps_it)
{
	function(0x2000, 0x10, PROGRAM(""));
	build_entered_at(0x2004);
	EXPECT({ 0x2000, ENTRY }, { 0x2010, NONE });
}

Test(cfi, code_far_behind_an_entry_is_not_the_root)
{
	function(0x2800, 0x10, PROGRAM(""));
	build_entered_at(0x2000);
	EXPECT({ 0x2800, ENTRY }, { 0x2810, NONE });
}

Test(cfi, a_plt_has_its_row)
{
	expect_rule(MT_RULE(MT_ROW_PLT, 1, 11),
		    PROGRAM("\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"));
}

Test(cfi, a_realigned_stack_has_its_row)
{
	expect_rule(MT_RULE(MT_ROW_FP_DEREF, -1, 1),
		    PROGRAM("\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00"));
}

Test(cfi, a_signal_frame_has_its_row)
{
	/* CFA = *(rsp + 160), rip at rsp + 168, rbp at rsp + 120 */
	expect_rule(MT_RULE(MT_ROW_SIGNAL, 20, 15),
		    PROGRAM("\x0f\x04\x77\xa0\x01\x06\x10\x10\x03\x77\xa8\x01\x10\x06\x03\x77\xf8"
			    "\x00"));
}

Test(cfi, a_signal_frame_with_other_places_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x0f\x04\x77\xa0\x01\x06\x10\x10\x03\x77\xb0\x01\x10\x06"
					 "\x03\x77\xf8\x00"));
}

Test(cfi, a_cfa_in_another_register_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x0c\x0a\x00"));
	cr_expect_eq(table.counts.unsupported, 1);
}

Test(cfi, a_return_address_in_a_register_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x09\x10\x05"));
}

Test(cfi, a_return_address_in_another_place_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x90\x02"));
}

Test(cfi, a_stack_pointer_that_is_not_the_cfa_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x14\x07\x01"));
}

Test(cfi, a_frame_pointer_saved_above_the_cfa_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x11\x06\x7e"));
}

Test(cfi, a_frame_pointer_in_a_register_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x09\x06\x03"));
}

Test(cfi, an_odd_offset_is_unsupported)
{
	expect_rule(UNSUPPORTED, PROGRAM("\x0e\x0c"));
}

Test(cfi, the_largest_frame_has_a_row_and_a_larger_one_is_unsupported)
{
	/* 0x3ffff8 and 0x400000 bytes */
	function(0x2000, 0x10, PROGRAM("\x0e\xf8\xff\xff\x01\x44\x0e\x80\x80\x80\x02"));
	build();
	EXPECT({ 0x2000, MT_RULE(MT_ROW_SP, MT_ROW_CFA_MAX, 0) }, { 0x2004, UNSUPPORTED },
	       { 0x2010, NONE });
}

Test(cfi, functions_come_out_sorted)
{
	function(0x3000, 0x10, PROGRAM("\x0e\x18"));
	function(0x2000, 0x10, PROGRAM("\x0e\x10"));
	build();
	EXPECT({ 0x2000, MT_RULE(MT_ROW_SP, 2, 0) }, { 0x2010, NONE },
	       { 0x3000, MT_RULE(MT_ROW_SP, 3, 0) }, { 0x3010, NONE });
}

Test(cfi, of_overlapping_functions_the_first_has_the_range)
{
	function(0x2000, 0x20, PROGRAM("\x0e\x10"));
	function(0x2010, 0x20, PROGRAM("\x44\x0e\x18\x54\x0e\x20"));
	function(0x2000, 0x10, PROGRAM("\x0e\x28"));
	build();
	EXPECT({ 0x2000, MT_RULE(MT_ROW_SP, 2, 0) }, { 0x2020, MT_RULE(MT_ROW_SP, 3, 0) },
	       { 0x2028, MT_RULE(MT_ROW_SP, 4, 0) }, { 0x2030, NONE });
	cr_expect_eq(table.counts.overlapping, 2);
}

Test(cfi, functions_that_the_linker_left_out_have_no_rows)
{
	function(0x2000, 0, PROGRAM("\x0e\x10"));
	function(0, 0x3000, PROGRAM("\x0e\x10"));
	build();
	EXPECT();
	cr_expect_eq(table.counts.malformed, 0);
}

Test(cfi, functions_outside_of_code_or_out_of_reach_are_counted)
{
	function(0x100000, 0x10, PROGRAM(""));
	function(0x100000000, 0x10, PROGRAM(""));
	function(UINT64_MAX - 3, 0x10, PROGRAM(""));
	function(0x2000, UINT64_MAX, PROGRAM(""));
	build();
	EXPECT();
	cr_expect_eq(table.counts.out_of_reach, 2);
	cr_expect_eq(table.counts.malformed, 2);
}

Test(cfi, a_file_without_section_headers_is_read_through_its_segments)
{
	static const struct mt_row rows[] = { { 0x2000, MT_RULE(MT_ROW_SP, 2, 0) },
					      { 0x2010, NONE } };
	int fd;

	function(0x2000, 0x10, PROGRAM("\x0e\x10"));
	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame, .no_sections = true });
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	close(fd);
	expect_rows(rows, 2);
}

Test(cfi, the_header_s_count_ends_what_has_no_end_mark)
{
	static const struct mt_row rows[] = { { 0x2000, MT_RULE(MT_ROW_SP, 2, 0) },
					      { 0x2010, NONE } };
	int fd;

	function(0x2000, 0x10, PROGRAM("\x0e\x10"));
	function(0x3000, 0x10, PROGRAM("\x0e\x10"));
	fd = elf_make(
		&(struct elf_plan){ .eh_frame = &frame, .no_sections = true, .header_cnt = 1 });
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	close(fd);
	expect_rows(rows, 2);
}

Test(cfi, a_file_without_unwind_information_has_an_empty_table)
{
	int fd = elf_make(&(struct elf_plan){ .no_header = true });

	cr_assert_eq(cfi_table_build(&table, fd), 0);
	cr_expect_eq(table.row_cnt, 0);
	cr_expect_eq(cfi_table_rule(&table, 0x2000), NONE);
	close(fd);
}

Test(cfi, debug_frame_fills_what_eh_frame_leaves)
{
	struct bytes debug = { 0 };
	static const struct mt_row rows[] = { { 0x2000, MT_RULE(MT_ROW_SP, 2, 0) },
					      { 0x2010, MT_RULE(MT_ROW_SP, 3, 0) },
					      { 0x2020, NONE } };
	int fd;

	/* CIE: length, id, version 3, no letters, alignments 1 and -8, return address in 16 */
	bytes_uint(&debug, 20, 4);
	bytes_put(&debug, "\xff\xff\xff\xff\x03\x00\x01\x78\x10\x0c\x07\x08\x90\x01", 14);
	bytes_put(&debug, "\0\0\0\0\0\0", 6);
	for (uint64_t start = 0x2000; start < 0x2020; start += 0x10) {
		bytes_uint(&debug, 28, 4);
		bytes_uint(&debug, 0, 4);
		bytes_uint(&debug, start, 8);
		bytes_uint(&debug, 0x10, 8);
		bytes_put(&debug, "\x0e\x18\0\0\0\0\0\0", 8);
	}
	function(0x2000, 0x10, PROGRAM("\x0e\x10"));
	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame, .debug_frame = &debug });
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	close(fd);
	expect_rows(rows, 3);
	cr_expect_eq(table.counts.overlapping, 1);
	bytes_fini(&debug);
}

Test(cfi, the_file_s_offset_stays)
{
	int fd;

	function(0x2000, 0x10, PROGRAM("\x0e\x10"));
	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame });
	cr_assert_eq(lseek(fd, 12, SEEK_SET), 12);
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 12);
	close(fd);
}

/* ---- code without information ------------------------------------------------------------------ */

/* len bytes of code in which a function that keeps a frame pointer begins every `every` bytes. */
static struct bytes functions(size_t len, size_t every, const char *prologue)
{
	struct bytes code = { 0 };

	while (code.len < len)
		bytes_put(&code, code.len % every ? "\x90" : prologue, code.len % every ? 1 : 4);
	return code;
}

static uint32_t rule_in(struct bytes *code)
{
	uint32_t rule;
	int fd;

	function(0x2000, 0x20, "", 0);
	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame, .code = code });
	cr_assert_eq(cfi_table_build(&table, fd), 0);
	close(fd);
	bytes_fini(code);
	cr_expect_eq(cfi_table_rule(&table, 0x2000), ENTRY);
	rule = cfi_table_rule(&table, ELF_MAKER_TEXT_END + 0x1234);
	cr_expect_eq(cfi_table_rule(&table, UINT32_MAX), NONE);
	return rule;
}

#define GENERATED MT_RULE(MT_ROW_GENERATED, 0, 0)

Test(cfi, much_code_that_keeps_frame_pointers_is_taken_as_generated)
{
	struct bytes code = functions(200 << 10, 1000, "\x55\x48\x89\xe5");

	cr_expect_eq(rule_in(&code), GENERATED);
}

Test(cfi, the_other_encoding_of_the_prologue_counts_too)
{
	struct bytes code = functions(200 << 10, 1000, "\x55\x48\x8b\xec");

	cr_expect_eq(rule_in(&code), GENERATED);
}

Test(cfi, code_that_keeps_none_has_no_rows)
{
	struct bytes code = functions(200 << 10, 1000, "\x55\x48\x89\xe7");

	cr_expect_eq(rule_in(&code), NONE);
}

Test(cfi, a_function_here_and_there_is_no_evidence)
{
	struct bytes code = functions(200 << 10, 8000, "\x55\x48\x89\xe5");

	cr_expect_eq(rule_in(&code), NONE);
}

Test(cfi, a_short_stretch_is_left_alone)
{
	struct bytes code = functions(32 << 10, 500, "\x55\x48\x89\xe5");

	cr_expect_eq(rule_in(&code), NONE);
}

#endif

Test(cfi_kinds, have_names)
{
	cr_expect_str_eq(cfi_kind_name(MT_ROW_NONE), "none");
	cr_expect_str_eq(cfi_kind_name(MT_ROW_FP_DEREF), "fp_deref");
	cr_expect_str_eq(cfi_kind_name(MT_ROW_UNSUPPORTED), "unsupported");
	cr_expect_str_eq(cfi_kind_name(MT_ROW_KIND_CNT), "unknown");
	cr_expect_str_eq(cfi_kind_name(UINT32_MAX), "unknown");
}
