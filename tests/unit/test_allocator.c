// SPDX-License-Identifier: MIT
/* Which files are allocators and which functions count: against nm and readelf, and programs made
 * for one question each. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/allocator.h"
#include "capture/family.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

#define SKIP(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "SKIP: " __VA_ARGS__);                                             \
		cr_skip_test(__VA_ARGS__);                                                         \
	} while (0)

static int read_path(const char *path, struct allocator *a)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	cr_assert_geq(fd, 0, "cannot open %s", path);
	err = allocator_read(fd, a);
	close(fd);
	return err;
}

static const struct allocator_function *find(const struct allocator *a, const char *name)
{
	for (size_t i = 0; i < a->function_cnt; i++)
		if (!strcmp(a->functions[i].name, name))
			return &a->functions[i];
	return NULL;
}

static enum mt_call call_of(const struct allocator *a, const char *name)
{
	const struct allocator_function *f = find(a, name);

	return f ? f->call : MT_CALL_NONE;
}

/* A file under a directory of the test's own; compiled programs land there. */
static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memtrace-allocator-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(allocator_built, .init = make_dir, .fini = remove_dir);

/* Compiles source with command (a compiler and its options) and reads the result. */
static int build(const char *command, const char *source, struct allocator *a)
{
	char path[128], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/in.%s", dir, strstr(command, "++") ? "cc" : "c");
	f = fopen(path, "w");
	cr_assert(f);
	fputs(source, f);
	fclose(f);
	snprintf(line, sizeof(line), "%s -w -o %s/out %s 2>/dev/null", command, dir, path);
	cr_assert_eq(system(line), 0, "%s", line);
	snprintf(path, sizeof(path), "%s/out", dir);
	return read_path(path, a);
}

/* ---- the table of names ------------------------------------------------------------------------ */

Test(family, every_name_of_the_table_is_found_in_it)
{
	const struct family_name *name;
	size_t i;

	for (i = 0; (name = family_at(i)); i++)
		cr_expect_eq(family_find(name->name), name, "%s is out of order", name->name);
	cr_expect_gt(i, 100);
}

Test(family, a_version_does_not_hide_a_name)
{
	cr_assert(family_find("free@@GLIBC_2.2.5"));
	cr_expect_str_eq(family_find("free@@GLIBC_2.2.5")->name, "free");
	cr_expect_null(family_find("@@GLIBC_2.2.5"));
}

Test(family, other_names_are_not_of_it)
{
	cr_expect_null(family_find("mallo"));
	cr_expect_null(family_find("malloc_usable_size"));
	cr_expect_null(family_find("xmalloc"));
	cr_expect_null(family_find(""));
}

/* ---- installed libraries -------------------------------------------------------------------------- */

/* Offsets of the names in nm's listing, one for each different one. Addresses are offsets in a
 * library's first segments only if linked so, hence the segment arithmetic is readelf's. */
static size_t nm_addresses(const char *path, const char *names, uint64_t *out, size_t max)
{
	char command[512];
	unsigned long address;
	size_t cnt = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "nm -D --defined-only %s | awk '{ sub(/@.*/, \"\", $3); print $1, $3 }' | "
		 "grep -E ' (%s)$' | cut -d' ' -f1 | sort -u", path, names);
	f = popen(command, "r");
	cr_assert(f);
	while (cnt < max && fscanf(f, "%lx", &address) == 1)
		out[cnt++] = address;
	pclose(f);
	return cnt;
}

Test(allocator, libc_has_one_row_for_each_function_that_nm_lists)
{
	uint64_t truth[64];
	struct allocator a;
	size_t cnt;

	if (access(LIBC, R_OK))
		SKIP("no %s\n", LIBC);
	cnt = nm_addresses(LIBC,
			   "malloc|calloc|realloc|reallocarray|memalign|aligned_alloc|"
			   "posix_memalign|valloc|pvalloc|free|cfree|free_sized|free_aligned_sized",
			   truth, 64);
	if (!cnt)
		SKIP("no nm to compare with\n");
	cr_assert_eq(read_path(LIBC, &a), 0);
	cr_expect(a.is_allocator && a.why == ALLOCATOR_FOUND);
	cr_expect_not(a.is_static);
	cr_assert_eq(a.function_cnt, cnt);
	for (size_t i = 0; i < cnt; i++) /* both sorted */
		cr_expect_eq(a.functions[i].vaddr, truth[i], "%s", a.functions[i].name);
	cr_expect_eq(call_of(&a, "malloc"), MT_CALL_MALLOC);
	cr_expect_eq(call_of(&a, "calloc"), MT_CALL_CALLOC);
	cr_expect_eq(call_of(&a, "realloc"), MT_CALL_REALLOC);
	cr_expect_eq(call_of(&a, "posix_memalign"), MT_CALL_POSIX_MEMALIGN);
	cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE);
	cr_expect_eq(call_of(&a, "reallocarray"), MT_CALL_REALLOCARRAY);
	allocator_fini(&a);
}

