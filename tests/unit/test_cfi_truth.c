// SPDX-License-Identifier: MIT
/* Rows against libdw: at every row of real files, one step by the row is one step by the whole
 * DWARF expressions, for random registers and random memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/cfi.h"
#include "dwarf_eval.h"

#define MT_UNWIND_READ(stack, addr, word) \
	(*(word) = dwarf_machine_word((const struct dwarf_machine *)(stack), addr), 0)
#include "memtrace/unwind.h"

#if defined(__x86_64__)

#define MACHINES 4 /* tried at each address */

struct comparison {
	const char *path;
	struct cfi_table table;
	Elf *elf;
	Dwarf *dwarf;
	Dwarf_CFI *cfi, *debug_cfi; /* .eh_frame's, and .debug_frame's where there is one */
	uint64_t random;
	uint64_t entry;
	size_t addresses, same, ends, unsupported, no_row, not_growing, wrong;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct dwarf_machine random_machine(uint64_t *random)
{
	struct dwarf_machine m = { .seed = next_random(random) };

	for (size_t i = 0; i < DWARF_EVAL_REGS; i++)
		m.regs[i] = next_random(random);
	m.regs[7] = (1ULL << 40) + (next_random(random) & 0xfffffff8);
	m.regs[6] = m.regs[7] + (next_random(random) & 0xfff8);
	return m;
}

static void differs(struct comparison *c, uint64_t pc, const char *what, uint64_t ours,
		    uint64_t theirs)
{
	if (c->wrong++ < 10)
		fprintf(stderr, "%s: at %#lx %s is %#lx, libdw says %#lx\n", c->path,
			(unsigned long)pc, what, (unsigned long)ours, (unsigned long)theirs);
}

static void compare_caller(struct comparison *c, const struct dwarf_machine *m,
			   const struct mt_frame *before, const struct mt_frame *after, int result,
			   const struct dwarf_caller *truth)
{
	uint64_t pc = before->pc;

	if (result == MT_STEP_BROKEN && truth->cfa <= before->sp) {
		c->not_growing++;
		return;
	}
	if (result != MT_STEP_CALLER) {
		differs(c, pc, "the step's result", result, MT_STEP_CALLER);
		return;
	}
	c->same++;
	if (after->sp != truth->cfa)
		differs(c, pc, "sp", after->sp, truth->cfa);
	if (truth->pc_is != DWARF_VALUE || after->pc != truth->pc)
		differs(c, pc, "pc", after->pc, truth->pc);
	if (truth->fp_is == DWARF_UNDEFINED ||
	    after->fp != (truth->fp_is == DWARF_SAME ? m->regs[6] : truth->fp))
		differs(c, pc, "fp", after->fp, truth->fp);
	if (after->exact != truth->signal)
		differs(c, pc, "exactness", after->exact, truth->signal);
}

static void compare_once(struct comparison *c, uint64_t pc, uint32_t rule, Dwarf_Frame *frame)
{
	struct dwarf_machine m = random_machine(&c->random);
	struct mt_frame before, after;
	struct dwarf_caller truth;
	int result;

	m.regs[16] = pc;
	before = (struct mt_frame){ .pc = pc, .sp = m.regs[7], .fp = m.regs[6], .exact = 1 };
	after = before;
	cr_assert_eq(mt_frame_lookup_pc(&before), pc);
	result = mt_unwind_step(&m, rule, &after);
	if (result == MT_STEP_UNSUPPORTED) {
		c->unsupported++;
		return;
	}
	if (!dwarf_eval_caller(&m, frame, &truth)) {
		differs(c, pc, "a rule", rule, 0);
		return;
	}
	if (result == MT_STEP_END && truth.pc_is == DWARF_UNDEFINED)
		c->ends++;
	else
		compare_caller(c, &m, &before, &after, result, &truth);
}

/* In the row that begins where the program does, which is the root although libdw has nothing there. */
static bool is_entry(const struct comparison *c, uint64_t pc, uint32_t rule)
{
	return rule == MT_RULE(MT_ROW_END, 0, 0) && pc >= c->entry && pc - c->entry < 128 &&
	       cfi_table_rule(&c->table, c->entry) == rule;
}

/* Compares at one address; the address after the rules there, or 0 where libdw has none. */
static uint64_t compare_at(struct comparison *c, uint64_t pc)
{
	uint32_t rule = cfi_table_rule(&c->table, pc);
	Dwarf_Addr start = 0, end = 0;
	Dwarf_Frame *frame;
	bool signal;

	c->addresses++;
	if ((!c->cfi || dwarf_cfi_addrframe(c->cfi, pc, &frame)) &&
	    (!c->debug_cfi || dwarf_cfi_addrframe(c->debug_cfi, pc, &frame))) {
		c->no_row++;
		if (MT_RULE_KIND(rule) != MT_ROW_NONE && !is_entry(c, pc, rule))
			differs(c, pc, "a rule", rule, 0);
		return 0;
	}
	for (unsigned i = 0; i < MACHINES; i++)
		compare_once(c, pc, rule, frame);
	if (dwarf_frame_info(frame, &start, &end, &signal) < 0 || pc < start || pc >= end)
		differs(c, pc, "a range", start, end);
	free(frame);
	return end;
}

/* All that libdw has, found through the table that exception handling searches. */
static size_t compare_functions(struct comparison *c)
{
	GElf_Phdr phdr = { 0 };
	uint8_t *hdr;
	uint32_t cnt;
	size_t phdr_cnt;
	int fd = open(c->path, O_RDONLY);

	cr_assert_eq(elf_getphdrnum(c->elf, &phdr_cnt), 0);
	for (size_t i = 0; i < phdr_cnt && phdr.p_type != PT_GNU_EH_FRAME; i++)
		gelf_getphdr(c->elf, i, &phdr);
	if (phdr.p_type != PT_GNU_EH_FRAME) {
		close(fd);
		return 0;
	}
	hdr = malloc(phdr.p_filesz);
	cr_assert_eq(pread(fd, hdr, phdr.p_filesz, phdr.p_offset), (ssize_t)phdr.p_filesz);
	close(fd);
	/* version 1, pcrel sdata4 pointer, udata4 count, datarel sdata4 pairs */
	cr_assert_eq(memcmp(hdr, "\1\x1b\3\x3b", 4), 0, "%s: another kind of table", c->path);
	memcpy(&cnt, hdr + 8, 4);
	cr_assert(cnt && 12 + 8 * (uint64_t)cnt <= phdr.p_filesz);
	for (uint32_t i = 0; i < cnt; i++) {
		uint64_t pc, end, next = UINT64_MAX;
		int32_t offset;

		memcpy(&offset, hdr + 12 + 8 * i, 4);
		pc = phdr.p_vaddr + offset;
		if (i + 1 < cnt) {
			memcpy(&offset, hdr + 12 + 8 * (i + 1), 4);
			next = phdr.p_vaddr + offset;
		}
		while (pc && pc < next) {
			end = compare_at(c, pc);
			if (end)
				compare_at(c, end - 1);
			pc = end;
			/* in a gap, until the next function */
			if (pc && MT_RULE_KIND(cfi_table_rule(&c->table, pc)) == MT_ROW_NONE)
				break;
		}
	}
	free(hdr);
	return cnt;
}

/* And all that the table has, so that it says nothing beyond what libdw does. */
static void compare_rows(struct comparison *c)
{
	for (size_t i = 0; i < c->table.row_cnt; i++) {
		uint32_t pc = c->table.rows[i].pc;

		compare_at(c, pc);
		if (pc)
			compare_at(c, pc - 1);
	}
}

/* At most so many of a thousand addresses may have rules that no row can say. */
static void compare_file(const char *path, unsigned unsupported_permille_max)
{
	struct comparison c = { .path = path, .random = 0x6d656d7472616365 };
	size_t functions;
	GElf_Ehdr ehdr;
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		fprintf(stderr, "SKIP: %s is not here\n", path);
		cr_skip_test("%s is not here", path);
	}
	cr_assert_eq(cfi_table_build(&c.table, fd), 0);
	elf_version(EV_CURRENT);
	c.elf = elf_begin(fd, ELF_C_READ, NULL);
	cr_assert_not_null(gelf_getehdr(c.elf, &ehdr));
	c.entry = ehdr.e_entry;
	c.cfi = dwarf_getcfi_elf(c.elf);
	c.dwarf = dwarf_begin_elf(c.elf, DWARF_C_READ, NULL);
	c.debug_cfi = c.dwarf ? dwarf_getcfi(c.dwarf) : NULL;
	cr_assert(c.cfi || c.debug_cfi, "%s", path);

