// SPDX-License-Identifier: MIT
/* Names of places in files: against addr2line, and against lines that the test wrote itself. */
#include "symbol_stage.h"

#include <errno.h>

TestSuite(symbols, .init = setup, .fini = teardown);

Test(symbols, a_function_with_its_source_line)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t address;

	build("gcc -g -O1", "in.c", INLINES);
	id = identify(out);
	address = address_of(out, "outside");
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address), &frames), 1);
	cr_assert(frames[0].symbol && frames[0].file);
	cr_expect_str_eq(frames[0].symbol, "outer");
	cr_expect_eq(frames[0].line, 14);
	cr_expect_str_eq(strrchr(frames[0].file, '/'), "/in.c");
	cr_expect_eq(frames[0].symbol_offset, address - address_of(out, "outer"));
	cr_expect_not(frames[0].inlined);
}

Test(symbols, inlined_functions_innermost_first_with_the_lines_of_their_calls)
{
	const struct symbol_frame *frames;
	struct module_id id;

	build("gcc -g -O1", "in.c", INLINES);
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "inside")),
				     &frames), 3);
	cr_expect_str_eq(frames[0].symbol, "leaf");
	cr_expect_eq(frames[0].line, 5);
	cr_expect(frames[0].inlined);
	cr_expect_str_eq(frames[1].symbol, "middle");
	cr_expect_eq(frames[1].line, 9);
	cr_expect(frames[1].inlined);
	cr_expect_str_eq(frames[2].symbol, "outer");
	cr_expect_eq(frames[2].line, 13);
	cr_expect_not(frames[2].inlined);
}

Test(symbols, the_same_as_addr2line_however_the_file_is_linked)
{
	static const char *const compilers[] = { "gcc -g -O1", "gcc -g -O1 -no-pie", "gcc -g -O1 -static",
						 "gcc -g -O1 -gdwarf-4", "clang -g -O1",
						 "gcc -g -O1 -fno-inline -no-pie -Wl,-Ttext=0x7000123" };

	if (system("command -v addr2line >/dev/null"))
		SKIP("no addr2line to compare with\n");
	for (size_t i = 0; i < sizeof(compilers) / sizeof(compilers[0]); i++) {
		struct module_id id;

		if (!strncmp(compilers[i], "clang", 5) && system("command -v clang >/dev/null"))
			continue;
		build(compilers[i], "in.c", INLINES);
		id = identify(out);
		cr_expect_eq(expect_as_addr2line(&id, address_of(out, "inside")), 3, "%s",
			     compilers[i]);
		cr_expect_eq(expect_as_addr2line(&id, address_of(out, "main")), 1);
	}
}

Test(symbols, cxx_names_are_readable)
{
	const struct symbol_frame *frames;
	struct module_id id;

	if (system("command -v g++ >/dev/null"))
		SKIP("no g++\n");
	build("g++ -g -O1", "in.cc",
	      "#include <vector>\nnamespace app { struct pool { __attribute__((noinline)) "
	      "void grow(int); }; \nvoid pool::grow(int n) { asm volatile(\"inside:\\n nop\"); } }\n"
	      "int main(int c, char **) { app::pool().grow(c); }\n");
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "inside")),
				     &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "app::pool::grow(int)");
	cr_expect_eq(frames[0].line, 3);
}

Test(symbols, without_debug_information_there_is_still_the_name)
{
	const struct symbol_frame *frames;
	struct module_id id;

	build("gcc -O1", "in.c", INLINES);
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "outer")),
				     &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
	cr_expect_eq(frames[0].symbol_offset, 0);
	cr_expect_null(frames[0].file);
	cr_expect_eq(frames[0].line, 0);
}

