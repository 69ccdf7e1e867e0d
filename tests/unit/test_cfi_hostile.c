// SPDX-License-Identifier: MIT
/* Files that mean harm: an error or rows without a rule, in bounded time and memory. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "capture/cfi.h"
#include "cfi_check.h"
#include "elf_maker.h"

#define HANG_S 60 /* a test that takes so long is taken for hanging */
#define MEMORY_BYTES (1ULL << 30)

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_BOUNDED 0 /* shadow memory needs terabytes of addresses */
#else
#define MEMORY_IS_BOUNDED 1
#endif

static struct cfi_table table;
static struct bytes frame;
static size_t cie;

static void setup(void)
{
	struct rlimit limit = { MEMORY_BYTES, MEMORY_BYTES };

	if (MEMORY_IS_BOUNDED)
		cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	cie = cfi_put_cie(&frame);
}

static void teardown(void)
{
	cfi_table_fini(&table);
	bytes_fini(&frame);
}

TestSuite(cfi_hostile, .init = setup, .fini = teardown, .timeout = HANG_S);

/* Builds from fd and closes it; whatever comes out obeys the rules of tables. */
static int build_from(int fd)
{
	int err = cfi_table_build(&table, fd);

	close(fd);
	if (err)
		cr_expect_null(table.rows);
	else
		cr_expect_null(cfi_check_table(&table), "%s", cfi_check_table(&table));
	return err;
}

static int build(void)
{
	cfi_put_end(&frame);
	return build_from(elf_make(&(struct elf_plan){ .eh_frame = &frame }));
}

static unsigned kind_at(uint64_t pc)
{
	return MT_RULE_KIND(cfi_table_rule(&table, pc));
}

#if defined(__x86_64__)

/* A program that makes no sense, from its first address on. */
static void expect_unsupported(const char *program, size_t program_len)
{
	cfi_put_fde(&frame, cie, 0x2000, 0x20, program, program_len);
	cfi_put_fde(&frame, cie, 0x3000, 0x20, PROGRAM("\x0e\x10"));
	cr_assert_eq(build(), 0);
	cr_expect_eq(kind_at(0x2000), MT_ROW_UNSUPPORTED);
	cr_expect_eq(kind_at(0x201f), MT_ROW_UNSUPPORTED);
	cr_expect_eq(kind_at(0x2020), MT_ROW_NONE);
	cr_expect_eq(kind_at(0x3000), MT_ROW_SP, "the next function is as good as ever");
}

Test(cfi_hostile, an_unknown_instruction)
{
	expect_unsupported(PROGRAM("\x3f\x0e\x10"));
}

Test(cfi_hostile, states_remembered_without_end)
{
	struct bytes program = { 0 };

	for (int i = 0; i < 100000; i++)
		bytes_uint(&program, 0x0a, 1);
	cfi_put_fde(&frame, cie, 0x2000, 0x20, (char *)program.data, program.len);
	bytes_fini(&program);
	cr_assert_eq(build(), 0);
	cr_expect_eq(kind_at(0x2000), MT_ROW_UNSUPPORTED);
}

Test(cfi_hostile, a_state_restored_that_was_never_remembered)
{
	expect_unsupported(PROGRAM("\x0b"));
}

Test(cfi_hostile, operands_that_are_cut_short)
{
	expect_unsupported(PROGRAM("\x00\x00\x00\x00\x00\x0c\xff\xff\xff\xff"));
}

