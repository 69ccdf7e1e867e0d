// SPDX-License-Identifier: MIT
#include "preload_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char stage[64];

static Elf *open_elf(const struct preload_file *file)
{
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)file->image, file->size);
	cr_assert(elf, "%s", elf_errmsg(-1));
	return elf;
}

static Elf_Scn *find_section(Elf *elf, const char *name, GElf_Shdr *header)
{
	Elf_Scn *section = NULL;
	size_t strings;

	cr_assert_eq(elf_getshdrstrndx(elf, &strings), 0);
	while ((section = elf_nextscn(elf, section))) {
		cr_assert(gelf_getshdr(section, header));
		if (!strcmp(elf_strptr(elf, strings, header->sh_name), name))
			return section;
	}
	return NULL;
}

bool preload_section(const struct preload_file *file, const char *name, uint64_t *offset,
		     uint64_t *bytes, uint64_t *flags)
{
	Elf *elf = open_elf(file);
	GElf_Shdr header;
	bool found = find_section(elf, name, &header);

	if (found) {
		*offset = header.sh_offset;
		*bytes = header.sh_size;
		*flags = header.sh_flags;
	}
	elf_end(elf);
	return found;
}

size_t preload_offset(const struct preload_file *file, uint64_t address)
{
	const Elf64_Ehdr *elf = (const void *)file->image;
	const Elf64_Phdr *segment = (const void *)(file->image + elf->e_phoff);

	for (size_t i = 0; i < elf->e_phnum; i++) {
		if (segment[i].p_type == PT_LOAD &&
		    address - segment[i].p_vaddr < segment[i].p_filesz)
			return segment[i].p_offset + (address - segment[i].p_vaddr);
	}
	cr_assert_fail("nothing in the file is linked at %#lx", (unsigned long)address);
	return 0;
}

/* descriptor: address, base, semaphore, then three strings */
static void read_note(struct preload_file *file, const char *descriptor)
{
	struct preload_site *site = &file->sites[file->site_cnt];
	const char *text = descriptor + 24;
	uint64_t words[3];

	cr_assert_lt(file->site_cnt, (size_t)PRELOAD_SITES_MAX);
	memcpy(words, descriptor, sizeof(words));
	site->address = words[0];
	file->base = words[1];
	site->semaphore = words[2];
	snprintf(site->provider, sizeof(site->provider), "%s", text);
	text += strlen(text) + 1;
	snprintf(site->name, sizeof(site->name), "%s", text);
	text += strlen(text) + 1;
	snprintf(site->args, sizeof(site->args), "%s", text);
	memcpy(site->bytes, file->image + preload_offset(file, site->address), sizeof(site->bytes));
	file->site_cnt++;
}

static void read_notes(struct preload_file *file)
{
	size_t at = 0, next, name, descriptor;
	Elf *elf = open_elf(file);
	Elf_Scn *section;
	GElf_Shdr header;
	Elf_Data *data;
	GElf_Nhdr note;

	section = find_section(elf, ".note.stapsdt", &header);
	cr_assert(section, "no notes");
	data = elf_getdata(section, NULL);
	while ((next = gelf_getnote(data, at, &note, &name, &descriptor))) {
		if (note.n_type == 3 && !strcmp((char *)data->d_buf + name, "stapsdt"))
			read_note(file, (char *)data->d_buf + descriptor);
		at = next;
	}
	if (find_section(elf, ".stapsdt.base", &header))
		file->base_section = header.sh_addr;
	elf_end(elf);
}

void preload_read(struct preload_file *file)
{
	FILE *f = fopen(PRELOAD_LIB, "r");

	cr_assert(f, "%s is not built", PRELOAD_LIB);
	*file = (struct preload_file){ .image = NULL };
	cr_assert_eq(fseek(f, 0, SEEK_END), 0);
	file->size = (size_t)ftell(f);
	rewind(f);
	file->image = malloc(file->size);
	cr_assert(file->image);
	cr_assert_eq(fread(file->image, 1, file->size, f), file->size);
	fclose(f);
	read_notes(file);
}

void preload_file_free(struct preload_file *file)
{
	free(file->image);
}

static bool is_otel(const struct preload_site *site)
{
	return !strcmp(site->provider, MT_PRELOAD_OTEL_PROVIDER);
}

void preload_copy(const struct preload_file *file, const char *path, unsigned int listen,
		  const struct mt_preload_config *config)
{
	unsigned char *image = malloc(file->size);
	uint64_t offset = 0, bytes, flags;
	int fd;

	cr_assert(image);
	memcpy(image, file->image, file->size);
	for (size_t i = 0; i < file->site_cnt; i++) {
		const struct preload_site *site = &file->sites[i];

		if (!(listen & (is_otel(site) ? LISTEN_OTEL : LISTEN_MEMTRACE)))
			continue;
		image[preload_offset(file, site->semaphore)] = 1;
		if (listen & LISTEN_TRAP)
			image[preload_offset(file, site->address)] = 0xcc;
	}
	if (config) {
		cr_assert(
			preload_section(file, MT_PRELOAD_CONFIG_SECTION, &offset, &bytes, &flags));
		memcpy(image + offset, config, sizeof(*config));
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, image, file->size), (ssize_t)file->size);
	close(fd);
	free(image);
}

struct mt_preload_config preload_config(enum mt_preload_mode mode)
{
	return (struct mt_preload_config){
		.magic = MT_PRELOAD_MAGIC,
		.version = MT_PRELOAD_VERSION,
		.mode = mode,
	};
}

const char *preload_stage(void)
{
	if (!*stage) {
		strcpy(stage, "/tmp/memtrace-preload-XXXXXX");
		cr_assert(mkdtemp(stage));
	}
	return stage;
}

void preload_unstage(void)
{
	char command[128];

	if (!*stage)
		return;
	snprintf(command, sizeof(command), "rm -rf %s", stage);
	cr_expect_eq(system(command), 0);
	*stage = 0;
}