Test(allocator, the_build_id_is_the_one_readelf_shows)
{
	char text[2 * ALLOCATOR_BUILD_ID_MAX + 1] = "", truth[128] = "";
	struct allocator a;
	FILE *f;

	if (access(LIBC, R_OK))
		SKIP("no %s\n", LIBC);
	f = popen("readelf -n " LIBC " 2>/dev/null | sed -n 's/.*Build ID: //p'", "r");
	cr_assert(f);
	if (fscanf(f, "%127s", truth) != 1)
		SKIP("no readelf to compare with\n");
	pclose(f);
	cr_assert_eq(read_path(LIBC, &a), 0);
	for (size_t i = 0; i < a.build_id_len; i++)
		sprintf(text + 2 * i, "%02x", a.build_id[i]);
	cr_expect_str_eq(text, truth);
	allocator_fini(&a);
}

Test(allocator, libstdcxx_is_none)
{
	const char *path = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";
	struct allocator a;

	if (access(path, R_OK))
		SKIP("no %s\n", path);
	cr_assert_eq(read_path(path, &a), 0);
	cr_expect_not(a.is_allocator);
	cr_expect_eq(a.function_cnt, 0);
	cr_expect_eq(a.why, ALLOCATOR_NONE_DEFINED);
	allocator_fini(&a);
}

Test(allocator, the_dynamic_linker_is_none)
{
	const char *path = "/lib64/ld-linux-x86-64.so.2";
	struct allocator a;

	if (access(path, R_OK))
		SKIP("no %s\n", path);
	cr_assert_eq(read_path(path, &a), 0);
	cr_expect_not(a.is_allocator);
	cr_expect_eq(a.why, ALLOCATOR_LOADER);
	cr_expect_not(a.is_static);
	allocator_fini(&a);
}

Test(allocator, musl_is_one_although_it_is_the_dynamic_linker)
{
	const char *path = "/lib/ld-musl-x86_64.so.1";
	struct allocator a;

	if (access(path, R_OK))
		SKIP("no %s\n", path);
	cr_assert_eq(read_path(path, &a), 0);
	cr_expect(a.is_allocator);
	cr_expect_not(a.is_static);
	cr_expect(find(&a, "malloc") && find(&a, "free") && find(&a, "realloc"));
	cr_expect_null(find(&a, "memalign"), "it only jumps to aligned_alloc");
	allocator_fini(&a);
}

Test(allocator, jemalloc_brings_its_own_operators)
{
	const char *path = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
	struct allocator a;

	if (access(path, R_OK))
		SKIP("no %s\n", path);
	cr_assert_eq(read_path(path, &a), 0);
	cr_expect(a.is_allocator);
	cr_expect_eq(call_of(&a, "_Znwm"), MT_CALL_MALLOC);
	cr_expect_eq(call_of(&a, "mallocx"), MT_CALL_MALLOC);
	cr_expect_eq(call_of(&a, "rallocx"), MT_CALL_REALLOC);
	cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE);
	cr_expect_eq(call_of(&a, "_ZdlPv"), MT_CALL_NONE, "it only jumps to free");
	cr_expect_eq(call_of(&a, "_ZdlPvmSt11align_val_t"), MT_CALL_FREE_SIZED,
		     "it ends in sdallocx");
	allocator_fini(&a);
}