Test(cfi_hostile, an_expression_longer_than_the_file)
{
	expect_unsupported(PROGRAM("\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

Test(cfi_hostile, an_expression_that_jumps_to_itself)
{
	expect_unsupported(PROGRAM("\x0f\x03\x2f\xfd\xff"));
}

Test(cfi_hostile, an_expression_that_calls_others)
{
	expect_unsupported(PROGRAM("\x0f\x05\x99\x00\x00\x00\x00"));
}

Test(cfi_hostile, an_address_that_goes_back)
{
	/* set_loc 0x1000 */
	expect_unsupported(PROGRAM("\x01\x00\x10\x00\x00\x00\x00\x00\x00"));
}

Test(cfi_hostile, an_address_far_beyond_the_function)
{
	cfi_put_fde(&frame, cie, 0x2000, 0x20,
		    PROGRAM("\x0e\x10\x04\xff\xff\xff\xff\x0e\x18\x04\xff\xff\xff\xff\x0e\x20"));
	cr_assert_eq(build(), 0);
	cr_expect_eq(cfi_table_rule(&table, 0x2000), MT_RULE(MT_ROW_SP, 2, 0));
	cr_expect_eq(cfi_table_rule(&table, 0x201f), MT_RULE(MT_ROW_SP, 2, 0));
	cr_expect_eq(kind_at(0x2020), MT_ROW_NONE);
}

Test(cfi_hostile, a_million_advances_by_nothing)
{
	struct bytes program = { 0 };

	for (int i = 0; i < 1000000; i++)
		bytes_put(&program, "\x0e\x10\x40", 3);
	cfi_put_fde(&frame, cie, 0x2000, 0x20, (char *)program.data, program.len);
	bytes_fini(&program);
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 2);
}

/* Work that is asked for again and again by a few bytes each. */
static void put_many_functions(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		cfi_put_fde(&frame, cie, 0x1000 + i % 0x3000, 1, PROGRAM(""));
}

Test(cfi_hostile, a_huge_shared_program_is_run_once)
{
	struct bytes program = { 0 };

	for (int i = 0; i < 1000000; i++)
		bytes_put(&program, "\x0e\x08", 2);
	cie = cfi_put_cie_like(&frame, "zR", "\0", 1, (char *)program.data, program.len);
	bytes_fini(&program);
	put_many_functions(20000);
	cr_expect_eq(build(), 0);
}

Test(cfi_hostile, huge_shared_programs_that_push_each_other_out_are_too_much)
{
	struct bytes program = { 0 };
	size_t cies[200];

	for (int i = 0; i < 100000; i++)
		bytes_put(&program, "\x0e\x08", 2);
	for (size_t i = 0; i < 200; i++)
		cies[i] =
			cfi_put_cie_like(&frame, "zR", "\0", 1, (char *)program.data, program.len);
	bytes_fini(&program);
	for (unsigned i = 0; i < 20000; i++)
		cfi_put_fde(&frame, cies[i % 200], 0x1000 + i % 0x3000, 1, PROGRAM(""));
	cr_expect_eq(build(), -E2BIG);
}

Test(cfi_hostile, more_rows_than_any_file_has)
{
	struct bytes program = { 0 };

	/* each three bytes a row; the function is as large as its segment claims */
	for (unsigned i = 0; i < CFI_ROWS_MAX / 4; i++)
		bytes_put(&program, i % 2 ? "\x41\x0e\x10" : "\x41\x0e\x18", 3);
	for (unsigned i = 0; i < 6; i++)
		cfi_put_fde(&frame, cie, 0x1000 + 1 + i * (1U << 29), 1U << 29,
			    (char *)program.data, program.len);
	bytes_fini(&program);
	/* the first one alone has room in the segment */
	cr_expect_eq(build(), 0);
	cr_expect_leq(table.row_cnt, CFI_ROWS_MAX);
}

Test(cfi_hostile, letters_that_nobody_knows)
{
	cie = cfi_put_cie_like(&frame, "zQR", "\0\0", 2, PROGRAM("\x0c\x07\x08\x90\x01"));
	put_many_functions(3);
	cie = cfi_put_cie_like(&frame, "xyz", "", 0, PROGRAM("\x0c\x07\x08\x90\x01"));
	put_many_functions(3);
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 0);
	cr_expect_eq(table.counts.malformed, 6);
}

Test(cfi_hostile, pointers_that_lead_through_memory)
{
	/* indirect; relative to data; to text; to the function; aligned; without a value */
	static const char encodings[] = "\x80\x9b\x3b\x2b\x4b\x50\xff\x0f";

	for (size_t i = 0; i < 8; i++) {
		cie = cfi_put_cie_like(&frame, "zR", &encodings[i], 1, PROGRAM("\x0c\x07\x08"));
		put_many_functions(1);
	}
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 0);
	cr_expect_eq(table.counts.malformed, 8);
}

