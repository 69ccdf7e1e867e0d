// SPDX-License-Identifier: MIT
/* Names that are not in the file itself: mini debug info, separate debug files, files that are
 * gone. */
#include "symbol_stage.h"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "capture/vdso.h"
#include "capture/xz_size.h"

TestSuite(debug_files, .init = setup, .fini = teardown, .timeout = 120);

#define HIDDEN                                                 \
	"static __attribute__((noinline)) int hidden(int n)\n" \
	"{ __asm__ volatile(\"\"); return n * 7; }\n"          \
	"int exported(int n) { return hidden(n) + 1; }\n"

static const char *symbol_at(const struct module_id *id, uint64_t offset)
{
	const struct symbol_frame *frames;
	int cnt = symbols_resolve(symbols, id, 0, offset, &frames);

	cr_assert_geq(cnt, 1);
	return frames[cnt - 1].symbol;
}

static void expect_symbol(const struct module_id *id, uint64_t offset, const char *name)
{
	const char *got = symbol_at(id, offset);

	if (name)
		cr_expect(got && !strcmp(got, name), "%s, not %s", got, name);
	else
		cr_expect_null(got, "%s, not unknown", got);
}

static void forget(void)
{
	symbols_free(symbols);
	symbols = symbols_new();
	cr_assert(symbols);
}

/* ---- mini debug info ------------------------------------------------------------------------- */

static void need(const char *program)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	if (system(command))
		SKIP("no %s\n", program);
}

/* As Fedora's packages are made: the symbols that .dynsym has not, packed, in a section of the
 * file. */
static void make_mini_debug_info(const char *options)
{
	run("nm out --format=posix --defined-only | awk '$2 ~ /[tT]/ { print $1 }' >keep");
	run("objcopy -S --keep-symbols=keep out mini && xz %s mini", options);
	run("strip out && objcopy --add-section .gnu_debugdata=mini.xz out");
}

Test(debug_files, mini_debug_info_has_names_that_were_stripped)
{
	static const char *const options[] = { "", "--check=crc32", "--check=sha256 -9e",
					       "--block-size=4096" };
	struct module_id id;
	uint64_t hidden, exported;

	need("xz");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		build("gcc -O1 -shared -fPIC", "in.c", HIDDEN);
		hidden = offset_of(out, address_of(out, "hidden"));
		exported = offset_of(out, address_of(out, "exported"));
		make_mini_debug_info(options[i]);
		id = identify(out);
		forget();
		expect_symbol(&id, hidden, "hidden");
		expect_symbol(&id, exported, "exported");
		run("rm -f mini.xz");
	}
}

static size_t read_file(const char *name, uint8_t *data, size_t size)
{
	char path[160];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	cr_assert(f);
	len = fread(data, 1, size, f);
	fclose(f);
	return len;
}

Test(debug_files, what_an_xz_stream_unpacks_to_is_known_before)
{
	static uint8_t data[1 << 20];
	size_t len;

	need("xz");
	run("head -c 300000000 /dev/zero | xz -0 >zeros");
	len = read_file("zeros", data, sizeof(data));
	cr_expect_eq(xz_size(data, len), 300000000);
	run("head -c 700000 /dev/urandom | xz -0 --block-size=100000 --check=sha256 >noise");
	len = read_file("noise", data, sizeof(data));
	cr_expect_eq(xz_size(data, len), 700000);
	for (size_t cut = 0; cut + 64 < len; cut += 997)
		cr_expect_eq(xz_size(data, cut), UINT64_MAX, "of %zu bytes", cut);
	run("printf '' | xz >nothing");
	cr_expect_eq(xz_size(data, read_file("nothing", data, sizeof(data))), 0);
	cr_expect_eq(xz_size((const uint8_t *)"no xz stream", 12), UINT64_MAX);
}

Test(debug_files, mini_debug_info_that_unpacks_to_far_too_much_is_not_unpacked)
{
	struct module_id id;
	uint64_t exported;

	need("xz");
	build("gcc -O1 -shared -fPIC", "in.c", HIDDEN);
	exported = offset_of(out, address_of(out, "exported"));
	run("head -c 400000000 /dev/zero | xz -0 >bomb");
	run("strip out && objcopy --add-section .gnu_debugdata=bomb out");
	id = identify(out);
	expect_symbol(&id, exported, NULL);
}