Test(allocator, tcmalloc_and_mimalloc_have_one_row_for_the_many_names_of_free)
{
	static const char *const paths[] = { "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4",
					     "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
					     "/usr/lib/x86_64-linux-gnu/libmimalloc.so.3" };
	int seen = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct allocator a;

		if (access(paths[i], R_OK))
			continue;
		seen++;
		cr_assert_eq(read_path(paths[i], &a), 0);
		cr_expect(a.is_allocator);
		cr_expect_eq(call_of(&a, "malloc"), MT_CALL_MALLOC);
		cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE);
		cr_expect_null(find(&a, "cfree"));
		cr_expect_null(find(&a, "_ZdlPv"));
		cr_expect_null(find(&a, "_ZdaPv"));
		allocator_fini(&a);
	}
	if (!seen)
		SKIP("neither tcmalloc nor mimalloc is installed\n");
}

/* ---- made for the purpose -------------------------------------------------------------------------- */

#define USES_MALLOC                                                                                \
	"#include <stdlib.h>\n"                                                                    \
	"int main(int c, char **v) { v[0] = malloc(c); free(v[0]); return 0; }\n"

Test(allocator_built, a_dynamic_program_uses_somebody_elses)
{
	struct allocator a;

	cr_assert_eq(build("gcc", USES_MALLOC, &a), 0);
	cr_expect_not(a.is_allocator);
	cr_expect_not(a.is_static);
	cr_expect_eq(a.why, ALLOCATOR_NONE_DEFINED);
	allocator_fini(&a);
}

Test(allocator_built, static_programs_have_their_libcs)
{
	static const char *const commands[] = { "gcc -static", "gcc -static-pie", "musl-gcc -static" };

	for (size_t i = 0; i < 3; i++) {
		struct allocator a;

		if (!strncmp(commands[i], "musl", 4) && system("command -v musl-gcc >/dev/null"))
			continue;
		cr_assert_eq(build(commands[i], USES_MALLOC, &a), 0);
		cr_expect(a.is_allocator && a.is_static, "%s", commands[i]);
		cr_expect_eq(call_of(&a, "malloc"), MT_CALL_MALLOC, "%s", commands[i]);
		cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE, "%s", commands[i]);
		allocator_fini(&a);
	}
}

Test(allocator_built, a_stripped_static_program_says_why_there_is_nothing)
{
	struct allocator a;

	cr_assert_eq(build("gcc -static -s", USES_MALLOC, &a), 0);
	cr_expect(a.is_static && !a.is_allocator);
	cr_expect_eq(a.why, ALLOCATOR_NO_SYMBOLS);
	cr_expect(strstr(allocator_why_text(a.why), "stripped"));
	allocator_fini(&a);
}

Test(allocator_built, operators_of_a_static_cxx_program_that_call_malloc_are_left_out)
{
	struct allocator a;

	if (system("command -v g++ >/dev/null"))
		SKIP("no g++\n");
	cr_assert_eq(build("g++ -static",
			   "int main(int c, char **v) { delete[] new char[c]; delete new int; }\n",
			   &a), 0);
	cr_expect(a.is_allocator);
	cr_expect(find(&a, "malloc"));
	for (size_t i = 0; i < a.function_cnt; i++)
		cr_expect(strncmp(a.functions[i].name, "_Z", 2), "%s", a.functions[i].name);
	allocator_fini(&a);
}

Test(allocator_built, a_private_function_called_free_is_not_the_one)
{
	struct allocator a;

	cr_assert_eq(build("gcc -fno-builtin",
			   "static __attribute__((noinline)) void free(void *p)"
			   "{ asm volatile(\"\" :: \"r\"(p)); }\n"
			   "static __attribute__((noinline)) void *malloc(long n)"
			   "{ asm volatile(\"\" :: \"r\"(n)); return (void *)n; }\n"
			   "int main(int c, char **v) { free(malloc(c)); return 0; }\n", &a), 0);
	cr_expect_eq(a.function_cnt, 0);
	allocator_fini(&a);
}

Test(allocator_built, a_program_with_an_allocator_of_its_own_is_one)
{
	struct allocator a;

	cr_assert_eq(build("gcc -fno-builtin",
			   "void *malloc(unsigned long n) { return 0; }\n"
			   "void free(void *p) { }\n"
			   "int main(void) { free(malloc(1)); return 0; }\n", &a), 0);
	cr_expect(a.is_allocator);
	cr_expect_not(a.is_static);
	allocator_fini(&a);
}

