// SPDX-License-Identifier: MIT
#include "capture/allocator.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/elf_bounds.h"
#include "capture/elf_file.h"
#include "capture/family.h"
#include "capture/forward.h"

/* Far more than the family has; a symbol table that repeats it for ever ends here. */
#define FUNCTIONS_MAX 512
/* A symbol table larger than this is not read. */
#define SYMTAB_MAX (1ULL << 30)

/* A function while the list is made. */
struct candidate {
	const struct family_name *name;
	struct allocator_function function;
	bool is_local; /* known by a file-local symbol only */
};

struct reader {
	struct elf_file file;
	struct candidate *found;
	size_t found_cnt;
	struct elf_segment text; /* of the first function */
	struct allocator *out;
	bool is_executable;
	bool has_symtab;
	bool is_loader;
};

/* ---- what kind of file ------------------------------------------------------------------------- */

static void read_build_id(struct reader *r)
{
	const void *bits = NULL;
	ssize_t len = dwelf_elf_gnu_build_id(r->file.elf, &bits);

	if (len <= 0 || len > ALLOCATOR_BUILD_ID_MAX)
		return;
	memcpy(r->out->build_id, bits, len);
	r->out->build_id_len = len;
}

static bool section_is_go(const char *name)
{
	return !strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid");
}

/* "ld-linux-x86-64.so.2": not musl's ld-musl, which is the libc too. */
static void read_soname(struct reader *r, const GElf_Shdr *shdr, const GElf_Dyn *dyn)
{
	const char *soname = elf_strptr(r->file.elf, shdr->sh_link, dyn->d_un.d_val);

	if (soname && !strncmp(soname, "ld-linux", strlen("ld-linux")))
		r->is_loader = true;
}

/* Tells position-independent executables from libraries, which are both ET_DYN. */
static bool read_dynamic(struct reader *r, Elf_Scn *section, const GElf_Shdr *shdr)
{
	Elf_Data *data = elf_getdata(section, NULL);
	bool pie = false;

	for (size_t i = 0; data && i < data->d_size / sizeof(Elf64_Dyn); i++) {
		GElf_Dyn dyn;

		if (!gelf_getdyn(data, i, &dyn) || dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag == DT_FLAGS_1 && (dyn.d_un.d_val & DF_1_PIE))
			pie = true;
		if (dyn.d_tag == DT_SONAME)
			read_soname(r, shdr, &dyn);
	}
	return pie;
}

static void read_kind(struct reader *r)
{
	bool has_interp = r->file.interp.p_type == PT_INTERP, pie = false;
	Elf *elf = r->file.elf;
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		names = SHN_UNDEF;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr shdr;
		const char *name;

		if (!gelf_getshdr(section, &shdr))
			continue;
		name = names ? elf_strptr(elf, names, shdr.sh_name) : NULL;
		if (name && section_is_go(name))
			r->out->is_go = true;
		if (shdr.sh_type == SHT_DYNAMIC)
			pie |= read_dynamic(r, section, &shdr);
		if (shdr.sh_type == SHT_SYMTAB)
			r->has_symtab = true;
	}
	/* libc.so.6 has an interpreter too, so that it can be run */
	r->is_executable = r->file.ehdr.e_type == ET_EXEC || pie;
	r->out->is_executable = r->is_executable;
	r->out->is_static = r->is_executable && !has_interp;
}

/* ---- symbols ------------------------------------------------------------------------------------ */

/* Two names of one function: the better known name, and a kind that fits it. */
static void join(struct candidate *have, const struct family_name *name, uint64_t size)
{
	if (size > have->function.size)
		have->function.size = size;
	if (name->rank >= have->name->rank)
		return;
	have->name = name;
	have->function.name = name->name;
	have->function.call = name->call;
}

