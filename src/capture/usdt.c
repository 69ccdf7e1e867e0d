// SPDX-License-Identifier: MIT
#include "capture/usdt.h"

#include <string.h>

#define NOTE_TYPE 3
#define OWNER "stapsdt"
#define ADDRESSES 3 /* of the site, of .stapsdt.base when it was linked, of the semaphore */

/* Where .stapsdt.base is now: whoever moved the file's addresses (prelink) left the notes alone. */
static uint64_t find_base(const struct elf_file *file, size_t names)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(file->elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, &shdr))
			continue;
		name = elf_strptr(file->elf, names, shdr.sh_name);
		if (name && !strcmp(name, ".stapsdt.base"))
			return shdr.sh_addr;
	}
	return 0;
}

/* Cuts the next string off; NULL when it does not end. */
static const char *take_string(const char **at, const char *end)
{
	const char *text = *at, *zero = memchr(text, 0, end - text);

	if (!zero)
		return NULL;
	*at = zero + 1;
	return text;
}

static void see_note(const struct elf_file *file, uint64_t base, const char *desc, size_t len,
		     usdt_fn see, void *ctx)
{
	const char *at = desc + ADDRESSES * sizeof(uint64_t), *end = desc + len;
	struct usdt_site site = {};
	uint64_t address[ADDRESSES], moved;

	if (len < sizeof(address))
		return;
	memcpy(address, desc, sizeof(address));
	site.provider = take_string(&at, end);
	site.name = site.provider ? take_string(&at, end) : NULL;
	site.arguments = site.name ? take_string(&at, end) : NULL;
	moved = base && address[1] ? base - address[1] : 0;
	if (!site.arguments || !elf_file_offset(file, address[0] + moved, &site.offset))
		return;
	if (address[2] && !elf_file_offset(file, address[2] + moved, &site.semaphore))
		return;
	see(ctx, &site);
}

static void see_section(const struct elf_file *file, uint64_t base, Elf_Data *data, usdt_fn see,
			void *ctx)
{
	size_t at = 0, next, name, desc;
	GElf_Nhdr note;

	while ((next = gelf_getnote(data, at, &note, &name, &desc)) > 0) {
		if (note.n_type == NOTE_TYPE && note.n_namesz == sizeof(OWNER) &&
		    !memcmp((char *)data->d_buf + name, OWNER, sizeof(OWNER)))
			see_note(file, base, (char *)data->d_buf + desc, note.n_descsz, see, ctx);
		at = next;
	}
}

void usdt_each(const struct elf_file *file, usdt_fn see, void *ctx)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	Elf_Data *data;
	size_t names;

	if (elf_getshdrstrndx(file->elf, &names))
		return;
	while ((scn = elf_nextscn(file->elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE)
			continue;
		name = elf_strptr(file->elf, names, shdr.sh_name);
		if (!name || strcmp(name, ".note.stapsdt"))
			continue;
		data = elf_getdata(scn, NULL);
		if (data && data->d_buf)
			see_section(file, find_base(file, names), data, see, ctx);
	}
}