Test(symbols, a_stripped_file_has_only_what_it_exports)
{
	const struct symbol_frame *frames;
	uint64_t exported, hidden;
	struct module_id id;

	build("gcc -O1 -shared -fPIC", "in.c",
	      "static __attribute__((noinline)) int hidden(int n)\n"
	      "{ __asm__ volatile(\"\"); return n * 7; }\n"
	      "int exported(int n) { return hidden(n) + 1; }\n");
	exported = offset_of(out, address_of(out, "exported"));
	hidden = offset_of(out, address_of(out, "hidden"));
	run("strip out");
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, exported, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "exported");
	cr_assert_eq(symbols_resolve(symbols, &id, 0, hidden, &frames), 1);
	cr_expect_null(frames[0].symbol, "that is not %s", frames[0].symbol);
}

Test(symbols, a_separate_debug_file_is_found_beside_and_only_if_it_is_the_one)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;

	build("gcc -g -O1 -Wl,--build-id", "in.c", INLINES);
	offset = offset_of(out, address_of(out, "inside"));
	run("objcopy --only-keep-debug out out.debug && strip out && "
	    "objcopy --add-gnu-debuglink=out.debug out && mkdir .debug && mv out.debug .debug");
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 3);
	cr_expect_str_eq(frames[0].symbol, "leaf");
	cr_expect_eq(frames[0].line, 5);
	cr_expect_str_eq(frames[2].symbol, "outer");

	/* a debug file of another build under the same name */
	build("gcc -g -O1 -Wl,--build-id -DX", "in.c", "int other;\n" INLINES);
	run("objcopy --only-keep-debug out .debug/out.debug");
	build("gcc -g -O1 -Wl,--build-id", "in.c", INLINES);
	run("strip out && cp .debug/out.debug . && objcopy --add-gnu-debuglink=out.debug out");
	symbols_free(symbols);
	symbols = symbols_new();
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 1);
	cr_expect_null(frames[0].symbol);
	cr_expect_null(frames[0].file);
}

Test(symbols, another_build_id_gives_no_names)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;

	build("gcc -g -O1 -Wl,--build-id", "in.c", INLINES);
	id = identify(out);
	cr_assert_gt(id.build_id_len, 0);
	offset = offset_of(out, address_of(out, "outside"));
	id.build_id[3] ^= 1;
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 1);
	cr_expect_null(frames[0].symbol);
	cr_expect_eq(frames[0].address, offset);
	id.build_id[3] ^= 1;
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
}

Test(symbols, a_file_replaced_under_its_name_gives_no_names)
{
	const struct symbol_frame *frames;
	struct module_id id;

	build("gcc -O1 -Wl,--build-id=none", "in.c", INLINES);
	id = identify(out);
	cr_assert_eq(id.build_id_len, 0);
	run("cp out new && mv new out");
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "outer")),
				     &frames), 1);
	cr_expect_null(frames[0].symbol);
}

Test(symbols, a_kept_file_has_names_after_it_is_gone)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;
	int fd;

	build("gcc -g -O1", "in.c", INLINES);
	id = identify(out);
	offset = offset_of(out, address_of(out, "outside"));
	fd = open(out, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(symbols_keep(symbols, &id, fd), 0);
	close(fd);
	cr_assert_eq(unlink(out), 0);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
}

Test(symbols, a_deleted_file_without_build_id_is_not_looked_for)
{
	const struct symbol_frame *frames;
	struct module_id id;

	build("gcc -O1 -Wl,--build-id=none", "in.c", INLINES);
	id = identify(out);
	id.deleted = true;
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "outer")),
				     &frames), 1);
	cr_expect_null(frames[0].symbol);
}

