// SPDX-License-Identifier: MIT
#include "capture/code_id.h"

#include <elf.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "capture/elf_file.h"

#define WINDOW_BYTES 2048   /* headers and notes of most files; those of 30 segments */
#define NOTES_MAX 16	    /* segments of notes that are looked at */
#define NOTE_BYTES_MAX 4096 /* of each */

/* Bytes of the file around what was asked for last. */
struct window {
	int fd;
	uint64_t at;
	size_t len;
	uint8_t bytes[WINDOW_BYTES];
};

/* Copies len bytes, at most a window; false when the file has not so many. */
static bool copy(struct window *w, uint64_t at, void *out, size_t len)
{
	if (at < w->at || at - w->at > w->len || w->len - (at - w->at) < len) {
		w->at = at;
		w->len = elf_file_read_at(w->fd, at, w->bytes, sizeof(w->bytes));
		if (w->len < len)
			return false;
	}
	memcpy(out, w->bytes + (at - w->at), len);
	return true;
}

static uint64_t round_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Looks for the build id among a segment's notes: name, padding, contents, padding. */
static void read_notes(struct code_id *id, struct window *w, const Elf64_Phdr *phdr)
{
	uint64_t align = phdr->p_align == 8 ? 8 : 4, at = phdr->p_offset, data;
	uint64_t left = phdr->p_filesz < NOTE_BYTES_MAX ? phdr->p_filesz : NOTE_BYTES_MAX;
	char name[sizeof(ELF_NOTE_GNU)];
	Elf64_Nhdr note;

	while (left >= sizeof(note) && copy(w, at, &note, sizeof(note))) {
		uint64_t len;

		data = round_up(sizeof(note) + note.n_namesz, align);
		len = round_up(data + note.n_descsz, align);
		if (data + note.n_descsz > left)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(name) &&
		    note.n_descsz <= sizeof(id->build_id) &&
		    copy(w, at + sizeof(note), name, sizeof(name)) &&
		    !memcmp(name, ELF_NOTE_GNU, sizeof(name)) &&
		    copy(w, at + data, id->build_id, note.n_descsz)) {
			id->build_id_len = note.n_descsz;
			return;
		}
		if (len >= left)
			return;
		at += len;
		left -= len;
	}
}

/* Some linkers (Go's) have the note in no segment. */
static void read_sections(struct code_id *id, int fd)
{
	enum elf_file_error why;
	struct elf_file elf;
	const void *bits;
	ssize_t len;

	if (elf_file_open(&elf, fd, &why))
		return;
	len = dwelf_elf_gnu_build_id(elf.elf, &bits);
	if (len > 0 && (size_t)len <= sizeof(id->build_id)) {
		memcpy(id->build_id, bits, len);
		id->build_id_len = len;
	}
	elf_file_close(&elf);
}

static void add_segment(struct code_id *id, const Elf64_Phdr *phdr)
{
	const uint64_t limit = UINT32_MAX;

	if (!(phdr->p_flags & PF_X) || !phdr->p_filesz || phdr->p_vaddr > limit ||
	    phdr->p_offset > limit || phdr->p_filesz > limit - phdr->p_vaddr ||
	    phdr->p_filesz > limit - phdr->p_offset || id->segment_cnt == CODE_ID_SEGMENTS_MAX)
		return;
	id->segments[id->segment_cnt++] =
		(struct code_segment){ phdr->p_vaddr, phdr->p_offset, phdr->p_filesz };
}

static int by_offset(const void *a, const void *b)
{
	const struct code_segment *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int code_id_read(struct code_id *id, int fd)
{
	unsigned int notes = 0;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	struct window w;

	w.fd = fd;
	w.at = w.len = 0;
	id->build_id_len = 0;
	id->segment_cnt = 0;
	if (!copy(&w, 0, ehdr.e_ident, EI_NIDENT) || memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    !copy(&w, 0, &ehdr, sizeof(ehdr)))
		return 0;
	for (uint64_t i = 0; i < ehdr.e_phnum && ehdr.e_phentsize == sizeof(phdr); i++) {
		if (!copy(&w, ehdr.e_phoff + i * sizeof(phdr), &phdr, sizeof(phdr)))
			break;
		if (phdr.p_type == PT_LOAD)
			add_segment(id, &phdr);
		else if (phdr.p_type == PT_NOTE && !id->build_id_len && notes++ < NOTES_MAX)
			read_notes(id, &w, &phdr);
	}
	if (!id->build_id_len)
		read_sections(id, fd);
	qsort(id->segments, id->segment_cnt, sizeof(id->segments[0]), by_offset);
	return 0;
}
