// SPDX-License-Identifier: MIT
#include "capture/symbol_file.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/debug_file.h"
#include "capture/debug_server.h"
#include "capture/demangle.h"
#include "capture/dwarf_index.h"
#include "capture/elf_bounds.h"
#include "capture/elf_file.h"
#include "capture/symbol_index.h"

/* Names longer than this are cut: a template can have a name of megabytes. */
#define NAME_MAX_LEN 4096

struct symbol_file {
	struct elf_file elf; /* for segments only; closed after opening */
	Dwfl *dwfl;
	Dwfl_Module *module;
	struct dwarf_index *dwarf;
	struct debug_file_search search;
	struct symbol_index symbols; /* made when first needed */
	bool has_symbols;
};

/* ---- what libdwfl asks ----------------------------------------------------------------------- */

static int find_debuginfo(Dwfl_Module *mod, void **data, const char *module_name, Dwarf_Addr base,
			  const char *path, const char *link, GElf_Word crc, char **name)
{
	struct symbol_file *f = *data;

	(void)module_name, (void)base;
	return f ? debug_file_find(&f->search, mod, path, link, crc, name) : -1;
}

static int find_elf(Dwfl_Module *mod, void **data, const char *module_name, Dwarf_Addr base,
		    char **name, Elf **elf)
{
	(void)mod, (void)data, (void)module_name, (void)base, (void)name, (void)elf;
	return -1; /* the file was given when the module was reported */
}

/* ---- open and close -------------------------------------------------------------------------- */

static int check_build_id(const struct elf_file *elf, const uint8_t *build_id, size_t len)
{
	const void *bits = NULL;
	ssize_t have;

	if (!len)
		return 0;
	have = dwelf_elf_gnu_build_id(elf->elf, &bits);
	return have == (ssize_t)len && !memcmp(bits, build_id, len) ? 0 : -ESTALE;
}

static int report(struct symbol_file *f, int fd, const char *path)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_elf,
		.find_debuginfo = find_debuginfo,
	};
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	void **data = NULL;

	if (own >= 0)
		own = elf_bounds_own(own);
	if (own < 0)
		return -ENOEXEC;
	f->dwfl = dwfl_begin(&callbacks);
	if (!f->dwfl) {
		close(own);
		return -ENOMEM;
	}
	dwfl_report_begin(f->dwfl);
	/* bias 0: addresses are the file's own; the module takes the fd when it succeeds */
	f->module = dwfl_report_elf(f->dwfl, path, path, own, 0, true);
	if (!f->module)
		close(own);
	dwfl_report_end(f->dwfl, NULL, NULL);
	if (!f->module)
		return -ENOEXEC;
	if (!dwfl_module_info(f->module, &data, NULL, NULL, NULL, NULL, NULL, NULL) || !data)
		return -ENOEXEC;
	*data = f;
	f->dwarf = dwarf_index_new(f->module);
	return f->dwarf ? 0 : -ENOMEM;
}

int symbol_file_open(struct symbol_file **file, int fd, const char *path, const uint8_t *build_id,
		     size_t build_id_len, struct debug_server *server)
{
	struct symbol_file *f = calloc(1, sizeof(*f));
	enum elf_file_error why;
	int err;

	if (!f)
		return -ENOMEM;
	f->search.server = server;
	err = elf_file_open(&f->elf, fd, &why);
	if (!err) {
		err = check_build_id(&f->elf, build_id, build_id_len);
		if (!err && !elf_bounds_are_fair(fd, true))
			err = -ENOEXEC;
		if (!err)
			err = report(f, fd, path);
		elf_file_close(&f->elf);
		f->elf.fd = -1;
	}
	if (err) {
		symbol_file_close(f);
		return err;
	}
	*file = f;
	return 0;
}

void symbol_file_close(struct symbol_file *file)
{
	if (!file)
		return;
	symbol_index_fini(&file->symbols);
	dwarf_index_free(file->dwarf);
	if (file->dwfl)
		dwfl_end(file->dwfl);
	free(file);
}

bool symbol_file_is_behind(const struct symbol_file *file, bool wait)
{
	const unsigned char *build_id;
	GElf_Addr vaddr;
	int len;

	if (!file->search.awaiting || wait)
		return file->search.awaiting;
	len = dwfl_module_build_id(file->module, &build_id, &vaddr);
	return len > 0 && debug_server_has_answer(file->search.server, build_id, len);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* NULL when memory ran out. */
static const char *readable(struct arena *arena, const char *name)
{
	char *plain = demangle(name);
	const char *kept = arena_strndup(arena, plain ? plain : name, NAME_MAX_LEN);

	free(plain);
	return kept;
}

/* The name of a function's (or an inlined one's) debug entry. */
static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute))
		name = dwarf_formstring(&attribute);
	if (!name && dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		name = dwarf_formstring(&attribute);
	return name ? name : dwarf_diename(die);
}

