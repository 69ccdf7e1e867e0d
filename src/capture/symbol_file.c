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

#include "capture/demangle.h"
#include "capture/elf_file.h"

/* Names longer than this are cut: a template can have a name of megabytes. */
#define NAME_MAX_LEN 4096

/* Code ranges of all units together; a file that claims more than this has its first ones. */
#define UNIT_RANGES_MAX (4U << 20)

/* Addresses [start, end) are code of a compilation unit. */
struct unit_range {
	uint64_t start, end; /* in the debug file's addresses */
	Dwarf_Die unit;
};

struct symbol_file {
	struct elf_file elf; /* for segments only; closed after opening */
	Dwfl *dwfl;
	Dwfl_Module *module;
	struct unit_range *ranges; /* sorted; made when first needed */
	size_t range_cnt;
	bool has_ranges;
	Dwarf_Addr bias; /* of ranges against the file's addresses */
	unsigned int inline_walks;
};

#define INLINE_WALKS_MAX 2000

/* ---- separate debug files ------------------------------------------------------------------------- */

static bool same_build_id(int fd, const void *build_id, int len)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	const void *bits = NULL;
	bool same = elf && dwelf_elf_gnu_build_id(elf, &bits) == len &&
		    !memcmp(bits, build_id, len);

	elf_end(elf);
	return same;
}

static int try_debug_file(const char *path, const void *build_id, int len, char **name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (!same_build_id(fd, build_id, len) || !(*name = strdup(path))) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * libdwfl's own search ends at debuginfod servers when a file has a build id, so only its search by
 * build id is used; what .gnu_debuglink names is tried here in the usual three places, and taken
 * if it has that build id.
 */
static int find_debuginfo(Dwfl_Module *mod, void **data, const char *module_name, Dwarf_Addr base,
			  const char *path, const char *link, GElf_Word crc, char **name)
{
	static const char *const places[] = { "%.*s/%s", "%.*s/.debug/%s", "/usr/lib/debug%.*s/%s" };
	const unsigned char *build_id;
	GElf_Addr vaddr;
	int len = dwfl_module_build_id(mod, &build_id, &vaddr), fd;
	const char *slash = path ? strrchr(path, '/') : NULL;
	char candidate[PATH_MAX];

	if (len <= 0)
		return dwfl_standard_find_debuginfo(mod, data, module_name, base, path, link, crc,
						    name);
	fd = dwfl_build_id_find_debuginfo(mod, data, module_name, base, path, link, crc, name);
	if (fd >= 0 || !slash || !link || strchr(link, '/'))
		return fd;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int used = snprintf(candidate, sizeof(candidate), places[i], (int)(slash - path),
				    path, link);

		if (used < 0 || (size_t)used >= sizeof(candidate))
			continue;
		fd = try_debug_file(candidate, build_id, len, name);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static int find_elf(Dwfl_Module *mod, void **data, const char *module_name, Dwarf_Addr base,
		    char **name, Elf **elf)
{
	(void)mod, (void)data, (void)module_name, (void)base, (void)name, (void)elf;
	return -1; /* the file was given when the module was reported */
}

/* ---- open and close --------------------------------------------------------------------------------- */

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

	if (own < 0)
		return -errno;
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
	return f->module ? 0 : -ENOEXEC;
}

int symbol_file_open(struct symbol_file **file, int fd, const char *path, const uint8_t *build_id,
		     size_t build_id_len)
{
	struct symbol_file *f = calloc(1, sizeof(*f));
	enum elf_file_error why;
	int err;

	if (!f)
		return -ENOMEM;
	err = elf_file_open(&f->elf, fd, &why);
	if (!err) {
		err = check_build_id(&f->elf, build_id, build_id_len);
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
	if (file->dwfl)
		dwfl_end(file->dwfl);
	free(file->ranges);
	free(file);
}

/* ---- compilation units -------------------------------------------------------------------------------- */

static int add_unit(struct symbol_file *f, Dwarf_Die *unit)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(unit, at, &base, &start, &end)) > 0) {
		if (f->range_cnt == UNIT_RANGES_MAX)
			return 0;
		if (!(f->range_cnt & (f->range_cnt - 1))) { /* full at each power of two */
			size_t cap = f->range_cnt ? f->range_cnt * 2 : 1;
			struct unit_range *more = reallocarray(f->ranges, cap, sizeof(*more));

			if (!more)
				return -ENOMEM;
			f->ranges = more;
		}
		f->ranges[f->range_cnt++] = (struct unit_range){ start, end, *unit };
	}
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	uint64_t x = ((const struct unit_range *)a)->start;
	uint64_t y = ((const struct unit_range *)b)->start;

	return x < y ? -1 : x > y;
}

