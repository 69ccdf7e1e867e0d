// SPDX-License-Identifier: MIT
#include "capture/elf_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "memtrace runs on x86-64 and arm64"
#endif

#define SECTION_CNT_MAX (1U << 17) /* twice what 16 bits can say; linked files have some dozen */

size_t elf_file_read_at(int fd, uint64_t offset, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len && offset + got <= INT64_MAX) {
		ssize_t n = pread(fd, (char *)buf + got, len - got, offset + got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += n;
	}
	return got;
}

bool elf_file_string(int fd, uint64_t offset, char *buf, size_t len)
{
	size_t got = elf_file_read_at(fd, offset, buf, len);

	return memchr(buf, 0, got) != NULL;
}

static void add_segment(struct elf_file *file, const GElf_Phdr *phdr)
{
	switch (phdr->p_type) {
	case PT_INTERP:
		file->interp = *phdr;
		break;
	case PT_DYNAMIC:
		file->dynamic = *phdr;
		break;
	case PT_LOAD:
		if (file->load_cnt == ELF_FILE_SEGMENTS || !phdr->p_filesz ||
		    phdr->p_offset + phdr->p_filesz < phdr->p_offset ||
		    phdr->p_vaddr + phdr->p_filesz < phdr->p_vaddr)
			return;
		file->loads[file->load_cnt++] = (struct elf_segment){
			.vaddr = phdr->p_vaddr,
			.file_offset = phdr->p_offset,
			.file_size = phdr->p_filesz,
			.executable = phdr->p_flags & PF_X,
		};
	}
}

/* What libelf must not be shown: it allocates for as many sections and segments as a file says it
 * has, and a sparse file can say anything. */
static enum elf_file_error look_before(int fd)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr first;

	if (elf_file_read_at(fd, 0, &ehdr, EI_NIDENT) < EI_NIDENT ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0)
		return ELF_FILE_NOT_ELF;
	if (ehdr.e_ident[EI_CLASS] == ELFCLASS32)
		return ELF_FILE_32BIT;
	if (ehdr.e_ident[EI_DATA] == ELFDATA2MSB)
		return ELF_FILE_MACHINE;
	if (elf_file_read_at(fd, 0, &ehdr, sizeof(ehdr)) < sizeof(ehdr) || ehdr.e_phnum == PN_XNUM)
		return ELF_FILE_BROKEN;
	/* more sections than 16 bits can count are counted in the first one */
	if (!ehdr.e_shnum && ehdr.e_shoff &&
	    elf_file_read_at(fd, ehdr.e_shoff, &first, sizeof(first)) == sizeof(first) &&
	    first.sh_size > SECTION_CNT_MAX)
		return ELF_FILE_BROKEN;
	return ELF_FILE_OK;
}

static enum elf_file_error read_headers(struct elf_file *file)
{
	size_t cnt;

	if (elf_kind(file->elf) != ELF_K_ELF)
		return ELF_FILE_NOT_ELF;
	if (gelf_getclass(file->elf) != ELFCLASS64)
		return ELF_FILE_32BIT;
	if (!gelf_getehdr(file->elf, &file->ehdr))
		return ELF_FILE_BROKEN;
	if (file->ehdr.e_machine != HOST_MACHINE || file->ehdr.e_ident[EI_DATA] != ELFDATA2LSB)
		return ELF_FILE_MACHINE;
	if (elf_getphdrnum(file->elf, &cnt))
		return ELF_FILE_BROKEN;
	for (size_t i = 0; i < cnt && i < UINT16_MAX; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(file->elf, i, &phdr))
			return ELF_FILE_BROKEN;
		add_segment(file, &phdr);
	}
	return ELF_FILE_OK;
}

int elf_file_open(struct elf_file *file, int fd, enum elf_file_error *why)
{
	*file = (struct elf_file){ .fd = fd };
	elf_version(EV_CURRENT);
	*why = look_before(fd);
	if (*why != ELF_FILE_OK)
		return -ENOEXEC;
	file->elf = elf_begin(fd, ELF_C_READ, NULL);
	*why = file->elf ? read_headers(file) : ELF_FILE_BROKEN;
	if (*why == ELF_FILE_OK)
		return 0;
	elf_file_close(file);
	return -ENOEXEC;
}

void elf_file_close(struct elf_file *file)
{
	elf_end(file->elf); /* takes NULL */
	file->elf = NULL;
}

const struct elf_segment *elf_file_segment(const struct elf_file *file, uint64_t vaddr)
{
	for (size_t i = 0; i < file->load_cnt; i++)
		if (vaddr >= file->loads[i].vaddr &&
		    vaddr - file->loads[i].vaddr < file->loads[i].file_size)
			return &file->loads[i];
	return NULL;
}

bool elf_file_offset(const struct elf_file *file, uint64_t vaddr, uint64_t *offset)
{
	const struct elf_segment *segment = elf_file_segment(file, vaddr);

	if (segment)
		*offset = vaddr - segment->vaddr + segment->file_offset;
	return segment;
}

bool elf_file_vaddr(const struct elf_file *file, uint64_t offset, uint64_t *vaddr)
{
	const struct elf_segment *found = NULL;

	/* a page at a segment's border can be in two segments of the file; code is asked for */
	for (size_t i = 0; i < file->load_cnt; i++) {
		const struct elf_segment *s = &file->loads[i];

		if (offset >= s->file_offset && offset - s->file_offset < s->file_size &&
		    (!found || s->executable))
			found = s;
	}
	if (found)
		*vaddr = offset - found->file_offset + found->vaddr;
	return found;
}

size_t elf_file_read(const struct elf_file *file, uint64_t vaddr, void *buf, size_t len)
{
	const struct elf_segment *segment = elf_file_segment(file, vaddr);
	uint64_t left;

	if (!segment)
		return 0;
	left = segment->file_size - (vaddr - segment->vaddr);
	return elf_file_read_at(file->fd, vaddr - segment->vaddr + segment->file_offset, buf,
				len < left ? len : left);
}
