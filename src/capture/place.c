// SPDX-License-Identifier: MIT
#include "capture/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/allocator.h"
#include "capture/capstone.h"

/* A function is scanned for jumps into its beginning up to here. */
#define BODY_MAX (64 << 10)
/* Code of a file is scanned as a whole up to here; beyond, only each function itself. */
#define TEXT_MAX (256ULL << 20)

#if defined(__x86_64__)

#define GPR_RSP 4
#define GPR_RDI 7
#define GPR_RSI 6
#define GPR_RDX 2

/* Registers of one machine register, by hardware number; the last row is the old high bytes. */
static const x86_reg gprs[][16] = {
	{ X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX, X86_REG_RSP, X86_REG_RBP, X86_REG_RSI,
	  X86_REG_RDI, X86_REG_R8, X86_REG_R9, X86_REG_R10, X86_REG_R11, X86_REG_R12, X86_REG_R13,
	  X86_REG_R14, X86_REG_R15 },
	{ X86_REG_EAX, X86_REG_ECX, X86_REG_EDX, X86_REG_EBX, X86_REG_ESP, X86_REG_EBP, X86_REG_ESI,
	  X86_REG_EDI, X86_REG_R8D, X86_REG_R9D, X86_REG_R10D, X86_REG_R11D, X86_REG_R12D,
	  X86_REG_R13D, X86_REG_R14D, X86_REG_R15D },
	{ X86_REG_AX, X86_REG_CX, X86_REG_DX, X86_REG_BX, X86_REG_SP, X86_REG_BP, X86_REG_SI,
	  X86_REG_DI, X86_REG_R8W, X86_REG_R9W, X86_REG_R10W, X86_REG_R11W, X86_REG_R12W,
	  X86_REG_R13W, X86_REG_R14W, X86_REG_R15W },
	{ X86_REG_AL, X86_REG_CL, X86_REG_DL, X86_REG_BL, X86_REG_SPL, X86_REG_BPL, X86_REG_SIL,
	  X86_REG_DIL, X86_REG_R8B, X86_REG_R9B, X86_REG_R10B, X86_REG_R11B, X86_REG_R12B,
	  X86_REG_R13B, X86_REG_R14B, X86_REG_R15B },
	{ X86_REG_AH, X86_REG_CH, X86_REG_DH, X86_REG_BH },
};

static int gpr_number(unsigned int reg)
{
	for (size_t row = 0; row < sizeof(gprs) / sizeof(gprs[0]); row++)
		for (int i = 0; i < 16; i++)
			if (reg != X86_REG_INVALID && gprs[row][i] == reg)
				return i;
	return -1;
}

/* One bit for each register that must still be as the caller left it. */
static uint32_t registers_kept(enum mt_call call)
{
	uint32_t kept = 1 << GPR_RSP | 1 << GPR_RDI;

	if (call != MT_CALL_MALLOC && call != MT_CALL_FREE)
		kept |= 1 << GPR_RSI;
	if (call == MT_CALL_REALLOCARRAY || call == MT_CALL_POSIX_MEMALIGN || call == MT_CALL_NONE)
		kept |= 1 << GPR_RDX;
	return kept;
}

/*
 * The instructions that all kernels from 5.15 on emulate under a uprobe (branch_setup_xol_ops and
 * push_setup_xol_ops of arch/x86/kernel/uprobes.c). Left out on purpose:
 *   - prefixed forms: "66 90" is refused or stepped before 6.2, 66-prefixed branches everywhere
 *     (processors differ on them), segment-prefixed ones cannot be probed at all;
 *   - nops longer than a byte: emulated only since 6.16, and since 6.18 the five-byte one is
 *     rewritten into a call that overwrites the red zone;
 *   - endbr64 and ret: always stepped.
 */
static bool insn_is_emulated(const uint8_t *bytes, size_t len)
{
	switch (len) {
	case 1:
		return (bytes[0] & 0xf8) == 0x50 || bytes[0] == 0x90;
	case 2:
		return (bytes[0] & 0xf0) == 0x70 || bytes[0] == 0xeb ||
		       (bytes[0] == 0x41 && (bytes[1] & 0xf8) == 0x50);
	case 5:
		return bytes[0] == 0xe8 || bytes[0] == 0xe9;
	case 6:
		return bytes[0] == 0x0f && (bytes[1] & 0xf0) == 0x80;
	}
	return false;
}

static bool insn_is_endbr64(const cs_insn *insn)
{
	return insn->size == 4 && !memcmp(insn->bytes, "\xf3\x0f\x1e\xfa", 4);
}