static int add(struct reader *r, const struct family_name *name, const GElf_Sym *symbol,
	       bool is_local)
{
	const struct elf_segment *segment = elf_file_segment(&r->file, symbol->st_value);
	struct candidate *more;
	uint64_t offset;

	if (!segment || !segment->executable)
		return 0;
	offset = symbol->st_value - segment->vaddr + segment->file_offset;
	for (size_t i = 0; i < r->found_cnt; i++)
		if (r->found[i].function.file_offset == offset) {
			join(&r->found[i], name, symbol->st_size);
			return 0;
		}
	if (r->found_cnt == FUNCTIONS_MAX)
		return 0;
	more = reallocarray(r->found, r->found_cnt + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->found = more;
	r->text = *segment;
	r->found[r->found_cnt++] = (struct candidate){
		.name = name,
		.is_local = is_local,
		.function = {
			.name = name->name,
			.call = name->call,
			.file_offset = offset,
			.vaddr = symbol->st_value,
			.size = symbol->st_size,
		},
	};
	return 0;
}

/*
 * Linking can make the real thing local: malloc (but not free) in a static-pie glibc program, all
 * of _rjem_* in a Rust one. Elsewhere a local free() is somebody's private function.
 */
static bool local_is_meant(const struct reader *r, const struct family_name *name)
{
	return name->group == FAMILY_EXTRA || (name->group == FAMILY_C && r->out->is_static);
}

static int add_symbol(struct reader *r, const char *text, const GElf_Sym *symbol)
{
	int type = GELF_ST_TYPE(symbol->st_info);
	bool is_local = GELF_ST_BIND(symbol->st_info) == STB_LOCAL;
	const struct family_name *name;

	if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC))
		return 0;
	name = text ? family_find(text) : NULL;
	if (!name || (is_local && !local_is_meant(r, name)))
		return 0;
	if (type == STT_GNU_IFUNC) {
		r->out->ifunc_cnt++;
		return 0;
	}
	return add(r, name, symbol, is_local);
}

static int read_table(struct reader *r, Elf_Scn *section, const GElf_Shdr *shdr)
{
	Elf_Data *data = shdr->sh_size <= SYMTAB_MAX ? elf_getdata(section, NULL) : NULL;
	size_t cnt = data ? data->d_size / sizeof(Elf64_Sym) : 0;
	int err = 0;

	for (size_t i = 0; !err && i < cnt; i++) {
		GElf_Sym symbol;

		if (!gelf_getsym(data, i, &symbol))
			break;
		err = add_symbol(r, elf_strptr(r->file.elf, shdr->sh_link, symbol.st_name),
				 &symbol);
	}
	return err;
}

static int read_symbols(struct reader *r, uint32_t type)
{
	Elf_Scn *section = NULL;
	int err = 0;

	while (!err && (section = elf_nextscn(r->file.elf, section))) {
		GElf_Shdr shdr;

		if (gelf_getshdr(section, &shdr) && shdr.sh_type == type)
			err = read_table(r, section, &shdr);
	}
	return err;
}

/* ---- which of them are probed -------------------------------------------------------------------- */

static bool defines(const struct reader *r, enum family_group group)
{
	for (size_t i = 0; i < r->found_cnt; i++)
		if (r->found[i].name->group == group)
			return true;
	return false;
}

static bool defines_c_malloc(const struct reader *r)
{
	for (size_t i = 0; i < r->found_cnt; i++)
		if (r->found[i].name->group != FAMILY_CXX &&
		    family_call_allocates(r->found[i].function.call))
			return true;
	return false;
}

/* A local function with a name that another one has as well: no telling which is meant. */
static bool is_ambiguous(const struct reader *r, const struct candidate *c)
{
	for (size_t i = 0; c->is_local && i < r->found_cnt; i++)
		if (&r->found[i] != c && r->found[i].name == c->name)
			return true;
	return false;
}

/*
 * What to do with a function that passes calls on. A static C++ program has libstdc++'s operators
 * and the libc's malloc in one file: its operator new is left out like the one of libstdc++.so.
 */
static bool is_kept(const struct reader *r, const struct candidate *c, enum forward forward)
{
	bool cxx = c->name->group == FAMILY_CXX;

	if (forward == FORWARD_ALWAYS || is_ambiguous(r, c) || (cxx && !defines_c_malloc(r)))
		return false;
	return !(cxx && forward == FORWARD_MAYBE && r->out->is_static && !defines(r, FAMILY_EXTRA));
}

static int compare_offsets(const void *a, const void *b)
{
	uint64_t x = ((const struct allocator_function *)a)->file_offset;
	uint64_t y = ((const struct allocator_function *)b)->file_offset;

	return x < y ? -1 : x > y;
}

