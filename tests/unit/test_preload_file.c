// SPDX-License-Identifier: MIT
/* What the preload library's file promises to those who listen: include/memtrace/preload.h. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/cfi.h"
#include "capture/elf_file.h"
#include "capture/family.h"
#include "preload_file.h"

static struct preload_file file;

static void setup(void)
{
	preload_read(&file);
}

static void teardown(void)
{
	preload_file_free(&file);
}

TestSuite(preload_file, .init = setup, .fini = teardown, .timeout = 60);

struct promised {
	const char *provider, *name, *args;
};

static const struct promised promised[] = {
	{ "memtrace", "claim", "" },
	{ "memtrace", "alloc", "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8" },
	{ "memtrace", "free", "8@%rdi" },
	{ "memtrace", "realloc_begin", "8@%rdi" },
	{ "memtrace", "realloc_end", "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9" },
	{ "memtrace", "failed", "8@%rdi 8@%rsi 8@%rdx" },
	{ "memtrace", "batch", "8@%rdi 8@%rsi" },
	{ "otel_memory", "alloc", "8@%rdi 8@%rsi 8@%rdx" },
	{ "otel_memory", "free", "8@%rdi" },
};

#define PROMISED (sizeof(promised) / sizeof(promised[0]))

static size_t promised_as(const struct preload_site *site)
{
	for (size_t i = 0; i < PROMISED; i++) {
		if (!strcmp(site->provider, promised[i].provider) &&
		    !strcmp(site->name, promised[i].name))
			return i;
	}
	return PROMISED;
}

Test(preload_file, has_the_sites_that_are_promised_and_no_others)
{
	size_t cnt[PROMISED + 1] = { 0 };

	for (size_t i = 0; i < file.site_cnt; i++)
		cnt[promised_as(&file.sites[i])]++;
	for (size_t i = 0; i < PROMISED; i++)
		cr_expect_gt(cnt[i], 0U, "no site %s:%s", promised[i].provider, promised[i].name);
	cr_expect_eq(cnt[PROMISED], 0U);
}

#ifdef __x86_64__
Test(preload_file, has_arguments_in_the_registers_of_a_call)
{
	for (size_t i = 0; i < file.site_cnt; i++) {
		size_t what = promised_as(&file.sites[i]);

		cr_assert_lt(what, PROMISED, "%s:%s", file.sites[i].provider, file.sites[i].name);
		cr_expect_str_eq(file.sites[i].args, promised[what].args, "%s:%s",
				 promised[what].provider, promised[what].name);
	}
}

Test(preload_file, has_three_nops_at_a_site_that_no_page_cuts)
{
	static const unsigned char nops[16] = { 0x90, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x66, 0x2e,
						0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 };

	for (size_t i = 0; i < file.site_cnt; i++) {
		cr_expect_arr_eq(file.sites[i].bytes, nops, sizeof(nops), "at %#lx",
				 (unsigned long)file.sites[i].address);
		cr_expect_eq(file.sites[i].address % 16, 0U);
	}
}
#endif

Test(preload_file, has_one_semaphore_for_memtrace_and_one_for_each_of_otels)
{
	uint64_t seen[PROMISED + 1] = { 0 }, memtrace = 0;
	const size_t otel = PROMISED - 2; /* two of them, last */

	for (size_t i = 0; i < file.site_cnt; i++) {
		uint64_t semaphore = file.sites[i].semaphore;
		size_t what = promised_as(&file.sites[i]);

		cr_expect(!seen[what] || seen[what] == semaphore);
		seen[what] = semaphore;
	}
	for (size_t i = 0; i < PROMISED; i++) {
		if (!strcmp(promised[i].provider, "memtrace")) {
			cr_expect(!memtrace || memtrace == seen[i]);
			memtrace = seen[i];
		}
	}
	cr_expect_neq(seen[otel], memtrace);
	cr_expect_neq(seen[otel + 1], memtrace);
	cr_expect_neq(seen[otel], seen[otel + 1]);
}

Test(preload_file, keeps_semaphores_at_zero_in_a_writable_section_in_the_file)
{
	uint64_t offset, bytes, flags;

	cr_assert(preload_section(&file, ".probes", &offset, &bytes, &flags));
	cr_expect(flags & SHF_WRITE);
	for (size_t i = 0; i < file.site_cnt; i++) {
		size_t at = preload_offset(&file, file.sites[i].semaphore);

		cr_expect(at >= offset && at + 2 <= offset + bytes);
		cr_expect_eq(file.image[at] | file.image[at + 1], 0);
	}
}

Test(preload_file, says_in_its_notes_where_it_was_linked)
{
	cr_expect_neq(file.base, 0U);
	cr_expect_eq(file.base, file.base_section);
}

Test(preload_file, has_its_configuration_in_a_page_of_its_own_that_is_never_written)
{
	struct mt_preload_config config;
	uint64_t offset, bytes, flags;

	cr_assert(preload_section(&file, MT_PRELOAD_CONFIG_SECTION, &offset, &bytes, &flags));
	cr_expect_eq(offset % MT_PRELOAD_CONFIG_BYTES, 0U);
	cr_expect_eq(bytes, (uint64_t)MT_PRELOAD_CONFIG_BYTES);
	cr_expect(flags & SHF_ALLOC);
	cr_expect_not(flags & SHF_WRITE);
	memcpy(&config, file.image + offset, sizeof(config));
	cr_expect_eq(config.magic, MT_PRELOAD_MAGIC);
	cr_expect_eq(config.version, (uint32_t)MT_PRELOAD_VERSION);
	cr_expect_eq(config.mode, (uint32_t)MT_PRELOAD_EXACT);
	for (size_t i = 16; i < bytes; i++)
		cr_expect_eq(file.image[offset + i], 0);
}

