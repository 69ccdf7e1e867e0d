/* SPDX-License-Identifier: MIT */
/*
 * elf_file.h - an ELF file opened for looking at: its segments, and bytes by address.
 *
 * Files are read, never mapped, so one that shrinks while it is looked at is an error and not a
 * signal. Counts and sizes are bounded before they are used.
 */
#ifndef CAPTURE_ELF_FILE_H
#define CAPTURE_ELF_FILE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_FILE_SEGMENTS 64

struct elf_segment {
	uint64_t vaddr, file_offset, file_size;
	bool executable;
};

struct elf_file {
	int fd; /* borrowed */
	Elf *elf;
	GElf_Ehdr ehdr;
	struct elf_segment loads[ELF_FILE_SEGMENTS]; /* PT_LOAD; further ones are ignored */
	size_t load_cnt;
	GElf_Phdr interp, dynamic; /* p_type is PT_NULL when there is none */
};

enum elf_file_error { ELF_FILE_OK, ELF_FILE_NOT_ELF, ELF_FILE_32BIT, ELF_FILE_MACHINE, ELF_FILE_BROKEN };

/* 0; -ENOEXEC with *why set when it is not a 64-bit ELF file of this machine. */
int elf_file_open(struct elf_file *file, int fd, enum elf_file_error *why);
void elf_file_close(struct elf_file *file);

/* The segment with the byte at vaddr in the file; NULL when there is none. */
const struct elf_segment *elf_file_segment(const struct elf_file *file, uint64_t vaddr);

/* File offset of the byte at vaddr; false when it is not in the file. */
bool elf_file_offset(const struct elf_file *file, uint64_t vaddr, uint64_t *offset);

/* And the other way round. */
bool elf_file_vaddr(const struct elf_file *file, uint64_t offset, uint64_t *vaddr);

/* Bytes that could be read at vaddr, up to len; 0 when there are none. */
size_t elf_file_read(const struct elf_file *file, uint64_t vaddr, void *buf, size_t len);

/* Reads up to len bytes at a file offset; short only at the end of the file or on an error. */
size_t elf_file_read_at(int fd, uint64_t offset, void *buf, size_t len);

/* A string of at most len - 1 bytes at a file offset; false when it does not end there. */
bool elf_file_string(int fd, uint64_t offset, char *buf, size_t len);

#endif