Test(symbols, the_root_of_a_process_is_looked_in_first_and_gone_ones_do_no_harm)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;

	build("gcc -O1", "in.c", INLINES);
	id = identify(out);
	offset = offset_of(out, address_of(out, "outside"));
	cr_assert_eq(symbols_resolve(symbols, &id, getpid(), offset, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
	symbols_free(symbols);
	symbols = symbols_new();
	cr_assert_eq(symbols_resolve(symbols, &id, 0x3fffffff, offset, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
}

Test(symbols, a_file_that_comes_back_is_tried_again_for_another_process)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;

	build("gcc -O1", "in.c", INLINES);
	id = identify(out);
	offset = offset_of(out, address_of(out, "outside"));
	run("mv out away");
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 1);
	cr_expect_null(frames[0].symbol);
	run("mv away out");
	cr_assert_eq(symbols_resolve(symbols, &id, getpid(), offset, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "outer");
}

Test(symbols, what_is_no_file_has_no_names)
{
	static const char *const paths[] = { "[anon]", "[stack]", "", "/no/such/file", "/tmp",
					     "/etc/passwd" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct module_id id = { .path = paths[i] };
		const struct symbol_frame *frames;

		cr_assert_eq(symbols_resolve(symbols, &id, 0, 0x1234, &frames), 1);
		cr_expect_null(frames[0].symbol);
		cr_expect_eq(frames[0].address, 0x1234);
	}
	symbols_free(NULL);
}

Test(symbols, an_answer_stays_the_same_and_where_it_is)
{
	const struct symbol_frame *first, *again, *other;
	struct module_id id;
	uint64_t offset;

	build("gcc -g -O1", "in.c", INLINES);
	id = identify(out);
	offset = offset_of(out, address_of(out, "outside"));
	symbols_resolve(symbols, &id, 0, offset, &first);
	for (uint64_t i = 0; i < 500; i++)
		cr_assert_geq(symbols_resolve(symbols, &id, 0, i * 16, &other), 1);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &again), 1);
	cr_expect_eq(first, again);
	cr_expect_str_eq(first->symbol, "outer");
}

Test(symbols, libc_functions_have_their_names)
{
	const char *path = "/lib/x86_64-linux-gnu/libc.so.6";
	struct module_id id;
	struct allocator a;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		SKIP("no %s\n", path);
	id = identify(path);
	cr_assert_eq(allocator_read(fd, &a), 0);
	for (size_t i = 0; i < a.function_cnt; i++) {
		const struct symbol_frame *frames;
		int cnt = symbols_resolve(symbols, &id, 0, a.functions[i].file_offset, &frames);

		cr_assert_geq(cnt, 1);
		cr_assert(frames[cnt - 1].symbol, "no name for %s", a.functions[i].name);
		cr_expect(strstr(frames[cnt - 1].symbol, "alloc") ||
			  strstr(frames[cnt - 1].symbol, "align") ||
			  strstr(frames[cnt - 1].symbol, "free"), "%s", frames[cnt - 1].symbol);
	}
	allocator_fini(&a);
	close(fd);
}

/* ---- bad files ---------------------------------------------------------------------------------- */

static void resolve_some(void)
{
	struct symbols *fresh = symbols_new();
	struct module_id id = { .path = out };
	const struct symbol_frame *frames;

	for (uint64_t offset = 0x1000; offset < 0x1300; offset += 64)
		cr_assert_geq(symbols_resolve(fresh, &id, 0, offset, &frames), 1);
	symbols_free(fresh);
}

Test(symbols, a_file_cut_short_anywhere_is_survived)
{
	struct stat st;

	build("gcc -g -O1", "in.c", INLINES);
	cr_assert_eq(stat(out, &st), 0);
	for (off_t len = st.st_size; len > 0; len -= 331) {
		cr_assert_eq(truncate(out, len), 0);
		resolve_some();
	}
}

Test(symbols, a_file_with_changed_bytes_is_survived)
{
	uint32_t random = 5;
	struct stat st;
	int fd;

	build("gcc -g -O1", "in.c", INLINES);
	cr_assert_eq(stat(out, &st), 0);
	fd = open(out, O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		unsigned char was, byte = (random = random * 1664525 + 1013904223) >> 24;
		off_t at = random % (i % 2 ? st.st_size : 2048);

		cr_assert_eq(pread(fd, &was, 1, at), 1);
		cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
		resolve_some();
		cr_assert_eq(pwrite(fd, &was, 1, at), 1);
	}
	close(fd);
}
