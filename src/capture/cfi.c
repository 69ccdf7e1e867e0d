// SPDX-License-Identifier: MIT
/*
 * Two passes: the first notes where each function's entry is, sorted by address then; the second
 * runs their instructions in that order, so rows come out sorted.
 */
#include "capture/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/cfi_gap.h"
#include "capture/cfi_program.h"
#include "capture/cfi_section.h"
#include "capture/elf_file.h"

/* What a file can make us do. 200 MB of compiled code have 1.4 M rows; running 256 M instructions
 * takes about two seconds. */
#define INSTRUCTIONS_MAX (256U << 20)

/* Bytes of code without unwind information that are looked at. */
#define GAP_BYTES_MAX (256U << 20)

#define CIE_SLOTS 64

/* Hand-written code at an entry: 61 bytes in glibc's loader. What follows a longer gap is another's. */
#define ENTRY_BYTES_MAX 128

/* What functions share; decoded once, found again by its offset. */
struct cie {
	bool known, usable;
	bool sized; /* entries have augmentation data, led by its size */
	uint8_t encoding;
	const struct cfi_section *section;
	Dwarf_Off offset;
	uint64_t code_align;
	int64_t data_align;
	size_t fde_skip;
	struct cfi_state initial;
};

struct function {
	uint32_t start, end;
	uint32_t offset; /* of the entry in its section */
	uint32_t order;	 /* as found; the first bit says which section */
};

enum { SECTION_CNT = 2 };

struct builder {
	struct elf_file file;
	struct cfi_section sections[SECTION_CNT];
	struct cie cies[CIE_SLOTS];
	uint64_t budget; /* instructions, and bytes of CIEs read again */
	uint64_t gap_budget;
	struct function *functions;
	size_t function_cnt, function_cap;
	struct cfi_table table;
	size_t row_cap;
	uint64_t covered; /* rows are there up to this address */
	struct cfi_program program;
};

/* ---- CIEs --------------------------------------------------------------------------------------
 */

/* Letters say what the data has, in their order. False for one that may hide a pointer's encoding.
 */
static bool read_augmentation(struct cie *cie, const struct cfi_section *section,
			      const Dwarf_CIE *dwarf)
{
	struct cfi_reader r = { dwarf->augmentation_data,
				dwarf->augmentation_data + dwarf->augmentation_data_size, false };
	const char *letter = dwarf->augmentation;
	uint64_t personality;

	if (!*letter || !strcmp(letter, "eh"))
		return true;
	if (*letter++ != 'z')
		return false;
	cie->sized = true;
	for (; *letter && !r.bad; letter++) {
		switch (*letter) {
		case 'R':
			cie->encoding = (uint8_t)cfi_read_uint(&r, 1);
			break;
		case 'L':
			cfi_read_uint(&r, 1);
			break;
		case 'P':
			/* what it points at does not matter, only its length */
			cfi_read_pointer(&r, cfi_read_uint(&r, 1) & 0x0f, section->data.d_buf, 0,
					 &personality);
			break;
		case 'S': /* a signal frame: seen by its rules */
		case 'B':
		case 'G':
			break;
		default:
			return false;
		}
	}
	return !r.bad;
}

static int run_initial(struct builder *b, struct cie *cie, const Dwarf_CIE *dwarf)
{
	struct cfi_program *p = &b->program;
	int err;

	*p = (struct cfi_program){
		.code = { dwarf->initial_instructions, dwarf->initial_instructions_end, false },
		.code_align = cie->code_align,
		.data_align = cie->data_align,
		.budget = &b->budget,
	};
	err = cfi_program_run(p);
	cie->initial = p->state;
	return err;
}

