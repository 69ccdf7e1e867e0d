// SPDX-License-Identifier: MIT
/* Build ids and segments from a file's headers: as libdwelf and libelf say, whatever the file. */
#include <criterion/criterion.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/code_id.h"
#include "elf_maker.h"

TestSuite(code_id, .timeout = 120);

static bool is_code(const GElf_Phdr *phdr)
{
	return phdr->p_type == PT_LOAD && phdr->p_flags & PF_X && phdr->p_filesz;
}

static void compare(const char *path, Elf *elf, const struct code_id *id)
{
	size_t phdr_cnt, cnt = 0, found;
	const void *bits = NULL;
	ssize_t len = dwelf_elf_gnu_build_id(elf, &bits);
	GElf_Phdr phdr;

	cr_expect_eq(id->build_id_len, len > 0 ? (size_t)len : 0, "%s", path);
	cr_expect(len <= 0 || !memcmp(id->build_id, bits, len), "%s", path);
	cr_assert_eq(elf_getphdrnum(elf, &phdr_cnt), 0);
	for (size_t i = 0; i < phdr_cnt; i++) {
		gelf_getphdr(elf, i, &phdr);
		if (!is_code(&phdr))
			continue;
		cnt++;
		for (found = 0; found < id->segment_cnt; found++)
			if (id->segments[found].vaddr == phdr.p_vaddr &&
			    id->segments[found].offset == phdr.p_offset &&
			    id->segments[found].size == phdr.p_filesz)
				break;
		cr_expect_lt(found, id->segment_cnt, "%s: segment %zu", path, i);
	}
	cr_expect_eq(id->segment_cnt, cnt, "%s", path);
}

Test(code_id, of_every_program_and_library_is_as_libelf_says)
{
	static const char *patterns[] = { "/usr/bin/*", "/usr/lib/x86_64-linux-gnu/*.so*" };
	size_t files = 0, with_id = 0;
	glob_t found;

	elf_version(EV_CURRENT);
	for (size_t p = 0; p < 2; p++) {
		if (glob(patterns[p], 0, NULL, &found))
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++) {
			int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
			Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
			struct code_id id;
			int err = fd >= 0 ? code_id_read(&id, fd) : 0;

			if (elf && gelf_getclass(elf) == ELFCLASS64 && elf_kind(elf) == ELF_K_ELF) {
				cr_assert_eq(err, 0, "%s", found.gl_pathv[i]);
				compare(found.gl_pathv[i], elf, &id);
				files++;
				with_id += id.build_id_len > 0;
			} else if (elf && elf_kind(elf) != ELF_K_ELF) {
				cr_expect_eq(err, -ENOEXEC, "%s", found.gl_pathv[i]);
			}
			elf_end(elf);
			if (fd >= 0)
				close(fd);
		}
		globfree(&found);
	}
	printf("%zu files, %zu with a build id\n", files, with_id);
	cr_expect_gt(with_id, 100);
}

/* ---- files that mean harm ------------------------------------------------------------------- */

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[4];
	Elf64_Nhdr note;
	char name[4];
	uint8_t build_id[20];
};

static const struct image whole = {
	.ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
		.e_phoff = offsetof(struct image, phdrs),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 4,
	},
	.phdrs = {
		{ .p_type = PT_LOAD, .p_flags = PF_X, .p_vaddr = 0x5000, .p_offset = 0x3000,
		  .p_filesz = 7 },
		{ .p_type = PT_LOAD, .p_flags = PF_X, .p_vaddr = 0x9000, .p_offset = 0x2000,
		  .p_filesz = 9 },
		{ .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 11 },
		{ .p_type = PT_NOTE, .p_align = 4, .p_offset = offsetof(struct image, note),
		  .p_filesz = sizeof(struct image) - offsetof(struct image, note) },
	},
	.note = { 4, 20, NT_GNU_BUILD_ID },
	.name = "GNU",
	.build_id = { 1, 2, 3 },
};

static int read_image(const struct image *image, size_t len, struct code_id *id)
{
	int fd = elf_make_raw(image, len), err;

	err = code_id_read(id, fd);
	close(fd);
	return err;
}

Test(code_id, has_its_segments_by_offset)
{
	struct code_id id;

	cr_assert_eq(read_image(&whole, sizeof(whole), &id), 0);
	cr_expect_eq(id.build_id_len, 20);
	cr_expect_eq(memcmp(id.build_id, whole.build_id, 20), 0);
	cr_assert_eq(id.segment_cnt, 2);
	cr_expect_eq(id.segments[0].vaddr, 0x9000);
	cr_expect_eq(id.segments[0].offset, 0x2000);
	cr_expect_eq(id.segments[0].size, 9);
	cr_expect_eq(id.segments[1].vaddr, 0x5000);
}

Test(code_id, of_a_file_that_is_cut_short_is_what_is_left)
{
	for (size_t len = 0; len < offsetof(struct image, build_id) + 20; len++) {
		struct code_id id;
		int err = read_image(&whole, len, &id);

		cr_expect_eq(err, len < EI_NIDENT ? -ENOEXEC : 0, "%zu", len);
		if (!err)
			cr_expect_eq(id.build_id_len, 0, "%zu", len);
	}
}

Test(code_id, believes_no_length_of_a_note)
{
	static const uint32_t lengths[] = {
		0, 3, 5, 65, 4096, INT32_MAX, UINT32_MAX - 3, UINT32_MAX
	};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct image image = whole;
		struct code_id id;

		image.note.n_namesz = lengths[i];
		cr_assert_eq(read_image(&image, sizeof(image), &id), 0);
		cr_expect_eq(id.build_id_len, 0, "name of %u", lengths[i]);
		image = whole;
		image.note.n_descsz = lengths[i];
		cr_assert_eq(read_image(&image, sizeof(image), &id), 0);
		cr_expect_eq(id.build_id_len, lengths[i] < 20 ? lengths[i] : 0, "id of %u",
			     lengths[i]);
	}
}

Test(code_id, is_not_read_beyond_its_segment)
{
	for (size_t cut = 1; cut < sizeof(whole.build_id) + 16; cut++) {
		struct image image = whole;
		struct code_id id;

		image.phdrs[3].p_filesz =
			sizeof(image.note) + sizeof(image.name) + sizeof(image.build_id) - cut;
		cr_assert_eq(read_image(&image, sizeof(image), &id), 0);
		cr_expect_eq(id.build_id_len, 0, "%zu bytes less", cut);
	}
}

Test(code_id, of_65535_headers_ends)
{
	struct image image = whole;
	struct code_id id;
	int fd;

	image.ehdr.e_phnum = UINT16_MAX;
	image.ehdr.e_phoff = sizeof(image);
	fd = elf_make_raw(&image, sizeof(image));
	for (size_t i = 0; i < UINT16_MAX; i++)
		cr_assert_eq(write(fd, &image.phdrs[i % 4], sizeof(image.phdrs[0])),
			     sizeof(image.phdrs[0]));
	cr_assert_eq(code_id_read(&id, fd), 0);
	cr_expect_eq(id.segment_cnt, CODE_ID_SEGMENTS_MAX);
	cr_expect_eq(id.build_id_len, 20);
	close(fd);
}