static bool die_number(Dwarf_Die *die, unsigned int what, Dwarf_Word *value)
{
	Dwarf_Attribute attribute;

	return dwarf_attr(die, what, &attribute) && !dwarf_formudata(&attribute, value);
}

/* Where an inlined function was called from. */
static void call_site(Dwarf_Die *unit, Dwarf_Die *inlined, const char **path, int *line)
{
	Dwarf_Word file, number;
	Dwarf_Files *files;
	size_t cnt;

	*path = NULL;
	*line = die_number(inlined, DW_AT_call_line, &number) && number <= INT_MAX ? number : 0;
	if (die_number(inlined, DW_AT_call_file, &file) && !dwarf_getsrcfiles(unit, &files, &cnt) &&
	    file < cnt)
		*path = dwarf_filesrc(files, file, NULL, NULL);
	/* file 0 is a file since DWARF 5, and was "none" before, which libdw spells so */
	if (*path && !strcmp(*path, "???"))
		*path = NULL;
}

/* ---- one address ----------------------------------------------------------------------------- */

struct resolving {
	struct symbol_file *f;
	struct arena *arena;
	struct symbol_frame *frames;
	int cnt;
	uint64_t address;
	const char *path; /* source position of the next frame */
	int line;
	bool no_memory;
};

static void add_frame(struct resolving *r, const char *name, uint64_t offset, bool inlined)
{
	struct symbol_frame *frame = &r->frames[r->cnt];

	*frame = (struct symbol_frame){
		.symbol = name ? readable(r->arena, name) : NULL,
		.file = r->path ? arena_strdup(r->arena, r->path) : NULL,
		.line = r->path && r->line > 0 ? r->line : 0,
		.inlined = inlined,
		.address = r->address,
		.symbol_offset = offset,
	};
	r->no_memory |= (name && !frame->symbol) || (r->path && !frame->file);
	r->cnt++;
}

/*
 * Adds a frame for each inlined function at the address, innermost first, and leaves in path and
 * line where the outermost of them was called. The name of the function they are in is returned, for
 * stripped symbol tables; NULL when it is not known.
 */
static const char *add_inlined(struct resolving *r, Dwarf_Die *unit, Dwarf_Addr bias)
{
	Dwarf_Die scopes[SYMBOL_FRAMES_MAX];
	int cnt = dwarf_index_scopes(r->f->dwarf, unit, r->address - bias, scopes, SYMBOL_FRAMES_MAX);

	r->no_memory |= cnt < 0;
	for (int i = 0; i < cnt - 1; i++) {
		add_frame(r, die_name(&scopes[i]), 0, true);
		call_site(unit, &scopes[i], &r->path, &r->line);
	}
	return cnt > 0 ? die_name(&scopes[cnt - 1]) : NULL;
}

static void resolve_source(struct resolving *r, Dwarf_Die *unit, Dwarf_Addr bias)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, r->address - bias);

	if (!line)
		return;
	r->path = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &r->line))
		r->line = 0;
}

static const char *symbol_name(struct resolving *r, uint64_t *offset)
{
	struct symbol_file *f = r->f;

	if (!f->has_symbols) {
		r->no_memory |= symbol_index_make(&f->symbols, f->module) != 0;
		f->has_symbols = true;
	}
	return symbol_index_find(&f->symbols, f->module, r->address, offset);
}

int symbol_file_resolve(struct symbol_file *file, uint64_t file_offset, struct arena *arena,
			bool wait, struct symbol_frame *frames)
{
	struct resolving r = { .f = file, .arena = arena, .frames = frames };
	const char *name, *function = NULL;
	uint64_t offset = 0;
	Dwarf_Addr bias;
	Dwarf_Die *unit;

	file->search.wait = wait;
	if (!elf_file_vaddr(&file->elf, file_offset, &r.address)) {
		r.address = file_offset;
		add_frame(&r, NULL, 0, false);
		return r.cnt;
	}
	unit = dwarf_index_unit(file->dwarf, r.address, &bias);
	if (unit) {
		resolve_source(&r, unit, bias);
		function = add_inlined(&r, unit, bias);
	}
	name = symbol_name(&r, &offset);
	if (!name)
		name = function;
	add_frame(&r, name && *name ? name : NULL, offset, false);
	return r.no_memory ? -ENOMEM : r.cnt;
}