static int choose(struct reader *r)
{
	struct allocator *out = r->out;
	bool allocates = false, frees = false;
	enum forward *forwards;
	int err;

	out->functions = calloc(r->found_cnt + 1, sizeof(*out->functions));
	forwards = calloc(r->found_cnt + 1, sizeof(*forwards));
	if (!out->functions || !forwards) {
		free(forwards);
		return -ENOMEM;
	}
	for (size_t i = 0; i < r->found_cnt; i++)
		out->functions[i] = r->found[i].function;
	err = forward_find(&r->file, out->functions, r->found_cnt, forwards);
	for (size_t i = 0; !err && i < r->found_cnt; i++) {
		struct allocator_function function = r->found[i].function;

		if (!is_kept(r, &r->found[i], forwards[i]))
			continue;
		if (forwards[i] == FORWARD_MAYBE && function.call == MT_CALL_FREE)
			function.call = MT_CALL_FREE_SIZED;
		allocates |= family_call_allocates(function.call);
		frees |= family_call_frees(function.call);
		out->functions[out->function_cnt++] = function;
	}
	free(forwards);
	qsort(out->functions, out->function_cnt, sizeof(*out->functions), compare_offsets);
	out->is_allocator = allocates && frees && !r->is_loader;
	return err;
}

static enum allocator_why why_none(const struct reader *r)
{
	if (r->out->is_allocator)
		return ALLOCATOR_FOUND;
	if (r->is_loader)
		return ALLOCATOR_LOADER;
	if (r->out->is_static && !r->has_symtab)
		return ALLOCATOR_NO_SYMBOLS;
	return ALLOCATOR_NONE_DEFINED;
}

static int read_file(struct reader *r)
{
	int err;

	read_build_id(r);
	read_kind(r);
	err = read_symbols(r, SHT_DYNSYM);
	/* an executable may have an allocator of its own that it does not export */
	if (!err && r->is_executable)
		err = read_symbols(r, SHT_SYMTAB);
	if (!err)
		err = choose(r);
	if (err)
		return err;
	r->out->text = (struct allocator_text){ r->text.file_offset, r->text.vaddr,
						r->text.file_size };
	r->out->why = why_none(r);
	return 0;
}

int allocator_read(int fd, struct allocator *out)
{
	static const enum allocator_why whys[] = {
		[ELF_FILE_OK] = ALLOCATOR_FOUND,
		[ELF_FILE_NOT_ELF] = ALLOCATOR_NOT_ELF,
		[ELF_FILE_32BIT] = ALLOCATOR_32BIT,
		[ELF_FILE_MACHINE] = ALLOCATOR_OTHER_MACHINE,
		[ELF_FILE_BROKEN] = ALLOCATOR_BROKEN,
	};
	struct reader r = { .out = out };
	enum elf_file_error why;
	int err;

	*out = (struct allocator){ 0 };
	err = elf_file_open(&r.file, fd, &why);
	if (err) {
		out->why = whys[why];
		return err;
	}
	err = elf_bounds_are_fair(fd, false) ? read_file(&r) : -ENOEXEC;
	if (err == -ENOEXEC)
		out->why = ALLOCATOR_BROKEN;
	free(r.found);
	elf_file_close(&r.file);
	if (err)
		allocator_fini(out);
	return err;
}

void allocator_fini(struct allocator *allocator)
{
	free(allocator->functions);
	allocator->functions = NULL;
	allocator->function_cnt = 0;
}

const char *allocator_why_text(enum allocator_why why)
{
	switch (why) {
	case ALLOCATOR_FOUND:
		return "is an allocator";
	case ALLOCATOR_NOT_ELF:
		return "is not an ELF file";
	case ALLOCATOR_32BIT:
		return "is a 32-bit program, and only 64-bit ones can be traced";
	case ALLOCATOR_OTHER_MACHINE:
		return "is for another kind of processor";
	case ALLOCATOR_BROKEN:
		return "is a broken ELF file";
	case ALLOCATOR_LOADER:
		return "is the dynamic linker, whose malloc serves only itself";
	case ALLOCATOR_NO_SYMBOLS:
		return "is statically linked and stripped, so its malloc cannot be found";
	case ALLOCATOR_NONE_DEFINED:
		return "defines no malloc of its own";
	}
	return "cannot be read";
}
