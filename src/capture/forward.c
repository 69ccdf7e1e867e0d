// SPDX-License-Identifier: MIT
#include "capture/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/elf_file.h"
#include "capture/family.h"

#define BODY_MAX (16 << 10)

#if defined(__x86_64__)

/* Slots of the file's PLT that lead to a function of the family. */
struct plt_slot {
	uint64_t got;
	enum mt_call call;
};

struct plt {
	struct plt_slot *slots;
	size_t cnt;
};

static int plt_add(struct plt *plt, uint64_t got, enum mt_call call)
{
	struct plt_slot *slots = plt->slots;

	if (plt->cnt % 8 == 0) {
		slots = reallocarray(slots, plt->cnt + 8, sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		plt->slots = slots;
	}
	slots[plt->cnt++] = (struct plt_slot){ got, call };
	return 0;
}

static int plt_read_section(struct plt *plt, Elf *elf, Elf_Scn *relocations, const GElf_Shdr *shdr)
{
	Elf_Scn *section = elf_getscn(elf, shdr->sh_link);
	Elf_Data *rela = elf_getdata(relocations, NULL), *symbols = NULL;
	GElf_Shdr symtab;

	if (section && gelf_getshdr(section, &symtab) && symtab.sh_type == SHT_DYNSYM)
		symbols = elf_getdata(section, NULL);
	if (!rela || !symbols)
		return 0;
	for (size_t i = 0; i < rela->d_size / sizeof(Elf64_Rela); i++) {
		const struct family_name *known;
		const char *name;
		GElf_Rela entry;
		GElf_Sym symbol;
		int err;

		if (!gelf_getrela(rela, i, &entry))
			break;
		if (GELF_R_TYPE(entry.r_info) != R_X86_64_JUMP_SLOT &&
		    GELF_R_TYPE(entry.r_info) != R_X86_64_GLOB_DAT)
			continue;
		if (!gelf_getsym(symbols, GELF_R_SYM(entry.r_info), &symbol))
			continue;
		name = elf_strptr(elf, symtab.sh_link, symbol.st_name);
		known = name ? family_find(name) : NULL;
		err = known ? plt_add(plt, entry.r_offset, known->call) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int plt_read(struct plt *plt, Elf *elf)
{
	Elf_Scn *section = NULL;
	int err = 0;

	while (!err && (section = elf_nextscn(elf, section))) {
		GElf_Shdr shdr;

		if (gelf_getshdr(section, &shdr) && shdr.sh_type == SHT_RELA)
			err = plt_read_section(plt, elf, section, &shdr);
	}
	return err;
}

/* What is at a branch target: a function of the list, or a PLT entry that leads to the family. */
struct target {
	bool known;
	enum mt_call call;
};

/*
 * An entry of the PLT, in any of its dresses:
 *	[f3 0f 1e fa]  [f2] ff 25 xx xx xx xx	 endbr64; bnd jmp *xx(%rip)
 */
static struct target plt_target(const struct elf_file *file, const struct plt *plt, uint64_t vaddr)
{
	uint8_t code[11];
	size_t len = elf_file_read(file, vaddr, code, sizeof(code)), at = 0;
	int32_t displacement;
	uint64_t got;

	if (len >= 4 && !memcmp(code, "\xf3\x0f\x1e\xfa", 4))
		at = 4;
	if (at < len && code[at] == 0xf2)
		at++;
	if (at + 6 > len || code[at] != 0xff || code[at + 1] != 0x25)
		return (struct target){ 0 };
	memcpy(&displacement, code + at + 2, 4);
	got = vaddr + at + 6 + (int64_t)displacement;
	for (size_t i = 0; i < plt->cnt; i++)
		if (plt->slots[i].got == got)
			return (struct target){ true, plt->slots[i].call };
	return (struct target){ 0 };
}

struct forwarding {
	const struct elf_file *file;
	const struct allocator_function *functions;
	size_t cnt;
	struct plt plt;
};

static struct target find_target(const struct forwarding *f, uint64_t vaddr, size_t self)
{
	for (size_t i = 0; i < f->cnt; i++)
		if (f->functions[i].vaddr == vaddr)
			return (struct target){ i != self, f->functions[i].call };
	return plt_target(f->file, &f->plt, vaddr);
}

static bool branch32(const uint8_t *code, size_t left, uint64_t vaddr, uint64_t *target)
{
	size_t size = (code[0] & 0xfe) == 0xe8 ? 5 : 6;
	int32_t displacement;

	if (left < size || (size == 6 && (code[0] != 0x0f || (code[1] & 0xf0) != 0x80)))
		return false;
	memcpy(&displacement, code + size - 4, 4);
	*target = vaddr + size + (int64_t)displacement;
	return true;
}

/* Every byte is tried as the start of a branch: too many found costs a little, too few a count. */
static enum forward forward_of(const struct forwarding *f, size_t self, uint8_t *code)
{
	const struct allocator_function *function = &f->functions[self];
	size_t want = function->size && function->size < BODY_MAX ? function->size : BODY_MAX;
	size_t len = elf_file_read(f->file, function->vaddr, code, want);
	size_t first = len >= 4 && !memcmp(code, "\xf3\x0f\x1e\xfa", 4) ? 4 : 0;
	enum forward found = FORWARD_NEVER;

	for (size_t at = 0; at < len; at++) {
		struct target target;
		uint64_t vaddr;

		if (!branch32(code + at, len - at, function->vaddr + at, &vaddr))
			continue;
		target = find_target(f, vaddr, self);
		if (!target.known)
			continue;
		/* a jump hands its arguments on, so the kinds must read them alike */
		if (at == first && code[at] == 0xe9)
			return FORWARD_ALWAYS;
		if (family_call_frees(target.call) == family_call_frees(function->call))
			found = FORWARD_MAYBE;
		if (!function->size && at > 256) /* where it ends is a guess */
			break;
	}
	return found;
}

int forward_find(const struct elf_file *file, const struct allocator_function *functions, size_t cnt,
		 enum forward *forwards)
{
	struct forwarding f = { .file = file, .functions = functions, .cnt = cnt };
	uint8_t *code = malloc(BODY_MAX);
	int err = code ? plt_read(&f.plt, file->elf) : -ENOMEM;

	for (size_t i = 0; !err && i < cnt; i++)
		forwards[i] = forward_of(&f, i, code);
	free(f.plt.slots);
	free(code);
	return err;
}

#else

int forward_find(const struct elf_file *file, const struct allocator_function *functions, size_t cnt,
		 enum forward *forwards)
{
	(void)file, (void)functions;
	for (size_t i = 0; i < cnt; i++)
		forwards[i] = FORWARD_NEVER;
	return 0;
}

#endif