Test(preload_file, has_room_for_its_figures)
{
	uint64_t offset, bytes, flags;

	cr_assert(preload_section(&file, MT_PRELOAD_STATS_SECTION, &offset, &bytes, &flags));
	cr_expect_geq(bytes, sizeof(struct mt_preload_stats));
	cr_expect(flags & SHF_WRITE);
}

/* The dynamic symbols, as readelf lists them. */
static FILE *dynamic_symbols(void)
{
	FILE *f = popen("nm -D " PRELOAD_LIB, "r");

	cr_assert(f);
	return f;
}

static bool is_exported(const char *wanted)
{
	char line[256], name[128], type;
	bool found = false;
	FILE *f = dynamic_symbols();

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*x %c %127s", &type, name) == 2 && !strcmp(name, wanted))
			found = true;
	}
	pclose(f);
	return found;
}

Test(preload_file, wraps_every_function_of_the_family)
{
	const struct family_name *member;

	for (size_t i = 0; (member = family_at(i)); i++) {
		if (member->group != FAMILY_EXTRA)
			cr_expect(is_exported(member->name), "%s", member->name);
	}
}

/* After these the process is another, has another thread, or is none; or has other code. */
static const char *const leaving[] = {
	"execve", "execv",	"execvp",	  "execvpe",	 "execl",
	"execlp", "execle",	"fexecve",	  "execveat",	 "_exit",
	"_Exit",  "quick_exit", "pthread_create", "thrd_create", "dlclose",
};

#define LEAVING (sizeof(leaving) / sizeof(leaving[0]))

static bool is_leaving(const char *name)
{
	for (size_t i = 0; i < LEAVING; i++) {
		if (!strcmp(name, leaving[i]))
			return true;
	}
	return false;
}

#ifdef __x86_64__
Test(preload_file, wraps_every_way_to_leave)
{
	for (size_t i = 0; i < LEAVING; i++)
		cr_expect(is_exported(leaving[i]), "%s", leaving[i]);
}
#endif

/* What the linker lists but hides is not exported. */
Test(preload_file, exports_nothing_but_the_family_and_ways_to_leave)
{
	FILE *f = popen("readelf -W --dyn-syms " PRELOAD_LIB, "r");
	char line[256], visibility[32], section[32], name[128];

	cr_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*d: %*x %*s %*s %*s %31s %31s %127s", visibility, section,
			   name) == 3 &&
		    strcmp(section, "UND") && strcmp(visibility, "HIDDEN"))
			cr_expect(family_find(name) || is_leaving(name), "%s", name);
	}
	pclose(f);
}

/* A call that is only let through leaves no frame: the next function's caller is the program. */
Test(preload_file, lets_calls_through_by_jumps_alone)
{
	const struct family_name *member;
	char command[512];

	for (size_t i = 0; (member = family_at(i)); i++) {
		if (member->group == FAMILY_EXTRA)
			continue;
		snprintf(command, sizeof(command),
			 "objdump -d --no-show-raw-insn --disassemble=%s " PRELOAD_LIB
			 " | grep -qE '\\b(jmp|br|b)\\b'",
			 member->name);
		cr_expect_eq(system(command), 0, "%s does not jump", member->name);
		snprintf(command, sizeof(command),
			 "objdump -d --no-show-raw-insn --disassemble=%s " PRELOAD_LIB
			 " | grep -E '\\b(call|blr?|ret)\\b'",
			 member->name);
		cr_expect_neq(system(command), 0, "%s calls, or returns", member->name);
	}
}

/* Whatever libc the program has must have them; the weak ones may be missing. */
Test(preload_file, needs_two_functions_of_libc_and_no_library)
{
	char line[256], name[128], type;
	FILE *f = dynamic_symbols();

	while (fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' && sscanf(line, " %c %127s", &type, name) == 2 && type == 'U')
			cr_expect(!strcmp(name, "dl_iterate_phdr") ||
					  !strcmp(name, "__errno_location"),
				  "%s", name);
	}
	pclose(f);
	cr_expect_eq(system("readelf -d " PRELOAD_LIB " | grep -q NEEDED"), 256);
}

#ifdef __x86_64__
/*
 * The frame of preload.h: CFA = rbp + 16, the return address below it, the caller's rbp below that.
 * By the tables of the file itself.
 */
Test(preload_file, has_a_standard_frame_at_every_site_by_its_unwind_table)
{
	char command[512], line[512];
	FILE *f;

	for (size_t i = 0; i < file.site_cnt; i++) {
		unsigned long at = 0, start = 0, end = 0;
		char cfa[32] = "", found[32] = "";

		snprintf(command, sizeof(command),
			 "readelf --debug-dump=frames-interp %s 2>/dev/null", PRELOAD_LIB);
		f = popen(command, "r");
		cr_assert(f);
		while (fgets(line, sizeof(line), f)) {
			char *pc = strstr(line, "pc=");

			if (pc)
				sscanf(pc, "pc=%lx..%lx", &start, &end);
			else if (file.sites[i].address >= start && file.sites[i].address < end &&
				 sscanf(line, "%lx %31s", &at, cfa) == 2 &&
				 at <= file.sites[i].address && strchr(cfa, '+'))
				strcpy(found, cfa);
		}
		pclose(f);
		cr_expect_str_eq(found, "rbp+16", "%s:%s at %#lx: %s", file.sites[i].provider,
				 file.sites[i].name, (unsigned long)file.sites[i].address, found);
	}
}
#endif