static int make_ranges(struct symbol_file *f)
{
	Dwarf_Die *unit = NULL;
	int err = 0;

	f->has_ranges = true;
	while (!err && (unit = dwfl_module_nextcu(f->module, unit, &f->bias)))
		err = add_unit(f, unit);
	if (f->range_cnt)
		qsort(f->ranges, f->range_cnt, sizeof(*f->ranges), compare_ranges);
	return err;
}

/*
 * The unit with the code at address, or NULL. libdw 0.188 knows only units that .debug_aranges
 * lists, and clang does not write that section; then every unit is asked, once.
 */
static Dwarf_Die *find_unit(struct symbol_file *f, uint64_t address, Dwarf_Addr *bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(f->module, address, bias);
	size_t low = 0, high;

	if (unit || (!f->has_ranges && make_ranges(f)))
		return unit;
	*bias = f->bias;
	address -= f->bias;
	for (high = f->range_cnt; low < high;) { /* the first that starts behind address */
		size_t middle = low + (high - low) / 2;

		if (f->ranges[middle].start > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low && address < f->ranges[low - 1].end ? &f->ranges[low - 1].unit : NULL;
}

/* ---- names ------------------------------------------------------------------------------------------ */

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

/* ---- one address ------------------------------------------------------------------------------------ */

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
 * line where the outermost of them was called. dwarf_getscopes answers in terms of the source
 * (around an inlined body is what encloses its definition), so its innermost entry is asked again
 * for what really is around it.
 */
static void add_inlined(struct resolving *r, Dwarf_Die *unit, Dwarf_Addr bias)
{
	Dwarf_Die *scopes = NULL, innermost;
	int cnt;

	/* libdw walks the whole unit each time: 3 ms an address in a unit of 100,000 call sites. So
	 * many addresses go without inlined frames; function, file and line they have all the same */
	if (r->f->inline_walks >= INLINE_WALKS_MAX)
		return;
	r->f->inline_walks++;
	cnt = dwarf_getscopes(unit, r->address - bias, &scopes);
	if (cnt <= 0)
		return;
	innermost = scopes[0];
	free(scopes);
	scopes = NULL;
	cnt = dwarf_getscopes_die(&innermost, &scopes);
	for (int i = 0; i < cnt && r->cnt < SYMBOL_FRAMES_MAX - 1; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag == DW_TAG_subprogram)
			break;
		if (tag != DW_TAG_inlined_subroutine)
			continue;
		add_frame(r, die_name(&scopes[i]), 0, true);
		call_site(unit, &scopes[i], &r->path, &r->line);
	}
	free(scopes);
}

/* The name of the function around address in the debug information, for stripped symbol tables. */
static const char *subprogram_name(struct resolving *r, Dwarf_Die *unit, Dwarf_Addr bias)
{
	Dwarf_Die *scopes = NULL;
	const char *name = NULL;
	int cnt = dwarf_getscopes(unit, r->address - bias, &scopes);

	for (int i = 0; i < cnt && !name; i++)
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram)
			name = die_name(&scopes[i]);
	free(scopes);
	return name;
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

int symbol_file_resolve(struct symbol_file *file, uint64_t file_offset, struct arena *arena,
			struct symbol_frame *frames)
{
	struct resolving r = { .f = file, .arena = arena, .frames = frames };
	GElf_Off offset = 0;
	const char *name;
	Dwarf_Addr bias;
	GElf_Sym symbol;
	Dwarf_Die *unit;

	if (!elf_file_vaddr(&file->elf, file_offset, &r.address)) {
		r.address = file_offset;
		add_frame(&r, NULL, 0, false);
		return r.cnt;
	}
	unit = find_unit(file, r.address, &bias);
	if (unit) {
		resolve_source(&r, unit, bias);
		add_inlined(&r, unit, bias);
	}
	name = dwfl_module_addrinfo(file->module, r.address, &offset, &symbol, NULL, NULL, NULL);
	if (!name && unit) {
		name = subprogram_name(&r, unit, bias);
		offset = 0;
	}
	add_frame(&r, name && *name ? name : NULL, offset, false);
	return r.no_memory ? -ENOMEM : r.cnt;
}