Test(cfi_hostile, an_entry_that_is_its_own_cie)
{
	cie = frame.len; /* where the function's entry will be */
	put_many_functions(1);
	cie = 1; /* in the middle of another */
	put_many_functions(1);
	cie = -(size_t)0x1000; /* before the section */
	put_many_functions(1);
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 0);
	cr_expect_eq(table.counts.malformed, 3);
}

Test(cfi_hostile, an_entry_longer_than_the_section)
{
	bytes_uint(&frame, 0x7ffffff0, 4);
	bytes_uint(&frame, 4, 4);
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 0);
	cr_expect_gt(table.counts.malformed, 0);
}

Test(cfi_hostile, an_entry_of_64_bit_length)
{
	bytes_uint(&frame, 0xffffffff, 4);
	bytes_uint(&frame, UINT64_MAX - 11, 8);
	bytes_uint(&frame, 4, 8);
	cr_assert_eq(build(), 0);
	cr_expect_eq(table.row_cnt, 0);
}

#endif

Test(cfi_hostile, no_elf_file)
{
	cr_expect_eq(build_from(elf_make_raw("", 0)), -ENOEXEC);
	cr_expect_eq(build_from(elf_make_raw("#!/bin/sh\nexit 1\n", 17)), -ENOEXEC);
	cr_expect_eq(build_from(elf_make_raw(ELFMAG, SELFMAG)), -ENOEXEC);
	cr_expect_eq(build_from(open("/", O_RDONLY)), -ENOEXEC);
	cr_expect_eq(cfi_table_build(&table, -1), -ENOEXEC);
}

Test(cfi_hostile, another_machine_or_class)
{
	int fd = elf_make(&(struct elf_plan){ .machine = EM_PPC64 });
	int fd32 = elf_make(&(struct elf_plan){ 0 });
	int fd_big = elf_make(&(struct elf_plan){ 0 });

	cr_assert_eq(pwrite(fd32, &(char){ ELFCLASS32 }, 1, EI_CLASS), 1);
	cr_assert_eq(pwrite(fd_big, &(char){ ELFDATA2MSB }, 1, EI_DATA), 1);
	cr_expect_eq(build_from(fd), -ENOEXEC);
	cr_expect_eq(build_from(fd32), -ENOEXEC);
	cr_expect_eq(build_from(fd_big), -ENOEXEC);
}

static uint8_t *read_whole(int fd, size_t *len)
{
	uint8_t *data;

	*len = lseek(fd, 0, SEEK_END);
	data = malloc(*len);
	cr_assert(data);
	cr_assert_eq(pread(fd, data, *len, 0), (ssize_t)*len);
	return data;
}

/* A small file with everything. */
static int make_small(void)
{
	cfi_put_fde(&frame, cie, 0x2000, 0x40,
		    PROGRAM("\x41\x0e\x10\x86\x02\x43\x0d\x06\x02\x30\x0c\x07\x08\xc6"));
	cfi_put_fde(&frame, cie, 0x3000, 0x10,
		    PROGRAM("\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"));
	cfi_put_end(&frame);
	return elf_make(&(struct elf_plan){ .eh_frame = &frame, .debug_frame = &frame });
}

Test(cfi_hostile, a_file_cut_anywhere)
{
	size_t len;
	int fd = make_small();
	uint8_t *data = read_whole(fd, &len);

	close(fd);
	for (size_t cut = 0; cut < len;
	     cut = cut < 512 || cut >= ELF_MAKER_TEXT_END ? cut + 1 : cut + 512) {
		int err = build_from(elf_make_raw(data, cut));

		cr_expect(!err || err == -ENOEXEC, "cut at %zu: %d", cut, err);
		cfi_table_fini(&table);
	}
	free(data);
}

Test(cfi_hostile, every_byte_of_the_headers_and_the_information_changed)
{
	static const uint8_t changes[] = { 0x01, 0x80, 0xff };
	size_t len;
	int fd = make_small();
	uint8_t *data = read_whole(fd, &len);

	close(fd);
	for (size_t at = 0; at < len; at = at == 512 ? ELF_MAKER_TEXT_END : at + 1)
		for (size_t i = 0; i < sizeof(changes); i++) {
			data[at] ^= changes[i];
			build_from(elf_make_raw(data, len));
			cfi_table_fini(&table);
			data[at] ^= changes[i];
		}
	free(data);
}