Test(allocator_built, an_allocator_that_never_frees_makes_no_account)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin",
			   "void *malloc(unsigned long n) { return 0; }\n", &a), 0);
	cr_expect_not(a.is_allocator);
	allocator_fini(&a);
}

#define OWN "static char heap[4096]; void *malloc(unsigned long n) { return heap + n; }\n"

Test(allocator_built, names_of_one_function_are_one_row_with_the_best_known_name)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", OWN
			   "void sdallocx(void *p) { heap[0] = 1; }\n"
			   "void cfree(void *p) __attribute__((alias(\"sdallocx\")));\n"
			   "void free(void *p) __attribute__((alias(\"sdallocx\")));\n"
			   "void free_sized(void *p) __attribute__((alias(\"sdallocx\")));\n", &a), 0);
	cr_assert_eq(a.function_cnt, 2);
	cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE);
	cr_expect_eq(call_of(&a, "malloc"), MT_CALL_MALLOC);
	allocator_fini(&a);
}

#if defined(__x86_64__)
Test(allocator_built, a_function_that_only_jumps_to_another_is_that_other)
{
	static const char *const options[] = { "gcc -O2 -shared -fPIC -fno-builtin",
					       "gcc -O2 -shared -fPIC -fno-builtin -fcf-protection",
					       "gcc -O2 -shared -fPIC -fno-builtin -Wl,-Bsymbolic",
					       "gcc -O2 -shared -fPIC -fno-builtin -Wl,-z,now" };

	for (size_t i = 0; i < 4; i++) {
		struct allocator a;

		cr_assert_eq(build(options[i], OWN
				   "void free(void *p) { heap[1] = 1; }\n"
				   "void cfree(void *p) { free(p); }\n"
				   "void free_sized(void *p, unsigned long n) { free(p); }\n"
				   "void dallocx(void *p, int f) { if (f) heap[2] = f; free(p); }\n",
				   &a), 0);
		cr_expect_eq(call_of(&a, "free"), MT_CALL_FREE, "%s", options[i]);
		cr_expect_null(find(&a, "cfree"), "%s", options[i]);
		cr_expect_null(find(&a, "free_sized"), "%s", options[i]);
		cr_expect_eq(call_of(&a, "dallocx"), MT_CALL_FREE_SIZED, "%s", options[i]);
		allocator_fini(&a);
	}
}
#endif

Test(allocator_built, an_indirect_function_is_noted_and_left_out)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", OWN
			   "static void really(void *p) { heap[0] = 1; }\n"
			   "static void *choose(void) { return really; }\n"
			   "void free(void *p) __attribute__((ifunc(\"choose\")));\n", &a), 0);
	cr_expect_eq(a.ifunc_cnt, 1);
	cr_expect_null(find(&a, "free"));
	cr_expect_not(a.is_allocator);
	allocator_fini(&a);
}

Test(allocator_built, data_called_malloc_is_no_function)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", "int malloc = 1; int free = 2;\n", &a), 0);
	cr_expect_eq(a.function_cnt, 0);
	allocator_fini(&a);
}

Test(allocator_built, a_function_outside_of_code_is_none)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", OWN
			   "asm(\".data\\n.globl free\\n.type free, @function\\nfree: .quad 0\\n.text\");\n",
			   &a), 0);
	cr_expect(find(&a, "malloc"));
	cr_expect_null(find(&a, "free"));
	allocator_fini(&a);
}

Test(allocator_built, a_dynamic_linker_with_a_malloc_is_none)
{
	struct allocator a;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin -Wl,-soname,ld-linux-x86-64.so.2", OWN
			   "void free(void *p) { }\n", &a), 0);
	cr_expect_not(a.is_allocator);
	cr_expect_eq(a.why, ALLOCATOR_LOADER);
	allocator_fini(&a);
}