/* Decodes the CIE at an offset; *cie stays unusable when it makes no sense. 0 or -E2BIG. */
static int cie_read(struct builder *b, struct cie *cie, const struct cfi_section *section,
		    Dwarf_Off offset)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off next = offset;
	int err;

	*cie = (struct cie){ .known = true, .section = section, .offset = offset };
	if (offset >= section->data.d_size ||
	    dwarf_next_cfi((const unsigned char *)b->file.ehdr.e_ident, (Elf_Data *)&section->data,
			   section->eh_frame, offset, &next, &entry) ||
	    !dwarf_cfi_cie_p(&entry))
		return 0;
	if (next - offset > b->budget)
		return -E2BIG;
	b->budget -= next - offset;
	cie->code_align = entry.cie.code_alignment_factor;
	cie->data_align = entry.cie.data_alignment_factor;
	cie->fde_skip = entry.cie.fde_augmentation_data_size;
	if (entry.cie.return_address_register != CFI_REG_RETURN ||
	    !read_augmentation(cie, section, &entry.cie))
		return 0;
	err = run_initial(b, cie, &entry.cie);
	cie->usable = !err;
	return err == -E2BIG ? err : 0;
}

/* Files have a handful of CIEs, each used for a run of entries. */
static int cie_find(struct builder *b, const struct cfi_section *section, Dwarf_Off offset,
		    const struct cie **out)
{
	struct cie *cie = &b->cies[(offset >> 2 ^ offset >> 9) % CIE_SLOTS];
	int err = 0;

	if (!cie->known || cie->section != section || cie->offset != offset)
		err = cie_read(b, cie, section, offset);
	*out = cie;
	return err;
}

/* ---- entries -----------------------------------------------------------------------------------
 */

/* The range an entry is for; what is left in r are augmentation and instructions. */
static bool read_range(struct cfi_reader *r, const struct cie *cie,
		       const struct cfi_section *section, uint64_t *start, uint64_t *len)
{
	const uint8_t *begin = section->data.d_buf;

	return cfi_read_pointer(r, cie->encoding, begin, section->vaddr, start) &&
	       cfi_read_pointer(r, cie->encoding & 0x0f, begin, section->vaddr, len) &&
	       (int64_t)*len >= 0;
}

static bool is_code(const struct builder *b, uint64_t vaddr)
{
	const struct elf_segment *segment = elf_file_segment(&b->file, vaddr);

	return segment && segment->executable;
}

