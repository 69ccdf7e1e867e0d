// SPDX-License-Identifier: MIT
#include "capture/elf_bounds.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/elf_file.h"
#include "capture/xz_size.h"

#define FREE_BYTES (64ULL << 20) /* always fair */
#define BYTES_A_BYTE 16		 /* sections against blocks: some file systems pack by themselves */
#define MINI_PACKED_MAX (64 << 20) /* of .gnu_debugdata */
#define MINI_BYTES_MAX (256 << 20) /* the same, unpacked */
#define COPY_BYTES_MAX (1ULL << 30)

/* ---- what sections come to ------------------------------------------------------------------- */

static uint64_t mini_bytes(int fd, const GElf_Shdr *shdr)
{
	uint64_t size = UINT64_MAX;
	uint8_t *data;

	if (shdr->sh_size > MINI_PACKED_MAX)
		return UINT64_MAX;
	data = malloc(shdr->sh_size + 1);
	if (data && elf_file_read_at(fd, shdr->sh_offset, data, shdr->sh_size) == shdr->sh_size)
		size = xz_size(data, shdr->sh_size);
	free(data);
	return size > MINI_BYTES_MAX ? UINT64_MAX : size;
}

/* As it says of itself before the packed bytes, in the older of two ways: "ZLIB", size. */
static uint64_t zdebug_bytes(int fd, const GElf_Shdr *shdr)
{
	uint8_t head[12];
	uint64_t size = 0;

	if (elf_file_read_at(fd, shdr->sh_offset, head, sizeof(head)) < sizeof(head) ||
	    memcmp(head, "ZLIB", 4) != 0)
		return 0;
	for (size_t i = 4; i < sizeof(head); i++)
		size = size << 8 | head[i];
	return size;
}

static uint64_t section_bytes(int fd, Elf *elf, size_t names, Elf_Scn *scn, bool unpacked)
{
	const char *name;
	GElf_Shdr shdr;
	Elf64_Chdr chdr;

	if (!gelf_getshdr(scn, &shdr) || shdr.sh_type == SHT_NOBITS)
		return 0;
	if (!unpacked)
		return shdr.sh_size;
	if (shdr.sh_flags & SHF_COMPRESSED &&
	    elf_file_read_at(fd, shdr.sh_offset, &chdr, sizeof(chdr)) == sizeof(chdr) &&
	    chdr.ch_size > shdr.sh_size)
		return chdr.ch_size;
	name = elf_strptr(elf, names, shdr.sh_name);
	if (name && !strcmp(name, ".gnu_debugdata"))
		return mini_bytes(fd, &shdr);
	if (name && !strncmp(name, ".zdebug", strlen(".zdebug")))
		return zdebug_bytes(fd, &shdr);
	return shdr.sh_size;
}

static uint64_t bytes_on_disk(const struct stat *st)
{
	uint64_t blocks = st->st_blocks * 512ULL;

	/* some file systems do not say */
	return blocks ? blocks : (uint64_t)st->st_size;
}

bool elf_bounds_are_fair(int fd, bool unpacked)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	uint64_t fair, sum = 0;
	Elf_Scn *scn = NULL;
	size_t names = 0;
	struct stat st;

	if (!elf)
		return false;
	if (fstat(fd, &st)) {
		elf_end(elf);
		return false;
	}
	fair = FREE_BYTES + BYTES_A_BYTE * bytes_on_disk(&st);
	elf_getshdrstrndx(elf, &names);
	while (sum <= fair && (scn = elf_nextscn(elf, scn))) {
		uint64_t bytes = section_bytes(fd, elf, names, scn, unpacked);

		sum = bytes > fair ? UINT64_MAX : sum + bytes;
	}
	elf_end(elf);
	return sum <= fair;
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Holes stay holes. */
static bool copy_data(int from, int to, off_t size)
{
	char chunk[64 << 10];
	off_t at = lseek(from, 0, SEEK_DATA);

	while (at >= 0 && at < size) {
		off_t hole = lseek(from, at, SEEK_HOLE);

		for (off_t end = hole < 0 ? size : hole; at < end;) {
			size_t want = end - at < (off_t)sizeof(chunk) ? (size_t)(end - at)
								      : sizeof(chunk);
			size_t got = elf_file_read_at(from, at, chunk, want);

			if (!got)
				return true; /* it was cut meanwhile: the copy has zeros there */
			if (pwrite(to, chunk, got, at) != (ssize_t)got)
				return false;
			at += got;
		}
		at = lseek(from, at, SEEK_DATA);
	}
	return true;
}

int elf_bounds_own(int fd)
{
	struct stat st;
	int copy;

	if (fstat(fd, &st))
		st = (struct stat){ .st_uid = -1 };
	if ((!st.st_uid || st.st_uid == geteuid()) && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return fd;
	if (bytes_on_disk(&st) > COPY_BYTES_MAX)
		return fd;
	copy = memfd_create("elf", MFD_CLOEXEC);
	if (copy >= 0 && (ftruncate(copy, st.st_size) || !copy_data(fd, copy, st.st_size))) {
		close(copy);
		copy = -1;
	}
	close(fd);
	return copy;
}
