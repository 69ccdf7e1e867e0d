// SPDX-License-Identifier: MIT
#include "capture/cfi_section.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/cfi_program.h"

#define PADDING_BYTES 64 /* zeros behind the section: a reader that looks ahead finds an end */
#define SECTION_CNT_MAX 65536

/* What the file has of len bytes at offset; the rest stays away, and entries there are cut short.
 */
static int copy_bytes(struct cfi_section *section, const struct elf_file *file, uint64_t offset,
		      uint64_t len)
{
	if (len > CFI_SECTION_BYTES_MAX)
		return -E2BIG;
	section->data.d_buf = calloc(1, len + PADDING_BYTES);
	if (!section->data.d_buf)
		return -ENOMEM;
	section->data.d_type = ELF_T_BYTE;
	section->data.d_version = EV_CURRENT;
	section->data.d_size = elf_file_read_at(file->fd, offset, section->data.d_buf, len);
	return 0;
}

static Elf_Scn *find_section(const struct elf_file *file, const char *name, GElf_Shdr *shdr)
{
	GElf_Shdr names;
	Elf_Scn *scn;
	size_t names_idx, cnt;
	char found[32];

	if (elf_getshdrnum(file->elf, &cnt) || cnt > SECTION_CNT_MAX ||
	    elf_getshdrstrndx(file->elf, &names_idx))
		return NULL;
	scn = elf_getscn(file->elf, names_idx);
	if (!scn || !gelf_getshdr(scn, &names))
		return NULL;
	for (scn = elf_nextscn(file->elf, NULL); scn; scn = elf_nextscn(file->elf, scn)) {
		/* the names are read one by one: their section may claim any size */
		if (gelf_getshdr(scn, shdr) && shdr->sh_type != SHT_NOBITS &&
		    shdr->sh_name < names.sh_size &&
		    elf_file_string(file->fd, names.sh_offset + shdr->sh_name, found,
				    sizeof(found)) &&
		    !strcmp(found, name))
			return scn;
	}
	return NULL;
}

static bool find_eh_frame_hdr(const struct elf_file *file, uint64_t *vaddr)
{
	size_t cnt;

	if (elf_getphdrnum(file->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt && i < UINT16_MAX; i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(file->elf, i, &phdr) && phdr.p_type == PT_GNU_EH_FRAME) {
			*vaddr = phdr.p_vaddr;
			return true;
		}
	}
	return false;
}

/* version 1 | encodings: of the pointer, the count, the table | pointer | count | table */
static int read_by_header(struct cfi_section *section, const struct elf_file *file)
{
	const struct elf_segment *segment;
	uint64_t hdr_vaddr, cnt, skip, len;
	uint8_t hdr[32];
	struct cfi_reader r = { .at = hdr };
	uint8_t version, pointer_encoding, cnt_encoding;

	if (!find_eh_frame_hdr(file, &hdr_vaddr))
		return 0;
	r.end = hdr + elf_file_read(file, hdr_vaddr, hdr, sizeof(hdr));
	version = (uint8_t)cfi_read_uint(&r, 1);
	pointer_encoding = (uint8_t)cfi_read_uint(&r, 1);
	cnt_encoding = (uint8_t)cfi_read_uint(&r, 1);
	cfi_read_uint(&r, 1);
	if (r.bad || version != 1 ||
	    !cfi_read_pointer(&r, pointer_encoding, hdr, hdr_vaddr, &section->vaddr))
		return 0;
	/* there is no size; the count keeps a reader from what may follow without an end mark */
	if (cnt_encoding != DW_EH_PE_omit &&
	    cfi_read_pointer(&r, cnt_encoding, hdr, hdr_vaddr, &cnt))
		section->entry_max = cnt;
	segment = elf_file_segment(file, section->vaddr);
	if (!segment)
		return 0;
	skip = section->vaddr - segment->vaddr;
	len = segment->file_size - skip;
	return copy_bytes(section, file, segment->file_offset + skip,
			  len < CFI_SECTION_BYTES_MAX ? len : CFI_SECTION_BYTES_MAX);
}

int cfi_section_eh_frame(struct cfi_section *section, const struct elf_file *file)
{
	GElf_Shdr shdr;

	*section = (struct cfi_section){ .eh_frame = true, .entry_max = UINT64_MAX };
	if (!find_section(file, ".eh_frame", &shdr))
		return read_by_header(section, file);
	section->vaddr = shdr.sh_addr;
	return copy_bytes(section, file, shdr.sh_offset, shdr.sh_size);
}

static int copy_unpacked(struct cfi_section *section, Elf_Scn *scn)
{
	GElf_Shdr shdr;
	GElf_Chdr chdr;
	Elf_Data *data;

	if (!gelf_getchdr(scn, &chdr))
		return 0;
	if (chdr.ch_size > CFI_SECTION_BYTES_MAX)
		return -E2BIG;
	if (elf_compress(scn, 0, 0) < 0 || !gelf_getshdr(scn, &shdr))
		return 0;
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf || data->d_size > CFI_SECTION_BYTES_MAX)
		return 0;
	section->data = *data;
	section->data.d_buf = calloc(1, data->d_size + PADDING_BYTES);
	if (!section->data.d_buf)
		return -ENOMEM;
	memcpy(section->data.d_buf, data->d_buf, data->d_size);
	return 0;
}

int cfi_section_debug_frame(struct cfi_section *section, const struct elf_file *file)
{
	GElf_Shdr shdr;
	Elf_Scn *scn;

	*section = (struct cfi_section){ .entry_max = UINT64_MAX };
	scn = find_section(file, ".debug_frame", &shdr);
	if (!scn)
		return 0;
	if (!(shdr.sh_flags & SHF_COMPRESSED))
		return copy_bytes(section, file, shdr.sh_offset, shdr.sh_size);
	if (shdr.sh_size > CFI_SECTION_BYTES_MAX)
		return -E2BIG;
	return copy_unpacked(section, scn);
}

void cfi_section_fini(struct cfi_section *section)
{
	free(section->data.d_buf);
	section->data.d_buf = NULL;
	section->data.d_size = 0;
}