/* Does nothing at all, whatever its operands say. xchg %ax,%ax is how "66 90" is decoded. */
static bool insn_is_nop(const cs_insn *insn)
{
	return insn->id == X86_INS_NOP || insn_is_endbr64(insn) ||
	       (insn->size == 2 && !memcmp(insn->bytes, "\x66\x90", 2));
}

static bool insn_is_cmov_or_set(const cs_insn *insn)
{
	return !strncmp(insn->mnemonic, "cmov", 4) || !strncmp(insn->mnemonic, "set", 3);
}

/* Changes its first operand and nothing else, not even flags. */
static bool insn_moves(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
	case X86_INS_LEA:
	case X86_INS_NOT:
	case X86_INS_BSWAP:
		return true;
	}
	return insn_is_cmov_or_set(insn);
}

/* Changes its first operand and flags, and nothing else; no value of operands makes it fault. */
static bool insn_computes(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_ADD:
	case X86_INS_ADC:
	case X86_INS_SUB:
	case X86_INS_SBB:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_XOR:
	case X86_INS_NEG:
	case X86_INS_INC:
	case X86_INS_DEC:
	case X86_INS_SHL:
	case X86_INS_SHR:
	case X86_INS_SAR:
	case X86_INS_SAL:
	case X86_INS_ROL:
	case X86_INS_ROR:
	case X86_INS_BSF:
	case X86_INS_BSR:
		return true;
	case X86_INS_IMUL: /* with one operand it writes %rdx */
		return insn->detail->x86.op_count > 1;
	}
	return false;
}

static bool insn_compares(const cs_insn *insn)
{
	return insn->id == X86_INS_CMP || insn->id == X86_INS_TEST;
}

/*
 * True if an instruction between the entry and the site leaves all that a probe looks at as it
 * was. Reads of memory are fine: a page that has to be brought in restarts the instruction, and
 * where a read is the end of the process the call has not happened. (jemalloc's free reads its
 * thread's cache before anything the kernel emulates.) A list of what is known to be harmless: anything else ends the walk.
 */
static bool insn_is_harmless(const cs_insn *insn, uint32_t kept)
{
	const cs_x86 *x86 = &insn->detail->x86;
	bool writes_first = insn_moves(insn) || insn_computes(insn);

	if (insn_is_nop(insn))
		return true;
	if (!writes_first && !insn_compares(insn))
		return false;
	if (x86->prefix[0] || !x86->op_count) /* lock, rep; a setcc look-alike */
		return false;
	for (int i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];
		int gpr;

		if (op->type == X86_OP_IMM)
			continue;
		if (op->type == X86_OP_MEM) {
			if (insn->id == X86_INS_LEA)
				continue;
			if (i == 0 && writes_first)
				return false;
			continue;
		}
		gpr = op->type == X86_OP_REG ? gpr_number(op->reg) : -1;
		if (gpr < 0 || (i == 0 && writes_first && (kept >> gpr & 1)))
			return false;
	}
	return true;
}

/* `test %rdi,%rdi`: the zero flag now says whether the pointer is NULL. */
static bool insn_tests_pointer(const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;

	return insn->id == X86_INS_TEST && x86->op_count == 2 &&
	       x86->operands[0].type == X86_OP_REG && x86->operands[0].reg == X86_REG_RDI &&
	       x86->operands[1].type == X86_OP_REG && x86->operands[1].reg == X86_REG_RDI;
}

struct decoder {
	struct capstone capstone;
	csh cs;
	cs_insn *insn;
	const uint8_t *code;
	size_t len;
	uint64_t vaddr;
};

static int decoder_init(struct decoder *d, const uint8_t *code, size_t len, uint64_t vaddr)
{
	*d = (struct decoder){ .code = code, .len = len, .vaddr = vaddr };
	if (capstone_load(&d->capstone))
		return -ELIBACC;
	if (!d->capstone.open(CS_ARCH_X86, CS_MODE_64, &d->cs)) {
		d->capstone.option(d->cs, CS_OPT_DETAIL, CS_OPT_ON);
		d->insn = d->capstone.malloc(d->cs);
		if (d->insn)
			return 0;
		d->capstone.close(&d->cs);
	}
	capstone_unload(&d->capstone);
	return -ENOMEM;
}

static void decoder_fini(struct decoder *d)
{
	d->capstone.free(d->insn, 1);
	d->capstone.close(&d->cs);
	capstone_unload(&d->capstone);
}

/* NULL when the bytes at offset are no whole instruction. */
static const cs_insn *decode_at(struct decoder *d, size_t offset)
{
	const uint8_t *code = d->code + offset;
	uint64_t address = d->vaddr + offset;
	size_t left;

	if (offset >= d->len)
		return NULL;
	left = d->len - offset;
	if (!d->capstone.disasm_iter(d->cs, &code, &left, &address, d->insn))
		return NULL;
	return d->insn;
}