Test(debug_files, broken_mini_debug_info_is_survived)
{
	struct module_id id;
	uint64_t exported;
	uint32_t random = 9;

	need("xz");
	build("gcc -O1 -shared -fPIC", "in.c", HIDDEN);
	exported = offset_of(out, address_of(out, "exported"));
	run("cp out whole");
	make_mini_debug_info("--check=none");
	for (int i = 0; i < 60; i++) {
		random = random * 1664525 + 1013904223;
		run("cp mini.xz bad.xz && printf '\\%o' | dd of=bad.xz bs=1 seek=%u conv=notrunc "
		    "2>/dev/null",
		    random >> 24, (random >> 8) % 700);
		run("strip -o out whole && objcopy --add-section .gnu_debugdata=bad.xz out");
		id = identify(out);
		forget();
		(void)symbol_at(&id, exported);
	}
	/* and what is packed may be wrong itself: a table of entries without size */
	run("objcopy -S --keep-symbols=keep whole mini");
	run("python3 - <<'END'\n"
	    "import struct\n"
	    "d = bytearray(open('mini', 'rb').read())\n"
	    "shoff, = struct.unpack_from('<Q', d, 40)\n"
	    "n, = struct.unpack_from('<H', d, 60)\n"
	    "for i in range(n):\n"
	    "    at = shoff + 64 * i\n"
	    "    if struct.unpack_from('<I', d, at + 4)[0] == 2:\n"
	    "        struct.pack_into('<Q', d, at + 56, 0)\n"
	    "open('mini', 'wb').write(d)\n"
	    "END\n");
	run("rm -f mini.xz && xz mini && strip -o out whole && objcopy --add-section "
	    ".gnu_debugdata=mini.xz out");
	id = identify(out);
	forget();
	(void)symbol_at(&id, exported);
}

/* ---- separate debug files -------------------------------------------------------------------- */

Test(debug_files, by_build_id_below_usr_lib_debug)
{
	const char *path = "/lib/x86_64-linux-gnu/libc.so.6";
	char command[512], hex[65] = "";
	unsigned long address = 0;
	struct module_id id;
	FILE *f;

	if (access(path, R_OK))
		SKIP("no %s\n", path);
	id = identify(path);
	for (uint32_t i = 0; i < id.build_id_len; i++)
		sprintf(hex + 2 * i, "%02x", id.build_id[i]);
	/* a function that the file itself has no name of */
	snprintf(command, sizeof(command),
		 "nm /usr/lib/debug/.build-id/%.2s/%s.debug 2>/dev/null | "
		 "awk '$2 == \"t\" && $3 == \"_int_malloc\" { print $1 }'",
		 hex, hex + 2);
	f = popen(command, "r");
	cr_assert(f);
	if (fscanf(f, "%lx", &address) != 1) {
		pclose(f);
		SKIP("no debug file of %s\n", path);
	}
	pclose(f);
	expect_symbol(&id, offset_of(path, address), "_int_malloc");
	id.build_id[0] ^= 1;
	forget();
	expect_symbol(&id, offset_of(path, address), NULL);
}

static uint64_t build_with_link(const char *options, const char *place)
{
	uint64_t hidden;

	build(options, "in.c", HIDDEN);
	hidden = offset_of(out, address_of(out, "hidden"));
	run("objcopy --only-keep-debug out out.debug && strip out && "
	    "objcopy --add-gnu-debuglink=out.debug out && mkdir -p %s && mv out.debug "
	    "%s/out.debug.tmp && "
	    "mv %s/out.debug.tmp %s/out.debug",
	    place, place, place, place);
	return hidden;
}

Test(debug_files, by_link_beside_the_file_or_in_a_directory_there)
{
	static const char *const places[] = { ".", ".debug" };
	struct module_id id;
	uint64_t hidden;

	for (size_t i = 0; i < 2; i++) {
		hidden = build_with_link("gcc -g -O1 -shared -fPIC", places[i]);
		id = identify(out);
		forget();
		expect_symbol(&id, hidden, "hidden");
		run("rm -rf .debug out.debug");
	}
}

Test(debug_files, a_file_without_build_id_takes_the_debug_file_with_the_right_checksum)
{
	struct module_id id;
	uint64_t hidden;

	hidden = build_with_link("gcc -g -O1 -shared -fPIC -Wl,--build-id=none", ".");
	id = identify(out);
	cr_assert_eq(id.build_id_len, 0);
	expect_symbol(&id, hidden, "hidden");
	run("printf x >>out.debug"); /* still an ELF file, and another one */
	forget();
	expect_symbol(&id, hidden, NULL);
}

