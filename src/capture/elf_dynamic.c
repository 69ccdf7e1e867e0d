// SPDX-License-Identifier: MIT
#include "capture/elf_dynamic.h"

#include <errno.h>

#define DYN_MAX 4096   /* entries that are looked at */
#define NEEDED_MAX 512 /* of one file */

static const char *string_at(const struct elf_file *file, struct arena *arena, uint64_t strtab,
			     uint64_t offset)
{
	char text[4096];
	uint64_t at;

	if (!elf_file_offset(file, strtab, &at) || offset > INT64_MAX - at ||
	    !elf_file_string(file->fd, at + offset, text, sizeof(text)))
		return NULL;
	return arena_strdup(arena, text);
}

/* The entries before DT_NULL, in the arena; NULL when memory ran out. */
static Elf64_Dyn *read_entries(const struct elf_file *file, struct arena *arena, size_t *cnt)
{
	size_t size = file->dynamic.p_filesz / sizeof(Elf64_Dyn), got;
	Elf64_Dyn *dyn;

	size = size < DYN_MAX ? size : DYN_MAX;
	dyn = arena_array(arena, size + 1, sizeof(*dyn));
	if (!dyn)
		return NULL;
	got = elf_file_read_at(file->fd, file->dynamic.p_offset, dyn, size * sizeof(*dyn)) /
	      sizeof(*dyn);
	for (*cnt = 0; *cnt < got && dyn[*cnt].d_tag != DT_NULL; ++*cnt)
		;
	return dyn;
}

/* Where the string of an entry belongs; NULL for one that is of no interest. */
static const char **place_of(struct elf_dynamic *out, int64_t tag, size_t needed_max)
{
	switch (tag) {
	case DT_SONAME:
		return &out->soname;
	case DT_RPATH:
		return &out->rpath;
	case DT_RUNPATH:
		return &out->runpath;
	case DT_NEEDED:
		return out->needed_cnt < needed_max ? &out->needed[out->needed_cnt] : NULL;
	default:
		return NULL;
	}
}

int elf_dynamic_read(const struct elf_file *file, struct arena *arena, struct elf_dynamic *out)
{
	size_t cnt, needed = 0;
	uint64_t strtab = 0;
	Elf64_Dyn *dyn;

	*out = (struct elf_dynamic){ 0 };
	if (file->dynamic.p_type != PT_DYNAMIC)
		return 0;
	dyn = read_entries(file, arena, &cnt);
	if (!dyn)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		if (dyn[i].d_tag == DT_STRTAB)
			strtab = dyn[i].d_un.d_ptr;
		needed += dyn[i].d_tag == DT_NEEDED;
	}
	needed = needed < NEEDED_MAX ? needed : NEEDED_MAX;
	out->needed = arena_array(arena, needed + 1, sizeof(*out->needed));
	if (!out->needed)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		const char **place = place_of(out, dyn[i].d_tag, needed);

		if (!place)
			continue;
		*place = string_at(file, arena, strtab, dyn[i].d_un.d_val);
		out->needed_cnt += dyn[i].d_tag == DT_NEEDED && *place;
	}
	if (out->runpath)
		out->rpath = NULL; /* as the linkers: one replaces the other */
	return 0;
}
