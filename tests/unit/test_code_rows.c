// SPDX-License-Identifier: MIT
/* A file's rows: by offset in the file, made once, and never another file's. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/code_rows.h"
#include "elf_maker.h"

#if defined(__x86_64__)

static const uint8_t build_id[20] = { 0xde, 0xad, 0xbe, 0xef, 1, 2, 3 };
static char dir[64];
static struct cfi_cache cache, nowhere;
static struct unwind_rows rows; /* one segment, of plain memory */
static struct mt_code_table table;
static struct table_memory no_budget;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memtrace-cache-XXXXXX");
	cr_assert(mkdtemp(dir));
	cfi_cache_init(&cache, dir);
	cfi_cache_init(&nowhere, NULL);
	rows.memory = &no_budget;
	rows.segment_cnt = rows.seen_cnt = 1;
	rows.row = malloc(MT_ROW_SEGMENT * sizeof(*rows.row));
	memset(rows.row, 0xee, MT_ROW_SEGMENT * sizeof(*rows.row));
}

static void teardown(void)
{
	char command[128];

	free(rows.row);
	cfi_cache_fini(&cache);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(code_rows, .init = setup, .fini = teardown, .timeout = 120);

/* Whatever the file is, rows rise. */
static int add_to(const struct cfi_cache *where, int fd)
{
	struct code_id id;
	struct stat st;
	int err;

	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(code_id_read(&id, fd), 0);
	err = code_rows_add(&rows, where, fd, &st, &id, &table);
	if (err)
		return err;
	cr_assert(!table.cnt || rows.cnt == table.first + table.cnt);
	for (uint32_t i = 1; i < table.cnt; i++)
		cr_assert_lt(rows.row[table.first + i - 1].pc, rows.row[table.first + i].pc);
	return 0;
}

static uint32_t rule_at(uint64_t offset)
{
	return unwind_rows_rule(&rows, &table, offset);
}

/* ---- files ---------------------------------------------------------------------------------- */

static Elf64_Phdr code_at(uint64_t vaddr, uint64_t offset, uint64_t size)
{
	return (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = vaddr,
		.p_offset = offset,
		.p_filesz = size,
		.p_memsz = size,
	};
}

/* Gives a file other segments, and a build id. */
static void set_segments(int fd, const Elf64_Phdr *segments, size_t cnt)
{
	static const Elf64_Nhdr note = { 4, sizeof(build_id), NT_GNU_BUILD_ID };
	uint64_t at = lseek(fd, 0, SEEK_END);
	Elf64_Phdr notes = { .p_type = PT_NOTE,
			     .p_align = 4,
			     .p_offset = at,
			     .p_filesz = sizeof(note) + 4 + sizeof(build_id) };
	Elf64_Ehdr ehdr;

	cr_assert_eq(write(fd, &note, sizeof(note)), sizeof(note));
	cr_assert_eq(write(fd, "GNU", 4), 4);
	cr_assert_eq(write(fd, build_id, sizeof(build_id)), sizeof(build_id));
	cr_assert_eq(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	ehdr.e_phoff = lseek(fd, 0, SEEK_END);
	ehdr.e_phnum = cnt + 1;
	cr_assert_eq(write(fd, &notes, sizeof(notes)), sizeof(notes));
	cr_assert_eq(write(fd, segments, cnt * sizeof(*segments)),
		     (ssize_t)(cnt * sizeof(*segments)));
	cr_assert_eq(pwrite(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
}

/* Functions at 0x2000 (CFA = rsp + 16) and at 0x3000 (rsp + 24), 0x20 bytes each. */
static int make_file(const Elf64_Phdr *segments, size_t cnt)
{
	struct bytes frame = { 0 };
	size_t cie = cfi_put_cie(&frame);
	int fd;

	cfi_put_fde(&frame, cie, 0x2000, 0x20, PROGRAM("\x0e\x10"));
	cfi_put_fde(&frame, cie, 0x3000, 0x20, PROGRAM("\x0e\x18"));
	cfi_put_end(&frame);
	fd = elf_make(&(struct elf_plan){ .eh_frame = &frame });
	bytes_fini(&frame);
	set_segments(fd, segments, cnt);
	cr_assert_eq(fchmod(fd, 0755), 0);
	return fd;
}

#define AT_2000 MT_RULE(MT_ROW_SP, 2, 0)
#define AT_3000 MT_RULE(MT_ROW_SP, 3, 0)
#define NOTHING MT_RULE(MT_ROW_NONE, 0, 0)

static void expect_rule(uint64_t offset, uint32_t rule)
{
	cr_expect_eq(rule_at(offset), rule, "at %#lx: %#x, not %#x", offset, rule_at(offset), rule);
}

/* ---- by offset ------------------------------------------------------------------------------ */

Test(code_rows, are_where_the_file_has_its_code)
{
	const Elf64_Phdr segment = code_at(0x2000, 0x1000, 0x1010);

	cr_assert_eq(add_to(&nowhere, make_file(&segment, 1)), 0);
	expect_rule(0xfff, NOTHING);
	expect_rule(0x1000, AT_2000);
	expect_rule(0x101f, AT_2000);
	expect_rule(0x1020, NOTHING);
	expect_rule(0x2000, AT_3000);
	expect_rule(0x200f, AT_3000);
	expect_rule(0x2010, NOTHING);
}

Test(code_rows, of_segments_in_any_order_rise)
{
	const Elf64_Phdr segments[] = { code_at(0x2000, 0x4000, 0x100),
					code_at(0x3000, 0x1000, 0x100) };

	cr_assert_eq(add_to(&nowhere, make_file(segments, 2)), 0);
	expect_rule(0x1000, AT_3000);
	expect_rule(0x1020, NOTHING);
	expect_rule(0x1100, NOTHING);
	expect_rule(0x4000, AT_2000);
	expect_rule(0x401f, AT_2000);
	expect_rule(0x4020, NOTHING);
}

Test(code_rows, where_segments_touch_have_no_gap)
{
	const Elf64_Phdr segments[] = { code_at(0x2000, 0x1000, 0x10),
					code_at(0x3000, 0x1010, 0x10) };

	cr_assert_eq(add_to(&nowhere, make_file(segments, 2)), 0);
	expect_rule(0x100f, AT_2000);
	expect_rule(0x1010, AT_3000);
	expect_rule(0x101f, AT_3000);
	expect_rule(0x1020, NOTHING);
}

Test(code_rows, of_bytes_that_segments_share_are_the_first_ones)
{
	const Elf64_Phdr segments[] = { code_at(0x2000, 0x1000, 0x20), code_at(0x3000, 0x1008, 0x8),
					code_at(0x3000, 0x1010, 0x18) };

	cr_assert_eq(add_to(&nowhere, make_file(segments, 3)), 0);
	expect_rule(0x1008, AT_2000);
	expect_rule(0x101f, AT_2000);
	expect_rule(0x1020, AT_3000);
	expect_rule(0x1028, NOTHING);
}

/* Each needs room of its own. */
Test(code_rows, of_addresses_that_segments_share_are_there_for_each)
{
	Elf64_Phdr segments[60];

	for (size_t i = 0; i < 60; i++)
		segments[i] = code_at(0x2000, 0x1000 + 0x2000 * i, 0x1100);
	cr_assert_eq(add_to(&nowhere, make_file(segments, 60)), 0);
	for (size_t i = 0; i < 60; i++) {
		expect_rule(0x1000 + 0x2000 * i, AT_2000);
		expect_rule(0x2000 + 0x2000 * i, AT_3000);
		expect_rule(0x2100 + 0x2000 * i, NOTHING);
	}
}

Test(code_rows, beyond_what_a_row_can_say_are_left_out)
{
	const Elf64_Phdr segments[] = { code_at(0x2000, UINT32_MAX - 8, 0x20),
					code_at(0x2000, 1ULL << 40, 0x20),
					code_at(0x2000, 0x1000, UINT64_MAX),
					code_at(0x3000, 0x1000, 0x20) };

	cr_assert_eq(add_to(&nowhere, make_file(segments, 4)), 0);
	expect_rule(0x1000, AT_3000);
	cr_expect_eq(table.cnt, 2);
}

Test(code_rows, without_executable_segments_are_none)
{
	Elf64_Phdr segment = code_at(0x2000, 0x1000, 0x1010);

	segment.p_flags = PF_R;
	cr_assert_eq(add_to(&cache, make_file(&segment, 1)), 0);
	cr_expect_eq(table.cnt, 0);
	cr_expect_eq(rows.cnt, 0);
}

static void expect_kept_rows_equal(int fd, const char *path)
{
	struct mt_code_table made;

	rows.cnt = 0;
	cr_assert_eq(add_to(&cache, fd), 0);
	made = table;
	if (2 * made.cnt > MT_ROW_SEGMENT)
		return;
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(table.cnt, made.cnt, "%s", path);
	cr_expect_eq(
		memcmp(rows.row + table.first, rows.row + made.first, made.cnt * sizeof(*rows.row)),
		0, "%s", path);
}

/* libelf says where an address is in the file. */
static void expect_all_rules(const char *path)
{
	struct cfi_table by_address;
	size_t phdr_cnt, same = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	GElf_Phdr phdr;
	Elf *elf;

	if (fd < 0)
		return;
	rows.cnt = 0;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	cr_assert_eq(cfi_table_build(&by_address, fd), 0);
	if (by_address.row_cnt + 64 > MT_ROW_SEGMENT) {
		fprintf(stderr, "%s: more rows than there is room for here, left out\n", path);
		cfi_table_fini(&by_address);
		elf_end(elf);
		close(fd);
		return;
	}
	cr_assert_eq(add_to(&nowhere, fd), 0);
	cr_assert_eq(elf_getphdrnum(elf, &phdr_cnt), 0);
	for (size_t n = 0; n < phdr_cnt; n++) {
		gelf_getphdr(elf, n, &phdr);
		if (phdr.p_type != PT_LOAD || !(phdr.p_flags & PF_X))
			continue;
		for (uint32_t i = 0; i < by_address.row_cnt; i++) {
			uint64_t in = by_address.rows[i].pc - phdr.p_vaddr;

			if (in >= phdr.p_filesz)
				continue;
			cr_assert_eq(rule_at(in + phdr.p_offset), by_address.rows[i].rule,
				     "%s at %#x", path, by_address.rows[i].pc);
			same++;
		}
	}
	cr_expect_geq(same + 1, by_address.row_cnt, "all but the gap at the end");
	cr_expect_gt(same, 100, "%s", path);
	expect_kept_rows_equal(fd, path);
	printf("%s: %zu rules where its code is\n", path, same);
	cfi_table_fini(&by_address);
	elf_end(elf);
	close(fd);
}

Test(code_rows, of_stock_files_are_those_of_their_addresses)
{
	expect_all_rules("/lib/x86_64-linux-gnu/libc.so.6");
	expect_all_rules("/lib/x86_64-linux-gnu/libstdc++.so.6");
	expect_all_rules("/lib64/ld-linux-x86-64.so.2");
	expect_all_rules("/usr/bin/python3");
}

/* ---- kept ----------------------------------------------------------------------------------- */

static const Elf64_Phdr usual = { .p_type = PT_LOAD,
				  .p_flags = PF_R | PF_X,
				  .p_vaddr = 0x2000,
				  .p_offset = 0x1000,
				  .p_filesz = 0x1010,
				  .p_memsz = 0x1010 };

static unsigned int files_kept(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned int cnt = 0;

	while ((entry = readdir(d)))
		cnt += entry->d_name[0] != '.';
	closedir(d);
	return cnt;
}

/* A file with the same headers that has no unwind information left. */
static void forget_frames(int fd)
{
	uint8_t zeros[256] = { 0 };

	cr_assert_eq(pwrite(fd, zeros, sizeof(zeros), ELF_MAKER_TEXT_END), sizeof(zeros));
}

Test(code_rows, are_made_once)
{
	int fd = make_file(&usual, 1);

	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(files_kept(), 1);
	forget_frames(fd);
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_gt(table.first, 0, "behind the first ones");
	expect_rule(0x1000, AT_2000);
	expect_rule(0x2000, AT_3000);
	expect_rule(0x2010, NOTHING);
}

Test(code_rows, that_were_kept_and_damaged_are_made_again)
{
	int fd = make_file(&usual, 1);
	char command[200];
	uint32_t cnt;

	cr_assert_eq(add_to(&cache, fd), 0);
	cnt = rows.cnt;
	snprintf(command, sizeof(command),
		 "echo x | dd of=$(echo %s/*) bs=1 seek=130 conv=notrunc "
		 "status=none",
		 dir);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(system(command), 0);
		cr_assert_eq(add_to(&cache, fd), 0);
		expect_rule(0x1000, AT_2000);
		expect_rule(0x2000, AT_3000);
	}
	cr_expect_eq(rows.cnt, 3 * cnt, "what was read in vain takes no room");
	forget_frames(fd);
	cr_assert_eq(add_to(&cache, fd), 0);
	expect_rule(0x1000, AT_2000);
}

Test(code_rows, of_a_build_id_with_its_code_elsewhere_are_others)
{
	const Elf64_Phdr moved = code_at(0x2000, 0x1800, 0x1010);

	cr_assert_eq(add_to(&cache, make_file(&usual, 1)), 0);
	cr_assert_eq(add_to(&cache, make_file(&moved, 1)), 0);
	expect_rule(0x1000, NOTHING);
	expect_rule(0x1800, AT_2000);
	cr_expect_eq(files_kept(), 2);
}

Test(code_rows, without_a_directory_or_build_id_are_made_each_time)
{
	int fd = make_file(&usual, 1);
	uint32_t cnt;

	cr_assert_eq(add_to(&nowhere, fd), 0);
	cnt = table.cnt;
	cr_expect_gt(cnt, 0);
	cr_assert_eq(pwrite(fd, "X", 1,
			    lseek(fd, 0, SEEK_END) - 2 * sizeof(Elf64_Phdr) - sizeof(build_id) - 4),
		     1); /* no longer "GNU" */
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(table.cnt, cnt);
	cr_expect_eq(files_kept(), 0);
}

Test(code_rows, of_a_file_that_others_could_have_made_are_neither_kept_nor_believed)
{
	int fd = make_file(&usual, 1);

	cr_assert_eq(fchmod(fd, 0777), 0);
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(files_kept(), 0, "not kept");
	cr_assert_eq(fchmod(fd, 0755), 0);
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(files_kept(), 1);
	forget_frames(fd);
	cr_assert_eq(fchmod(fd, 0777), 0);
	cr_assert_eq(add_to(&cache, fd), 0);
	cr_expect_eq(table.cnt, 0, "not believed");
}

Test(code_rows, that_find_no_room_change_nothing)
{
	int fd = make_file(&usual, 1);

	cr_assert_eq(add_to(&cache, fd), 0);
	rows.cnt = MT_ROW_SEGMENT - 2; /* and no budget for another segment */
	cr_expect_eq(add_to(&cache, fd), -ENOSPC, "those that were kept");
	cr_expect_eq(add_to(&nowhere, fd), -ENOSPC, "new ones");
	cr_expect_eq(rows.cnt, MT_ROW_SEGMENT - 2);
}

#endif