Test(debug_files, nothing_is_taken_by_a_name_that_is_a_guess)
{
	struct module_id id;
	uint64_t hidden;

	build("gcc -g -O1 -shared -fPIC -Wl,--build-id=none", "in.c", HIDDEN);
	hidden = offset_of(out, address_of(out, "hidden"));
	run("objcopy --only-keep-debug out out.debug && strip out");
	id = identify(out);
	expect_symbol(&id, hidden, NULL);
}

Test(debug_files, a_pipe_by_the_name_of_a_debug_file_holds_nobody_up)
{
	static const char *const options[] = { "gcc -g -O1 -shared -fPIC",
					       "gcc -g -O1 -shared -fPIC -Wl,--build-id=none" };
	struct module_id id;
	uint64_t hidden;

	for (size_t i = 0; i < 2; i++) {
		hidden = build_with_link(options[i], ".");
		run("rm out.debug && mkfifo out.debug && mkdir .debug && mkfifo .debug/out.debug");
		id = identify(out);
		forget();
		expect_symbol(&id, hidden, NULL);
		run("rm -rf .debug out.debug");
	}
}

Test(debug_files, what_debug_files_share_is_found)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t inside;

	need("dwz");
	build("g++ -g -O1", "in.cc",
	      "#include <map>\n#include <string>\nint main(int c, char **v) { "
	      "std::map<std::string, int> m; "
	      "m[v[0]] = c; asm volatile(\"inside:\\n nop\"); return m.size(); }\n");
	inside = offset_of(out, address_of(out, "inside"));
	run("objcopy --only-keep-debug out one.debug && cp one.debug two.debug && "
	    "dwz -m shared.debug -M ./shared.debug one.debug two.debug && strip out && "
	    "objcopy --add-gnu-debuglink=one.debug out");
	id = identify(out);
	cr_assert_geq(symbols_resolve(symbols, &id, 0, inside, &frames), 1);
	cr_expect_str_eq(frames[0].symbol, "main");
	cr_expect(frames[0].file && strstr(frames[0].file, "in.cc"), "%s", frames[0].file);
	cr_expect_eq(frames[0].line, 3);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Sections of gigabytes in a file of a few blocks. */
static void make_sparse(const char *section)
{
	if (!strcmp(section, ".gnu_debugdata"))
		run("objcopy --add-section %s=in.c out", section);
	run("python3 - <<'END'\n"
	    "import struct\n"
	    "f = open('out', 'r+b')\n"
	    "h = f.read(64)\n"
	    "shoff, = struct.unpack_from('<Q', h, 40)\n"
	    "n, strndx = struct.unpack_from('<HH', h, 60)\n"
	    "f.seek(shoff)\n"
	    "t = bytearray(f.read(64 * n))\n"
	    "off, size = struct.unpack_from('<QQ', t, 64 * strndx + 24)\n"
	    "f.seek(off)\n"
	    "names = f.read(size)\n"
	    "for i in range(n):\n"
	    "    name, kind = struct.unpack_from('<II', t, 64 * i)\n"
	    "    if names[name:names.index(b'\\0', name)] == b'%s':\n"
	    "        struct.pack_into('<QQ', t, 64 * i + 24, 1 << 20, (1 << 32) - (1 << 20))\n"
	    "f.seek(shoff)\n"
	    "f.write(t)\n"
	    "f.truncate(1 << 32)\n"
	    "END\n",
	    section);
}

Test(debug_files, a_sparse_file_of_four_gigabytes_is_not_read)
{
	static const char *const sections[] = { ".debug_info",	  ".symtab", ".debug_line",
						".debug_aranges", ".strtab", ".gnu_debugdata" };
	struct module_id id;
	uint64_t offset;

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		build("gcc -g -O1", "in.c", INLINES);
		offset = offset_of(out, address_of(out, "outside"));
		make_sparse(sections[i]);
		id = identify(out);
		forget();
		expect_symbol(&id, offset, NULL);
	}
}

