// SPDX-License-Identifier: MIT
#include "capture/allocators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "capture/allocator.h"
#include "capture/elf_file.h"
#include "capture/family.h"
#include "capture/otel.h"
#include "capture/place.h"
#include "capture/usdt.h"
#include "memtrace/preload.h"

struct allocators {
	struct allocator_file **files;
	size_t cnt;
	void (*log)(void *ctx, const char *line);
	void *ctx;
};

struct allocators *allocators_new(void (*log)(void *ctx, const char *line), void *ctx)
{
	struct allocators *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->log = log;
	a->ctx = ctx;
	return a;
}

void allocators_free(struct allocators *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->cnt; i++) {
		otel_free(a->files[i]->otel);
		free(a->files[i]->sites);
		free(a->files[i]);
	}
	free(a->files);
	free(a);
}

static void tell(const struct allocators *a, const char *file, const char *function,
		 const char *text)
{
	char line[512];

	if (!a->log)
		return;
	snprintf(line, sizeof(line), "%s%s%s: %s", file, function ? ": " : "",
		 function ? function : "", text);
	a->log(a->ctx, line);
}

static int place_sites(const struct allocators *a, int fd, const char *name,
		       const struct allocator *found, struct allocator_file *file)
{
	struct placement *places = calloc(found->function_cnt, sizeof(*places));
	int err = -1;

	file->sites = calloc(found->function_cnt, sizeof(*file->sites));
	if (!places || !file->sites || probe_place_all(fd, found, places))
		goto out;
	for (size_t i = 0; i < found->function_cnt; i++) {
		const struct allocator_function *f = &found->functions[i];

		file->sites[i] = (struct probe_site){
			.offset = f->file_offset + places[i].offset,
			.call = f->call,
			.returns = family_call_allocates(f->call),
			.stepped = !places[i].emulated,
		};
		if (places[i].reason)
			tell(a, name, f->name, places[i].reason);
	}
	file->site_cnt = found->function_cnt;
	err = 0;
out:
	free(places);
	return err;
}

static void see_site(void *ctx, const struct usdt_site *site)
{
	if (!strcmp(site->provider, MT_PRELOAD_PROVIDER))
		*(bool *)ctx = true;
}

/* The preload library, of this session or another, has the family's names and is no allocator. */
static bool is_preload_library(int fd)
{
	enum elf_file_error why;
	struct elf_file file;
	bool is = false;

	if (elf_file_open(&file, fd, &why))
		return false;
	usdt_each(&file, see_site, &is);
	elf_file_close(&file);
	return is;
}

static bool is_basic(const char *name)
{
	return !strcmp(name, "malloc") || !strcmp(name, "calloc") || !strcmp(name, "realloc") ||
	       !strcmp(name, "free");
}

static bool exports_basic(const struct elf_file *file, size_t strings, Elf_Data *symbols)
{
	GElf_Sym sym;

	for (int i = 0; symbols && gelf_getsym(symbols, i, &sym); i++) {
		const char *name = elf_strptr(file->elf, strings, sym.st_name);

		if (name && sym.st_shndx != SHN_UNDEF && sym.st_value && is_basic(name))
			return true;
	}
	return false;
}

static bool interposes(int fd)
{
	enum elf_file_error why;
	struct elf_file file;
	Elf_Scn *scn = NULL;
	bool does = false;
	GElf_Shdr shdr;

	if (elf_file_open(&file, fd, &why))
		return false;
	while (!does && (scn = elf_nextscn(file.elf, scn)))
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_DYNSYM)
			does = exports_basic(&file, shdr.sh_link, elf_getdata(scn, NULL));
	elf_file_close(&file);
	return does;
}

static void look_for_otel(const struct allocators *a, int fd, const char *name,
			  const struct allocator *found, struct allocator_file *file)
{
	bool only = found->is_allocator && !found->is_executable;
	enum elf_file_error ignored;
	struct elf_file elf;
	const char *why;

	if (elf_file_open(&elf, fd, &ignored))
		return;
	file->otel = otel_read(&elf, only, &why);
	elf_file_close(&elf);
	if (why)
		tell(a, name, NULL, why);
}

static void look(const struct allocators *a, int fd, const char *name, struct allocator_file *file)
{
	struct allocator found;

	if (allocator_read(fd, &found))
		return;
	look_for_otel(a, fd, name, &found, file);
	if (found.is_allocator && is_preload_library(fd)) {
		allocator_fini(&found);
		return;
	}
	file->is_static = found.is_static;
	file->interposes = interposes(fd);
	if (found.is_allocator && found.is_go) {
		file->refused = "it has Go code, which return probes would crash";
		tell(a, name, NULL, file->refused);
	} else if (found.is_allocator && place_sites(a, fd, name, &found, file)) {
		file->refused = "its code could not be read";
		tell(a, name, NULL, file->refused);
	} else if (!found.is_allocator && found.why == ALLOCATOR_NO_SYMBOLS) {
		file->refused = allocator_why_text(found.why);
	}
	allocator_fini(&found);
}

const struct allocator_file *allocators_file(struct allocators *a, int fd, const char *name)
{
	struct allocator_file **grown, *file;
	int64_t changed_ns;
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return NULL;
	changed_ns = st.st_ctim.tv_sec * 1000000000LL + st.st_ctim.tv_nsec;
	for (size_t i = a->cnt; i-- > 0;)
		if (a->files[i]->ino == st.st_ino && a->files[i]->dev == st.st_dev &&
		    a->files[i]->changed_ns == changed_ns && a->files[i]->size == st.st_size)
			return a->files[i];
	grown = realloc(a->files, (a->cnt + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	a->files = grown;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->changed_ns = changed_ns;
	file->size = st.st_size;
	look(a, fd, name, file);
	grown[a->cnt++] = file;
	return file;
}
