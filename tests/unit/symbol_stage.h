/* SPDX-License-Identifier: MIT */
/* symbol_stage.h - a directory where files are compiled and their places looked up; for one test
 * file each. */
#ifndef TESTS_UNIT_SYMBOL_STAGE_H
#define TESTS_UNIT_SYMBOL_STAGE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/allocator.h"
#include "capture/elf_file.h"
#include "capture/modules.h"
#include "capture/symbols.h"

#define STAGE __attribute__((unused)) static

#define SKIP(...)                                      \
	do {                                           \
		fprintf(stderr, "SKIP: " __VA_ARGS__); \
		cr_skip_test(__VA_ARGS__);             \
	} while (0)

STAGE char dir[64], out[128];
STAGE struct symbols *symbols;

STAGE void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memtrace-symbols-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(out, sizeof(out), "%s/out", dir);
	symbols = symbols_new();
	cr_assert(symbols);
}

STAGE void teardown(void)
{
	char command[128];

	symbols_free(symbols);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

STAGE void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

STAGE void run(const char *format, ...)
{
	char command[2048];
	va_list args;
	int len = snprintf(command, sizeof(command), "cd %s && ", dir);

	va_start(args, format);
	vsnprintf(command + len, sizeof(command) - len, format, args);
	va_end(args);
	cr_assert_eq(system(command), 0, "%s", command);
}

STAGE void build(const char *compiler, const char *name, const char *source)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert(f);
	fputs(source, f);
	fclose(f);
	run("%s -w -o out %s", compiler, name);
}

/* What the kernel's record of out's mapping would say. */
STAGE struct module_id identify(const char *path)
{
	struct module_id id = { .path = path };
	struct allocator a;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	id.dev = st.st_dev;
	id.ino = st.st_ino;
	if (!allocator_read(fd, &a)) {
		memcpy(id.build_id, a.build_id, a.build_id_len);
		id.build_id_len = a.build_id_len;
		allocator_fini(&a);
	}
	close(fd);
	return id;
}

/* Address of a symbol as nm has it, and where that is in the file. */
STAGE uint64_t address_of(const char *path, const char *symbol)
{
	char command[512];
	unsigned long address = 0;
	FILE *f;

	snprintf(command, sizeof(command), "nm %s | awk '$3 == \"%s\" { print $1 }'", path, symbol);
	f = popen(command, "r");
	cr_assert(f);
	cr_assert_eq(fscanf(f, "%lx", &address), 1, "no %s", symbol);
	pclose(f);
	return address;
}

STAGE uint64_t offset_of(const char *path, uint64_t address)
{
	enum elf_file_error why;
	struct elf_file file;
	uint64_t offset = 0, back = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_eq(elf_file_open(&file, fd, &why), 0);
	cr_assert(elf_file_offset(&file, address, &offset));
	cr_assert(elf_file_vaddr(&file, offset, &back));
	cr_assert_eq(back, address);
	elf_file_close(&file);
	close(fd);
	return offset;
}

/* Every frame at address must be what addr2line says; returns how many there are. */
STAGE int expect_as_addr2line(const struct module_id *id, uint64_t address)
{
	const struct symbol_frame *frames;
	char command[512], function[1024], place[1024];
	int cnt = symbols_resolve(symbols, id, 0, offset_of(id->path, address), &frames), i = 0;
	FILE *f;

	cr_assert_geq(cnt, 1);
	snprintf(command, sizeof(command), "addr2line -C -f -i -e %s 0x%lx", id->path,
		 (unsigned long)address);
	f = popen(command, "r");
	cr_assert(f);
	while (fgets(function, sizeof(function), f) && fgets(place, sizeof(place), f)) {
		char *colon = strrchr(place, ':');
		const char *base = strrchr(place, '/') ? strrchr(place, '/') + 1 : place;
		const char *file;

		cr_assert_lt(i, cnt, "addr2line has more frames at %lx", (unsigned long)address);
		function[strcspn(function, "\n")] = 0;
		cr_assert(frames[i].symbol, "no name for %s", function);
		/* names may come with or without parameters */
		cr_expect_eq(strncmp(frames[i].symbol, function, strcspn(function, "(")), 0,
			     "%s is not %s", frames[i].symbol, function);
		cr_assert(colon && frames[i].file, "frame %d of %d, %s at %s", i, cnt, function,
			  place);
		file = strrchr(frames[i].file, '/');
		*colon = 0;
		cr_expect_str_eq(file ? file + 1 : frames[i].file, base);
		cr_expect_eq((int)frames[i].line, atoi(colon + 1), "%s: line %d, not %s", function,
			     (int)frames[i].line, colon + 1);
		cr_expect_eq(frames[i].address, address);
		i++;
	}
	pclose(f);
	cr_expect_eq(i, cnt, "%d frames, and addr2line has %d", cnt, i);
	for (i = 0; i < cnt; i++)
		cr_expect_eq(frames[i].inlined, i < cnt - 1);
	return cnt;
}

#define INLINES                                                             \
	"int sink;\n"                                                       \
	"static inline __attribute__((always_inline)) void leaf(int n)\n"   \
	"{\n"                                                               \
	"	sink += n * 3;\n"                                                 \
	"	__asm__ volatile(\"inside:\\n nop\");\n"                          \
	"}\n"                                                               \
	"static inline __attribute__((always_inline)) void middle(int n)\n" \
	"{\n"                                                               \
	"	leaf(n + 1);\n"                                                   \
	"}\n"                                                               \
	"__attribute__((noinline)) void outer(int n)\n"                     \
	"{\n"                                                               \
	"	middle(n + 2);\n"                                                 \
	"	__asm__ volatile(\"outside:\\n nop\");\n"                         \
	"}\n"                                                               \
	"int main(int c, char **v)\n"                                       \
	"{\n"                                                               \
	"	outer(c);\n"                                                      \
	"	return sink;\n"                                                   \
	"}\n"

#endif
