// SPDX-License-Identifier: MIT
#include "capture/foreign.h"

#include <gelf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "capture/deps.h"
#include "capture/elf_file.h"
#include "capture/family.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with)
{
	size_t len = strlen(text), tail = strlen(with);

	return len >= tail && !strcmp(text + len - tail, with);
}

/* ---- by name: what translates the code of others
 * -------------------------------------------------- */

/* valgrind's tools are memcheck-amd64-linux and the like. */
bool foreign_translates(const char *path)
{
	static const char *const names[] = { "rr", "pin", "pinbin", "drrun", "valgrind.bin" };
	const char *name = base_name(path);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return (begins(name, "qemu-") && !begins(name, "qemu-system-")) ||
	       (strstr(path, "/valgrind/") && ends(name, "-linux"));
}

/* valgrind's launcher may have the library: it hands on its environment, but its tools read what
 * they load. */
static const char *translator(const char *path)
{
	return foreign_translates(path) && strcmp(base_name(path), "valgrind.bin")
		       ? "runs programs by reading their code, where it would meet the probes"
		       : NULL;
}

/* ---- by libraries
 * ---------------------------------------------------------------------------------- */

static const char *library(const char *path)
{
	static const char *const runtimes[] = { "libasan.so", "libtsan.so", "liblsan.so",
						"libhwasan.so" };
	static const char *const clangs[] = { "asan", "tsan", "lsan", "hwasan", "msan" };
	const char *name = base_name(path);

	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		if (begins(name, runtimes[i]))
			return "has a sanitizer, whose library must be the first";
	for (size_t i = 0; begins(name, "libclang_rt.") && i < sizeof(clangs) / sizeof(clangs[0]);
	     i++)
		if (begins(name + strlen("libclang_rt."), clangs[i]))
			return "has a sanitizer, whose library must be the first";
	return begins(name, "libc_malloc_debug.so")
		       ? "has glibc's debugging malloc, which must be the first"
		       : NULL;
}

/* ---- by what it is made of
 * ------------------------------------------------------------------------- */

/* What sanitizers that are linked into the program itself export. */
static bool is_runtime(const char *symbol)
{
	static const char *const names[] = { "__asan_init", "__tsan_init", "__msan_init",
					     "__hwasan_init", "__lsan_do_leak_check" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(symbol, names[i]))
			return true;
	return false;
}

/* Of its allocator it calls functions that the library does not wrap (jemalloc's mallocx and the like): blocks
 * would come, or go, unseen. */
static bool is_extra(const char *symbol)
{
	const struct family_name *name = family_find(symbol);

	return name && name->group == FAMILY_EXTRA;
}

/* Why not, by the program's dynamic symbols. */
static const char *symbols(const struct elf_file *file)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(file->elf, scn))) {
		Elf_Data *data;
		GElf_Shdr shdr;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_DYNSYM)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &sym); i++) {
			const char *name = elf_strptr(file->elf, shdr.sh_link, sym.st_name);

			if (name && sym.st_shndx != SHN_UNDEF && is_runtime(name))
				return "has a sanitizer in it, which must be the first to be called";
			if (name && sym.st_shndx == SHN_UNDEF && is_extra(name))
				return "calls functions that its allocator alone has (mallocx and the like)";
		}
	}
	return NULL;
}

/* One that has a linker of its own kind: that one would say that it cannot load the library. */
static bool is_dynamic_32bit(int fd)
{
	Elf32_Ehdr ehdr;
	Elf32_Phdr phdr;

	if (elf_file_read_at(fd, 0, &ehdr, sizeof(ehdr)) < sizeof(ehdr))
		return false;
	for (int i = 0; i < ehdr.e_phnum && i < ELF_FILE_SEGMENTS; i++)
		if (elf_file_read_at(fd, ehdr.e_phoff + i * sizeof(phdr), &phdr, sizeof(phdr)) ==
			    sizeof(phdr) &&
		    phdr.p_type == PT_INTERP)
			return true;
	return false;
}

static const char *executable(const char *root, const char *path)
{
	int fd = deps_open(root, path);
	enum elf_file_error why;
	const char *is = NULL;
	struct elf_file file;

	if (fd < 0)
		return NULL;
	if (!elf_file_open(&file, fd, &why)) {
		is = symbols(&file);
		elf_file_close(&file);
	} else if (why == ELF_FILE_32BIT) {
		is = is_dynamic_32bit(fd) ? "is a 32-bit program" : NULL;
	} else if (why == ELF_FILE_MACHINE) {
		is = "is no program for this machine";
	}
	close(fd);
	return is;
}

const char *foreign_program(const char *root, const char *exe, const char *ld_preload)
{
	struct deps_request request = { .root = root, .exe = exe, .ld_preload = ld_preload };
	const char *why = translator(exe);
	struct deps deps;

	if (why)
		return why;
	if (deps_resolve(&request, &deps))
		return executable(root, exe);
	why = translator(deps.list[0].path);
	if (!why)
		why = executable(root, deps.list[0].path);
	for (size_t i = 1; !why && i < deps.cnt; i++)
		why = library(deps.list[i].path);
	for (size_t i = 0; !why && i < deps.missing_cnt; i++)
		why = library(deps.missing[i]);
	deps_fini(&deps);
	return why;
}