	functions = compare_functions(&c);
	compare_rows(&c);
	fprintf(stderr,
		"%s: %zu functions, %zu rows, %zu addresses, %zu comparisons equal, %zu roots, "
		"%zu unsupported (%.3f %%), %zu not growing, %zu in gaps\n",
		path, functions, c.table.row_cnt, c.addresses, c.same, c.ends, c.unsupported,
		100.0 * c.unsupported / MACHINES / c.addresses, c.not_growing, c.no_row);
	cr_expect_eq(c.wrong, 0, "%s: %zu differences", path, c.wrong);
	if (c.debug_cfi)
		cr_expect_gt(c.table.counts.functions, functions, "%s", path);
	else
		cr_expect_eq(c.table.counts.functions, functions, "%s", path);
	cr_expect_eq(c.table.counts.malformed, 0);
	cr_expect_gt(c.same, functions);
	cr_expect_leq(1000 * c.unsupported, unsupported_permille_max * MACHINES * c.addresses);

	dwarf_end(c.dwarf);
	dwarf_cfi_end(c.cfi);
	elf_end(c.elf);
	close(fd);
	cfi_table_fini(&c.table);
}

/* The file a library's name leads to on this machine. */
static void compare_library(const char *name, unsigned unsupported_permille_max)
{
	static const char *const dirs[] = { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
					    "/lib64", "/usr/lib64" };
	char path[256];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (!access(path, R_OK))
			break;
	}
	compare_file(path, unsupported_permille_max);
}