Test(debug_files, packed_debug_information_is_read_and_a_bomb_is_not)
{
	const struct symbol_frame *frames;
	struct module_id id;
	uint64_t offset;

	build("gcc -g -O1 -gz", "in.c", INLINES);
	offset = offset_of(out, address_of(out, "inside"));
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset, &frames), 3);
	cr_expect_str_eq(frames[0].symbol, "leaf");
	cr_expect_eq(frames[0].line, 5);

	build("gcc -g -O1", "in.c", INLINES);
	run("head -c 300000000 /dev/zero >zeros && objcopy --update-section .debug_line=zeros out "
	    "large && "
	    "objcopy --compress-debug-sections=zlib-gabi large out && rm zeros large");
	id = identify(out);
	forget();
	expect_symbol(&id, offset, NULL);
}

/* ---- where files are ------------------------------------------------------------------------- */

static const void *map_code(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const void *page =
		mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, offset & ~4095ULL);

	cr_assert_neq(page, MAP_FAILED);
	close(fd);
	return page;
}

/* The range of this process's own map that holds an address. */
static struct modules own_maps(struct module_table *table)
{
	static char text[1 << 20];
	struct modules modules = {};
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += got;
	text[len] = 0;
	close(fd);
	cr_assert_gt(modules_parse_maps(&modules, table, text, 1), 0);
	return modules;
}

static void expect_name_in_own_map(const void *page, uint64_t offset, const char *name)
{
	struct module_table *table = module_table_new();
	struct modules modules = own_maps(table);
	const struct module_range *range = modules_find(&modules, (uintptr_t)page);
	const struct symbol_frame *frames;
	const char *got;

	cr_assert(range);
	symbols_meet(symbols, range, getpid());
	cr_assert_eq(symbols_resolve(symbols, &range->module->id, getpid(), offset, &frames), 1);
	got = frames[0].symbol;
	if (name)
		cr_expect(got && !strcmp(got, name), "%s, not %s", got, name);
	else
		cr_expect_null(got, "%s, not unknown", got);
	modules_fini(&modules);
	module_table_free(table);
}

static bool may_open_map_files(void)
{
	return !geteuid(); /* the kernel wants CAP_SYS_ADMIN, or CAP_CHECKPOINT_RESTORE, for it */
}

Test(debug_files, a_mapped_file_that_was_deleted_and_replaced_keeps_its_names)
{
	static const char *const options[] = { "gcc -O1 -shared -fPIC",
					       "gcc -O1 -shared -fPIC -Wl,--build-id=none" };
	uint64_t offset;

	for (size_t i = 0; i < 2; i++) {
		const void *page;

		build(options[i], "in.c", HIDDEN);
		offset = offset_of(out, address_of(out, "hidden"));
		page = map_code(out, offset);
		cr_assert_eq(unlink(out), 0);
		build(options[i], "in.c",
		      "int other(int n) { return n; }\n"
		      "int another(int n) { return n + 1; }\n"
		      "int more(int n) { return n * n; }\n");
		forget();
		expect_name_in_own_map(page, offset, may_open_map_files() ? "hidden" : NULL);
	}
}

Test(debug_files, a_file_in_memory_has_names_too)
{
	static char data[1 << 20];
	int fd = memfd_create("code", MFD_CLOEXEC);
	uint64_t offset;
	const void *page;
	size_t len;

	if (!may_open_map_files())
		SKIP("only root may open what is mapped\n");
	build("gcc -O1 -shared -fPIC", "in.c", HIDDEN);
	offset = offset_of(out, address_of(out, "hidden"));
	len = read_file("out", (uint8_t *)data, sizeof(data));
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, offset & ~4095ULL);
	cr_assert_neq(page, MAP_FAILED);
	close(fd);
	expect_name_in_own_map(page, offset, "hidden");
}

Test(debug_files, what_was_met_in_a_process_is_kept_when_both_are_gone)
{
	struct module_table *table = module_table_new();
	const struct symbol_frame *frames;
	const struct module_range *range;
	struct modules modules;
	uint64_t offset;
	const void *page;

	if (!may_open_map_files())
		SKIP("only root may open what is mapped\n");
	build("gcc -O1 -shared -fPIC", "in.c", HIDDEN);
	offset = offset_of(out, address_of(out, "hidden"));
	page = map_code(out, offset);
	modules = own_maps(table);
	range = modules_find(&modules, (uintptr_t)page);
	cr_assert(range);
	symbols_meet(symbols, range, getpid());
	cr_assert_eq(unlink(out), 0);
	cr_assert_eq(munmap((void *)page, 4096), 0);
	cr_assert_eq(symbols_resolve(symbols, &range->module->id, 0x3fffffff, offset, &frames), 1);
	cr_expect(frames[0].symbol && !strcmp(frames[0].symbol, "hidden"), "%s", frames[0].symbol);
	modules_fini(&modules);
	module_table_free(table);
}