static int add_function(struct builder *b, const struct function *function)
{
	if (b->function_cnt == b->function_cap) {
		size_t cap = b->function_cap ? b->function_cap * 2 : 1024;
		struct function *grown = reallocarray(b->functions, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		b->functions = grown;
		b->function_cap = cap;
	}
	b->functions[b->function_cnt++] = *function;
	return 0;
}

static int note_entry(struct builder *b, unsigned section_idx, Dwarf_Off offset,
		      const Dwarf_FDE *fde)
{
	const struct cfi_section *section = &b->sections[section_idx];
	struct cfi_reader r = { fde->start, fde->end, false };
	const struct cie *cie;
	uint64_t start, len;
	int err = cie_find(b, section, fde->CIE_pointer, &cie);

	if (err)
		return err;
	if (!cie->usable || !read_range(&r, cie, section, &start, &len)) {
		b->table.counts.malformed++;
		return 0;
	}
	/* functions the linker left out have entries for nothing, or for address 0 */
	if (!len || !start)
		return 0;
	if (start + len > UINT32_MAX || start + len < start) {
		b->table.counts.out_of_reach++;
		return 0;
	}
	if (!is_code(b, start)) {
		b->table.counts.malformed++;
		return 0;
	}
	return add_function(b, &(struct function){
				       .start = start,
				       .end = start + len,
				       .offset = offset,
				       .order = section_idx << 31 | (uint32_t)b->function_cnt,
			       });
}

static int note_entries(struct builder *b, unsigned section_idx)
{
	struct cfi_section *section = &b->sections[section_idx];
	Dwarf_Off offset = 0, next;
	uint64_t entry_cnt = 0;
	int err = 0;

	while (!err && offset < section->data.d_size && entry_cnt < section->entry_max) {
		Dwarf_CFI_Entry entry;
		int rc;

		next = offset;
		rc = dwarf_next_cfi((const unsigned char *)b->file.ehdr.e_ident, &section->data,
				    section->eh_frame, offset, &next, &entry);
		if (rc > 0)
			break;
		if (rc < 0)
			b->table.counts.malformed++;
		if (next <= offset)
			break;
		if (!rc && !dwarf_cfi_cie_p(&entry)) {
			err = note_entry(b, section_idx, offset, &entry.fde);
			entry_cnt++;
		}
		offset = next;
	}
	return err;
}

static int compare_functions(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- rows --------------------------------------------------------------------------------------
 */

/* The rule from pc on. pcs come in rising order; a second rule for one pc takes the first one's
 * place. */
static int add_row(struct builder *b, uint32_t pc, uint32_t rule)
{
	struct cfi_table *t = &b->table;

	if (t->row_cnt && t->rows[t->row_cnt - 1].pc == pc)
		t->row_cnt--;
	if ((t->row_cnt ? t->rows[t->row_cnt - 1].rule : MT_RULE(MT_ROW_NONE, 0, 0)) == rule)
		return 0;
	if (t->row_cnt == b->row_cap) {
		size_t cap = b->row_cap ? b->row_cap * 2 : 4096;
		struct mt_row *grown;

		if (cap > CFI_ROWS_MAX)
			return -E2BIG;
		grown = reallocarray(t->rows, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->rows = grown;
		b->row_cap = cap;
	}
	t->rows[t->row_cnt++] = (struct mt_row){ .pc = pc, .rule = rule };
	return 0;
}

/* Makes program ready for a function's instructions; false when its entry is cut short. */
static bool start_program(struct builder *b, const struct function *function,
			  const struct cfi_section *section, const struct cie *cie,
			  const Dwarf_FDE *fde)
{
	struct cfi_reader r = { fde->start, fde->end, false };
	uint64_t start, len, skip;

	if (!cie->usable || !read_range(&r, cie, section, &start, &len))
		return false;
	skip = cie->sized ? cfi_read_uleb(&r) : cie->fde_skip;
	if (r.bad || skip > (size_t)(r.end - r.at))
		return false;
	r.at += skip;
	b->program = (struct cfi_program){
		.code = r,
		.code_align = cie->code_align,
		.data_align = cie->data_align,
		.encoding = cie->encoding,
		.section = section->data.d_buf,
		.section_vaddr = section->vaddr,
		.initial = &cie->initial,
		.budget = &b->budget,
		.pc = function->start,
		.state = cie->initial,
	};
	return true;
}

/* The rows of a function from b->covered to its end. */
static int add_function_rows(struct builder *b, const struct function *function)
{
	struct cfi_program *p = &b->program;
	int more, err;

	do {
		uint32_t rule;
		uint64_t from;

		more = cfi_program_run(p);
		if (more == -E2BIG)
			return more;
		if (more < 0)
			p->next_pc = UINT64_MAX;
		rule = more < 0 ? MT_RULE(MT_ROW_UNSUPPORTED, 0, 0) : cfi_state_rule(&p->state);
		from = p->pc > b->covered ? p->pc : b->covered;
		if (from < p->next_pc && from < function->end) {
			err = add_row(b, from, rule);
			if (err)
				return err;
		}
		p->pc = p->next_pc;
	} while (more > 0 && p->pc < function->end);
	return 0;
}

/* Code in a gap that keeps frame pointers has a row of its own. */
static int add_generated(struct builder *b, uint64_t start, uint64_t end)
{
	int err = 0;

	for (size_t i = 0; !err && i < b->file.load_cnt; i++) {
		const struct elf_segment *s = &b->file.loads[i];
		uint64_t low = s->vaddr > start ? s->vaddr : start;
		uint64_t high = s->vaddr + s->file_size < end ? s->vaddr + s->file_size : end;

		if (!s->executable || low < b->covered || high > UINT32_MAX ||
		    !cfi_gap_keeps_frames(&b->file, low, high, &b->gap_budget))
			continue;
		err = add_row(b, low, MT_RULE(MT_ROW_GENERATED, 0, 0));
		err = err ?: add_row(b, high, MT_RULE(MT_ROW_NONE, 0, 0));
		b->covered = high;
	}
	return err;
}

/* What no function covers says nothing, unless it is generated code. But the code at the program's entry,
 * which the kernel jumps to, has no caller, and the loader's own says so nowhere: every constructor's
 * stack ends there. */
static int add_gap(struct builder *b, uint64_t end)
{
	uint64_t entry = b->file.ehdr.e_entry;
	int err = add_row(b, b->covered, MT_RULE(MT_ROW_NONE, 0, 0));

	err = err ?: add_generated(b, b->covered, end);
	if (!err && entry >= b->covered && entry < end && end - entry <= ENTRY_BYTES_MAX &&
	    is_code(b, entry))
		err = add_row(b, entry, MT_RULE(MT_ROW_END, 0, 0));
	return err;
}

static int build_function(struct builder *b, const struct function *function)
{
	const struct cfi_section *section = &b->sections[function->order >> 31];
	struct cfi_counts *counts = &b->table.counts;
	Dwarf_CFI_Entry entry;
	const struct cie *cie;
	Dwarf_Off next;
	int err;

	counts->overlapping += function->start < b->covered;
	if (function->end <= b->covered)
		return 0;
	if (dwarf_next_cfi((const unsigned char *)b->file.ehdr.e_ident, (Elf_Data *)&section->data,
			   section->eh_frame, function->offset, &next, &entry))
		return -EIO; /* it could be read before */
	err = cie_find(b, section, entry.fde.CIE_pointer, &cie);
	if (err)
		return err;
	if (!start_program(b, function, section, cie, &entry.fde)) {
		counts->malformed++;
		return 0;
	}
	if (function->start > b->covered) {
		err = add_gap(b, function->start);
		b->covered = function->start;
	}
	err = err ?: add_function_rows(b, function);
	b->covered = function->end;
	counts->functions++;
	return err;
}

static int build_rows(struct builder *b)
{
	int err = 0;

	if (b->function_cnt)
		qsort(b->functions, b->function_cnt, sizeof(*b->functions), compare_functions);
	for (size_t i = 0; !err && i < b->function_cnt; i++)
		err = build_function(b, &b->functions[i]);
	if (!err)
		err = add_row(b, b->covered, MT_RULE(MT_ROW_NONE, 0, 0));
	err = err ?: add_generated(b, b->covered, UINT32_MAX);
	for (size_t i = 0; i < b->table.row_cnt; i++)
		b->table.counts.unsupported +=
			MT_RULE_KIND(b->table.rows[i].rule) == MT_ROW_UNSUPPORTED;
	return err;
}

static int build(struct builder *b)
{
	int err = cfi_section_eh_frame(&b->sections[0], &b->file);

	err = err ?: cfi_section_debug_frame(&b->sections[1], &b->file);
	for (unsigned i = 0; !err && i < SECTION_CNT; i++)
		err = note_entries(b, i);
	return err ?: build_rows(b);
}

int cfi_table_build(struct cfi_table *table, int fd)
{
	struct builder *b = calloc(1, sizeof(*b));
	enum elf_file_error why;
	int err;

	if (!b)
		return -ENOMEM;
	err = elf_file_open(&b->file, fd, &why);
	if (err)
		goto out;
	b->budget = INSTRUCTIONS_MAX;
	b->gap_budget = GAP_BYTES_MAX;
	err = build(b);
	elf_file_close(&b->file);
	for (unsigned i = 0; i < SECTION_CNT; i++)
		cfi_section_fini(&b->sections[i]);
	free(b->functions);
	if (err)
		cfi_table_fini(&b->table);
	else
		*table = b->table;
out:
	free(b);
	return err;
}

void cfi_table_fini(struct cfi_table *table)
{
	free(table->rows);
	*table = (struct cfi_table){ 0 };
}

size_t cfi_table_behind(const struct cfi_table *table, uint64_t pc)
{
	size_t low = 0, high = table->row_cnt; /* rows below low begin at or before pc */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->rows[middle].pc <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t cfi_table_rule(const struct cfi_table *table, uint64_t pc)
{
	size_t behind = cfi_table_behind(table, pc);

	return behind ? table->rows[behind - 1].rule : MT_RULE(MT_ROW_NONE, 0, 0);
}

const char *cfi_kind_name(unsigned kind)
{
#define NAME(name, text, meaning) #text,
	static const char *const names[] = { MT_ROW_KINDS(NAME) };
#undef NAME

	return kind < MT_ROW_KIND_CNT ? names[kind] : "unknown";
}