Test(cfi_truth, libc)
{
	compare_library("libc.so.6", 1);
}

Test(cfi_truth, the_dynamic_linker)
{
	/* the lazy binder keeps the stack pointer in rbx */
	compare_library("ld-linux-x86-64.so.2", 10);
}

Test(cfi_truth, libstdcxx)
{
	compare_library("libstdc++.so.6", 1);
}

Test(cfi_truth, python)
{
	compare_file("/usr/bin/python3", 1);
}

Test(cfi_truth, functions_written_by_hand)
{
	/* ciphers keep the stack pointer in any register; they call nothing */
	compare_library("libcrypto.so.3", 10);
}

/* The program is small, and realigns its stack: the first and last few instructions of that
 * function have the CFA in r10. */
static void compare_target(const char *compiler, const char *options, const char *source)
{
	char dir[] = "/tmp/memtrace-cfi-XXXXXX", path[64], command[1024];

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/program", dir);
	snprintf(command, sizeof(command),
		 "%s -fomit-frame-pointer -pthread %s -o %s %s/targets/%s", compiler, options, path,
		 TESTS_DIR, source);
	cr_assert_eq(system(command), 0, "%s", command);
	compare_file(path, 50);
	unlink(path);
	rmdir(dir);
}

Test(cfi_truth, a_program_without_frame_pointers)
{
	compare_target("g++ -std=c++17", "-O3", "omit_fp.cc");
}

Test(cfi_truth, a_program_without_frame_pointers_and_optimizations)
{
	compare_target("g++ -std=c++17", "-O0", "omit_fp.cc");
}

Test(cfi_truth, a_program_with_debug_frame_only)
{
	compare_target("gcc", "-g -O2 -fno-asynchronous-unwind-tables", "mix.c");
}

Test(cfi_truth, a_program_with_packed_debug_frame)
{
	compare_target("gcc", "-g -O2 -fno-asynchronous-unwind-tables -gz", "mix.c");
}

Test(cfi_truth, the_corpus)
{
	glob_t found;

	cr_assert_eq(glob(TESTS_DIR "/fuzz/corpus/cfi/*", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		compare_file(found.gl_pathv[i], 500); /* made of rare rules */
	globfree(&found);
}

#endif