/* Target of a relative branch as an offset from the entry; false for all other instructions. */
static bool branch_target(const struct decoder *d, const cs_insn *insn, uint64_t *offset)
{
	const cs_x86 *x86 = &insn->detail->x86;
	uint8_t op = insn->bytes[0];

	/* the kinds by opcode: capstone's groups leave out loop and jrcxz in some versions */
	if (x86->op_count != 1 || x86->operands[0].type != X86_OP_IMM)
		return false;
	if (op == 0x68 || op == 0x6a || op == 0xc2 || op == 0xcd) /* push, ret, int: no target */
		return false;
	*offset = (uint64_t)x86->operands[0].imm - d->vaddr;
	return true;
}

/* Nothing but nops and then a plain ret. */
static bool leads_to_ret(struct decoder *d, uint64_t offset)
{
	for (int i = 0; i < 8 && offset < d->len; i++) {
		const cs_insn *insn = decode_at(d, offset);

		if (!insn)
			return false;
		if (insn->bytes[0] == 0xc3 ||
		    (insn->size == 2 && !memcmp(insn->bytes, "\xf3\xc3", 2)))
			return true;
		if (!insn_is_nop(insn))
			return false;
		offset += insn->size;
	}
	return false;
}

/*
 * True if a branch in the function lands after the entry and not after site: then passing the
 * site would not mean a call, or a call could pass it twice. Jumps through a register or a table
 * cannot be seen; compilers make them for switches, long after a prologue.
 */
static bool body_enters(struct decoder *d, uint64_t size, uint64_t site)
{
	size_t end = size && size < d->len ? size : d->len;
	uint64_t target;

	if (end > BODY_MAX)
		end = BODY_MAX;
	for (size_t at = 0; at < end;) {
		const cs_insn *insn = decode_at(d, at);

		if (!insn) { /* data between code: look at every byte */
			at++;
			continue;
		}
		if (branch_target(d, insn, &target) && target > 0 && target <= site)
			return true;
		at += insn->size;
	}
	return false;
}

struct walk {
	uint64_t site;
	bool found;
	bool skips_null;
	const char *reason;
};

/* The branch at the current site may be crossed: its taken path does nothing that counts. */
static bool branch_only_skips_null(struct decoder *d, const cs_insn *insn, enum mt_call call,
				   bool flags_say_null)
{
	uint64_t target;

	if (call != MT_CALL_FREE && call != MT_CALL_FREE_SIZED)
		return false; /* malloc(0) and realloc(NULL) are calls that count */
	return flags_say_null && insn->id == X86_INS_JE && branch_target(d, insn, &target) &&
	       leads_to_ret(d, target);
}

/* Follows the straight line from the entry, and keeps the last place that is a good site. */
static void walk_to_site(struct decoder *d, const struct place_request *req, struct walk *w)
{
	uint64_t end = req->size && req->size < PLACE_REACH ? req->size : PLACE_REACH;
	uint32_t kept = registers_kept(req->call);
	bool flags_say_null = false, crossed_null = false;
	uint64_t at = 0;

	w->reason = "no emulated instruction near the entry";
	while (at < end) {
		const cs_insn *insn = decode_at(d, at);
		size_t size;

		if (!insn) {
			w->reason = "the code at the entry could not be decoded";
			return;
		}
		size = insn->size;
		if (insn_is_emulated(insn->bytes, size)) {
			bool may_cross = branch_only_skips_null(d, insn, req->call, flags_say_null);

			if (at && body_enters(d, req->size, at)) {
				w->reason = "the function jumps back to its beginning";
				return;
			}
			w->site = at;
			w->found = true;
			w->skips_null = crossed_null;
			if (!may_cross)
				return;
			crossed_null = true;
			at += size;
			continue;
		}
		if (!insn_is_harmless(insn, kept)) {
			w->reason = "an instruction before any emulated one changes what a probe reads";
			return;
		}
		if (insn_tests_pointer(insn))
			flags_say_null = true;
		else if (!insn_is_nop(insn) && !insn_moves(insn))
			flags_say_null = false;
		at += size;
	}
}

int probe_place(const uint8_t *code, size_t len, uint64_t vaddr, const struct place_request *req,
		struct placement *out)
{
	struct walk w = { 0 };
	struct decoder d;
	int err;

