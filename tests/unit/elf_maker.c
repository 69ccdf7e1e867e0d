// SPDX-License-Identifier: MIT
#include "elf_maker.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void bytes_fini(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){ 0 };
}

void bytes_put(struct bytes *b, const void *data, size_t len)
{
	if (b->len + len >= b->cap) {
		b->cap = 2 * (b->len + len) + 64;
		b->data = realloc(b->data, b->cap);
		cr_assert(b->data);
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

void bytes_uint(struct bytes *b, uint64_t value, size_t size)
{
	bytes_put(b, &value, size); /* both are little endian */
}

static void pad(struct bytes *b, size_t to)
{
	while (b->len % to)
		bytes_uint(b, 0, 1);
}

/* Leaves room for an entry's length, and fills it in. */
static size_t begin_entry(struct bytes *frame)
{
	size_t at = frame->len;

	bytes_uint(frame, 0, 4);
	return at;
}

static void end_entry(struct bytes *frame, size_t at)
{
	uint32_t len;

	pad(frame, 8);
	len = frame->len - at - 4;
	memcpy(frame->data + at, &len, 4);
}

size_t cfi_put_cie_like(struct bytes *frame, const char *letters, const void *data, size_t data_len,
			const char *program, size_t program_len)
{
	size_t at = begin_entry(frame);

	bytes_uint(frame, 0, 4);
	bytes_uint(frame, 1, 1);
	bytes_put(frame, letters, strlen(letters) + 1);
	bytes_uint(frame, 1, 1);
	bytes_uint(frame, 0x78, 1); /* -8 */
	bytes_uint(frame, 16, 1);
	if (*letters == 'z') {
		bytes_uint(frame, data_len, 1);
		bytes_put(frame, data, data_len);
	}
	bytes_put(frame, program, program_len);
	end_entry(frame, at);
	return at;
}

size_t cfi_put_cie(struct bytes *frame)
{
	return cfi_put_cie_like(frame, "zR", "\0", 1, PROGRAM("\x0c\x07\x08\x90\x01"));
}

void cfi_put_fde(struct bytes *frame, size_t cie, uint64_t start, uint64_t len, const char *program,
		 size_t program_len)
{
	size_t at = begin_entry(frame);

	bytes_uint(frame, frame->len - cie, 4);
	bytes_uint(frame, start, 8);
	bytes_uint(frame, len, 8);
	bytes_uint(frame, 0, 1);
	bytes_put(frame, program, program_len);
	end_entry(frame, at);
}

void cfi_put_end(struct bytes *frame)
{
	bytes_uint(frame, 0, 4);
}

static void put_section(struct bytes *table, uint32_t name, uint32_t type, uint64_t at, size_t len)
{
	Elf64_Shdr shdr = { .sh_name = name,
			    .sh_type = type,
			    .sh_addr = at,
			    .sh_offset = at,
			    .sh_size = len,
			    .sh_addralign = 1 };

	bytes_put(table, &shdr, sizeof(shdr));
}

static void put_eh_frame_hdr(struct bytes *file, const struct elf_plan *plan)
{
	/* pcrel sdata4, udata4, no table */
	bytes_put(file, plan->header_cnt ? "\1\x1b\3\xff" : "\1\x1b\xff\xff", 4);
	bytes_uint(file, 8, 4); /* .eh_frame follows: 8 bytes from here */
	bytes_uint(file, plan->header_cnt, 4);
}

int elf_make(const struct elf_plan *plan)
{
	static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";
	struct bytes file = { 0 }, sections = { 0 };
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_DYN,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_entry = plan->entry,
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	Elf64_Phdr phdrs[2] = { { .p_type = PT_LOAD, .p_flags = PF_R | PF_X },
				{ .p_type = PT_NULL } };
	int fd;

#if defined(__aarch64__)
	ehdr.e_machine = plan->machine ? plan->machine : EM_AARCH64;
#else
	ehdr.e_machine = plan->machine ? plan->machine : EM_X86_64;
#endif
	file.cap = file.len = ELF_MAKER_TEXT_END;
	file.data = calloc(1, file.cap);
	cr_assert(file.data);
	if (plan->code)
		bytes_put(&file, plan->code->data, plan->code->len);
	pad(&file, 8);
	put_section(&sections, 0, SHT_NULL, 0, 0);
	if (plan->eh_frame) {
		if (!plan->no_header) {
			phdrs[1] = (Elf64_Phdr){ .p_type = PT_GNU_EH_FRAME,
						 .p_offset = file.len,
						 .p_vaddr = file.len,
						 .p_filesz = 12 };
			put_eh_frame_hdr(&file, plan);
		}
		put_section(&sections, 1, SHT_PROGBITS, file.len, plan->eh_frame->len);
		bytes_put(&file, plan->eh_frame->data, plan->eh_frame->len);
	}
	if (plan->debug_frame) {
		put_section(&sections, 11, SHT_PROGBITS, file.len, plan->debug_frame->len);
		bytes_put(&file, plan->debug_frame->data, plan->debug_frame->len);
	}
	put_section(&sections, 24, SHT_STRTAB, file.len, sizeof(names));
	bytes_put(&file, names, sizeof(names));
	pad(&file, 8);
	phdrs[0].p_filesz = phdrs[0].p_memsz = file.len;
	if (!plan->no_sections) {
		ehdr.e_shoff = file.len;
		ehdr.e_shentsize = sizeof(Elf64_Shdr);
		ehdr.e_shnum = sections.len / sizeof(Elf64_Shdr);
		ehdr.e_shstrndx = ehdr.e_shnum - 1;
		bytes_put(&file, sections.data, sections.len);
	}
	memcpy(file.data, &ehdr, sizeof(ehdr));
	memcpy(file.data + sizeof(ehdr), phdrs, sizeof(phdrs));
	fd = elf_make_raw(file.data, file.len);
	bytes_fini(&file);
	bytes_fini(&sections);
	return fd;
}

int elf_make_raw(const void *data, size_t len)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	return fd;
}