/* A file whose section headers say what they like, 4 GB long and nearly all of it a hole. */
static int make_sparse(const char *name, uint64_t offset, uint64_t size)
{
	int fd = make_small();
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;
	unsigned idx = strcmp(name, ".eh_frame") ? 2 : 1;

	cr_assert_eq(pread(fd, &ehdr, sizeof(ehdr), 0), (ssize_t)sizeof(ehdr));
	cr_assert_eq(pread(fd, &shdr, sizeof(shdr), ehdr.e_shoff + idx * sizeof(shdr)),
		     (ssize_t)sizeof(shdr));
	shdr.sh_offset = offset ? offset : shdr.sh_offset;
	shdr.sh_size = size;
	cr_assert_eq(pwrite(fd, &shdr, sizeof(shdr), ehdr.e_shoff + idx * sizeof(shdr)),
		     (ssize_t)sizeof(shdr));
	if (ftruncate(fd, 4ULL << 30)) {
		fprintf(stderr, "SKIP: no sparse file of 4 GB here\n");
		cr_skip_test("no sparse file of 4 GB here");
	}
	return fd;
}

Test(cfi_hostile, a_sparse_file_that_is_all_unwind_information)
{
	cr_expect_eq(build_from(make_sparse(".eh_frame", 0, 4ULL << 30)), -E2BIG);
	cr_expect_eq(build_from(make_sparse(".debug_frame", 0, 4ULL << 30)), -E2BIG);
	cr_expect_eq(build_from(make_sparse(".eh_frame", 0, UINT64_MAX)), -E2BIG);
}

Test(cfi_hostile, a_sparse_file_of_just_as_much_as_is_read)
{
	cr_expect_eq(build_from(make_sparse(".eh_frame", 1ULL << 30, 128 << 20)), 0);
	cfi_table_fini(&table);
	cr_expect_eq(build_from(make_sparse(".eh_frame", UINT64_MAX - 100, 1000)), 0);
}

Test(cfi_hostile, a_sparse_file_of_60_million_sections_or_4_billion_segments)
{
	int fd = make_small();
	Elf64_Ehdr ehdr;
	Elf64_Shdr first = { .sh_size = 60000000, .sh_info = UINT32_MAX };

	cr_assert_eq(pread(fd, &ehdr, sizeof(ehdr), 0), (ssize_t)sizeof(ehdr));
	cr_assert_eq(pwrite(fd, &first, sizeof(first), ehdr.e_shoff), (ssize_t)sizeof(first));
	cr_assert_eq(ftruncate(fd, 4ULL << 30), 0);
	ehdr.e_shnum = 0;
	cr_assert_eq(pwrite(fd, &ehdr, sizeof(ehdr), 0), (ssize_t)sizeof(ehdr));
	cr_expect_eq(cfi_table_build(&table, fd), -ENOEXEC);
	ehdr.e_shnum = 2;
	ehdr.e_phnum = PN_XNUM;
	cr_assert_eq(pwrite(fd, &ehdr, sizeof(ehdr), 0), (ssize_t)sizeof(ehdr));
	cr_expect_eq(cfi_table_build(&table, fd), -ENOEXEC);
	close(fd);
}

/* What once went wrong, and what a fuzzer starts from. */
Test(cfi_hostile, the_corpus)
{
	DIR *dir = opendir(TESTS_DIR "/fuzz/corpus/cfi");
	struct dirent *entry;
	unsigned cnt = 0, rows = 0;

	cr_assert(dir);
	while ((entry = readdir(dir))) {
		int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);

		if (*entry->d_name == '.')
			continue;
		cr_assert_geq(fd, 0);
		build_from(fd);
		cnt++;
		rows += table.row_cnt;
		cfi_table_fini(&table);
	}
	closedir(dir);
	cr_expect_gt(cnt, 0);
	cr_expect_gt(rows, 0);
}