	if (!len)
		return -EINVAL;
	err = decoder_init(&d, code, len, vaddr);
	if (err)
		return err;
	walk_to_site(&d, req, &w);
	decoder_fini(&d);
	*out = (struct placement){
		.offset = w.site,
		.emulated = w.found,
		.skips_null = w.skips_null,
		.reason = w.found ? NULL : w.reason,
	};
	return 0;
}

static bool is_branch32(const uint8_t *p, size_t left, size_t *size)
{
	if (left >= 5 && (p[0] & 0xfe) == 0xe8)
		*size = 5;
	else if (left >= 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80)
		*size = 6;
	else
		return false;
	return true;
}

static uint64_t branch32_target(const uint8_t *p, size_t size, uint64_t vaddr)
{
	int32_t displacement;

	memcpy(&displacement, p + size - 4, 4);
	return vaddr + size + (int64_t)displacement;
}

bool place_text_enters(const uint8_t *text, size_t len, uint64_t vaddr, uint64_t entry,
		       uint64_t site)
{
	size_t size;

	for (size_t at = 0; at < len; at++) {
		uint64_t target;

		if (!is_branch32(text + at, len - at, &size))
			continue;
		target = branch32_target(text + at, size, vaddr + at);
		if (target > entry && target <= site)
			return true;
	}
	return false;
}

/* place_text_enters for all sites in one pass; each that is entered goes back to its entry. */
static void retreat_entered(const uint8_t *text, size_t len, uint64_t vaddr,
			    const struct allocator *allocator, struct placement *out)
{
	uint64_t low = UINT64_MAX, high = 0;
	size_t size;

	for (size_t i = 0; i < allocator->function_cnt; i++) {
		uint64_t entry = allocator->functions[i].vaddr;

		low = entry < low ? entry : low;
		high = entry + out[i].offset > high ? entry + out[i].offset : high;
	}
	for (size_t at = 0; at < len; at++) {
		uint64_t target;

		if (!is_branch32(text + at, len - at, &size))
			continue;
		target = branch32_target(text + at, size, vaddr + at);
		if (target <= low || target > high)
			continue;
		for (size_t i = 0; i < allocator->function_cnt; i++) {
			uint64_t entry = allocator->functions[i].vaddr;

			if (target > entry && target <= entry + out[i].offset)
				out[i] = (struct placement){
					.reason = "other code jumps past the function's entry",
				};
		}
	}
}

#else /* not x86-64 */

int probe_place(const uint8_t *code, size_t len, uint64_t vaddr, const struct place_request *req,
		struct placement *out)
{
	(void)code, (void)vaddr, (void)req;
	if (!len)
		return -EINVAL;
	*out = (struct placement){ .reason = "placement is known for x86-64 only" };
	return 0;
}

bool place_text_enters(const uint8_t *text, size_t len, uint64_t vaddr, uint64_t entry,
		       uint64_t site)
{
	(void)text, (void)len, (void)vaddr, (void)entry, (void)site;
	return false;
}

static void retreat_entered(const uint8_t *text, size_t len, uint64_t vaddr,
			    const struct allocator *allocator, struct placement *out)
{
	(void)text, (void)len, (void)vaddr, (void)allocator, (void)out;
}

#endif

/* Reads all of [offset, offset + len), or as much as the file has. */
static ssize_t read_at(int fd, uint8_t *buf, size_t len, uint64_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, offset + got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += n;
	}
	return got;
}

static int place_one(int fd, const struct allocator_function *f, uint8_t *buf,
		     struct placement *out)
{
	struct place_request req = { .call = f->call, .size = f->size };
	ssize_t len = read_at(fd, buf, f->size && f->size < BODY_MAX ? f->size : BODY_MAX,
			      f->file_offset);

	if (len < 0)
		return len;
	if (len == 0) {
		*out = (struct placement){ .reason = "the code could not be read" };
		return 0;
	}
	return probe_place(buf, len, f->vaddr, &req, out);
}

int probe_place_all(int fd, const struct allocator *allocator, struct placement *out)
{
	struct capstone held;
	const struct allocator_text *text = &allocator->text;
	uint8_t *buf;
	ssize_t len;
	int err = 0;

	if (capstone_load(&held)) /* once for all functions */
		return -ELIBACC;
	buf = malloc(BODY_MAX);
	if (!buf)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < allocator->function_cnt; i++)
		err = place_one(fd, &allocator->functions[i], buf, &out[i]);
	free(buf);
	capstone_unload(&held);
	if (err || !text->size || text->size > TEXT_MAX)
		return err;
	buf = malloc(text->size);
	if (!buf)
		return -ENOMEM;
	len = read_at(fd, buf, text->size, text->file_offset);
	if (len > 0)
		retreat_entered(buf, len, text->vaddr, allocator, out);
	free(buf);
	return 0;
}