Test(allocator_built, offsets_are_of_the_file_and_not_addresses)
{
	const struct allocator_function *f;
	unsigned char code[4], truth[] = { 0xb8, 0x78, 0x56, 0x34 }; /* mov $0x12345678,%eax */
	struct allocator a;
	char path[128];
	int fd;

	cr_assert_eq(build("gcc -O2 -static -nostdlib -fno-builtin -fcf-protection=none "
			   "-Wl,-Ttext=0x7654000",
			   "long malloc(void) { return 0x12345678; }\nvoid free(void *p) { }\n"
			   "void _start(void) { for (;;) ; }\n", &a), 0);
	f = find(&a, "malloc");
	cr_assert(f);
	cr_expect_neq(f->file_offset, f->vaddr);
	snprintf(path, sizeof(path), "%s/out", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(pread(fd, code, 4, f->file_offset), 4);
	cr_expect_arr_eq(code, truth, 4);
	close(fd);
	allocator_fini(&a);
}

Test(allocator_built, go_code_is_recognised_by_its_sections)
{
	struct allocator a;

	cr_assert_eq(build("gcc", "__attribute__((section(\".go.buildinfo\"))) int mark = 1;\n"
			   "int main(void) { return 0; }\n", &a), 0);
	cr_expect(a.is_go);
	allocator_fini(&a);
}

/* ---- bad files ---------------------------------------------------------------------------------- */

static int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static char *slurp(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *bytes;

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	bytes = malloc(st.st_size);
	cr_assert_eq(read(fd, bytes, st.st_size), st.st_size);
	close(fd);
	*len = st.st_size;
	return bytes;
}

static void expect_refused(const void *bytes, size_t len, enum allocator_why why)
{
	int fd = memory_file(bytes, len);
	struct allocator a;

	cr_expect_eq(allocator_read(fd, &a), -ENOEXEC);
	cr_expect_eq(a.why, why, "%s", allocator_why_text(a.why));
	close(fd);
}

Test(allocator, what_is_no_elf_file_is_refused)
{
	expect_refused("", 0, ALLOCATOR_NOT_ELF);
	expect_refused("#!/bin/sh\n", 10, ALLOCATOR_NOT_ELF);
	expect_refused("\177ELF", 4, ALLOCATOR_NOT_ELF);
}

Test(allocator_built, programs_of_other_machines_are_refused)
{
	struct allocator a;
	char path[128], *bytes;
	size_t len;

	cr_assert_eq(build("gcc", USES_MALLOC, &a), 0);
	allocator_fini(&a);
	snprintf(path, sizeof(path), "%s/out", dir);
	bytes = slurp(path, &len);
	bytes[18] = 0xf3; /* e_machine: RISC-V */
	bytes[19] = 0;
	expect_refused(bytes, len, ALLOCATOR_OTHER_MACHINE);
	bytes[4] = 1; /* e_ident[EI_CLASS]: 32-bit */
	expect_refused(bytes, len, ALLOCATOR_32BIT);
	free(bytes);
}

/* Any outcome is right that comes back. */
static void expect_survives(const void *bytes, size_t len)
{
	int fd = memory_file(bytes, len);
	struct allocator a;
	int err = allocator_read(fd, &a);

	cr_expect(err == 0 || err == -ENOEXEC, "%d", err);
	if (!err)
		allocator_fini(&a);
	close(fd);
}

Test(allocator_built, a_file_cut_short_anywhere_is_survived)
{
	struct allocator a;
	char path[128], *bytes;
	size_t len;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", OWN "void free(void *p) { }\n", &a), 0);
	allocator_fini(&a);
	snprintf(path, sizeof(path), "%s/out", dir);
	bytes = slurp(path, &len);
	for (size_t cut = 0; cut < len; cut += cut < 1024 ? 1 : 97)
		expect_survives(bytes, cut);
	free(bytes);
}

Test(allocator_built, a_file_with_any_byte_of_its_tables_changed_is_survived)
{
	struct allocator a;
	char path[128], *bytes;
	uint32_t random = 7;
	size_t len;

	cr_assert_eq(build("gcc -shared -fPIC -fno-builtin", OWN "void free(void *p) { }\n", &a), 0);
	allocator_fini(&a);
	snprintf(path, sizeof(path), "%s/out", dir);
	bytes = slurp(path, &len);
	for (int round = 0; round < 3000; round++) {
		/* headers at the front, section headers at the end, and anywhere */
		size_t span = round % 3 == 0 ? 1024 : len;
		size_t at = (random = random * 1664525 + 1013904223) % span;
		char was;

		if (round % 3 == 1)
			at = len - 1 - at % 2048;
		was = bytes[at];
		bytes[at] = round % 2 ? (char)0xff : (char)(random >> 24);
		expect_survives(bytes, len);
		bytes[at] = was;
	}
	free(bytes);
}