Test(debug_files, the_kernels_own_code_has_its_names)
{
	void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	struct module_id id = { .path = "[vdso]" };
	uintptr_t start = getauxval(AT_SYSINFO_EHDR);
	void *function = vdso ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
	const char *got;

	if (!start || !function)
		SKIP("no vdso\n");
	got = symbol_at(&id, (uintptr_t)function - start + 1);
	cr_expect(got && strstr(got, "clock_gettime"), "%s", got);
}

/* ---- other languages ------------------------------------------------------------------------- */

Test(debug_files, functions_within_functions_have_their_inlined_ones)
{
	const struct symbol_frame *frames;
	struct module_id id;

	need("g++");
	build("g++ -g -O2", "in.cc",
	      "#include <algorithm>\n#include <vector>\nstatic volatile int sink;\n"
	      "static inline __attribute__((always_inline)) void leaf(int n)\n"
	      "{ sink += n; asm volatile(\"inside:\\n nop\"); }\n"
	      "template <typename F> __attribute__((noinline)) void each(std::vector<int> &v, F "
	      "f)\n"
	      "{ for (int n : v) f(n); }\n"
	      "int main(int c, char **)\n{\n\tstd::vector<int> v(c);\n"
	      "\tauto f = [&](int n) __attribute__((noinline)) {\n"
	      "\t\tstruct local { static inline void call(int n) { leaf(n); } };\n"
	      "\t\tlocal::call(n);\n\t};\n"
	      "\teach(v, f);\n}\n");
	id = identify(out);
	cr_assert_eq(symbols_resolve(symbols, &id, 0, offset_of(out, address_of(out, "inside")),
				     &frames),
		     3);
	/* without a linkage name of its own it has its plain one */
	cr_expect(!strncmp(frames[0].symbol, "leaf", 4), "%s", frames[0].symbol);
	cr_expect_eq(frames[0].line, 5);
	cr_expect(strstr(frames[1].symbol, "call"), "%s", frames[1].symbol);
	cr_expect_eq(frames[1].line, 12);
	cr_expect(frames[1].inlined);
	cr_expect(strstr(frames[2].symbol, "lambda"), "%s", frames[2].symbol);
	cr_expect_eq(frames[2].line, 13);
	cr_expect_not(frames[2].inlined);
}

Test(debug_files, rust_functions_and_what_is_inlined_in_them)
{
	static const char *const schemes[] = { "", "-C symbol-mangling-version=v0" };
	const struct symbol_frame *frames;
	struct module_id id;
	char path[160];
	FILE *f;

	need("rustc");
	snprintf(path, sizeof(path), "%s/in.rs", dir);
	f = fopen(path, "w");
	cr_assert(f);
	fputs("#![allow(named_asm_labels)] mod heap {\n"
	      "    #[inline(always)]\n"
	      "    pub fn leaf(n: usize) -> usize {\n"
	      "        unsafe { std::arch::asm!(\"inside_rust: nop\") }; n * 3\n"
	      "    }\n"
	      "    #[inline(never)]\n"
	      "    pub fn grow(n: usize) -> usize {\n"
	      "        leaf(n + 1)\n"
	      "    }\n"
	      "}\n"
	      "fn main() { std::process::exit(heap::grow(std::env::args().count()) as i32) }\n",
	      f);
	fclose(f);
	for (size_t i = 0; i < 2; i++) {
		run("rustc -g -O %s --crate-name app -o out in.rs 2>/dev/null", schemes[i]);
		id = identify(out);
		forget();
		cr_assert_eq(symbols_resolve(symbols, &id, 0,
					     offset_of(out, address_of(out, "inside_rust")),
					     &frames),
			     2);
		cr_expect_str_eq(frames[0].symbol, "app::heap::leaf");
		cr_expect_eq(frames[0].line, 4);
		cr_expect(frames[0].inlined);
		cr_expect_str_eq(frames[1].symbol, "app::heap::grow");
		cr_expect_eq(frames[1].line, 8);
	}
}
