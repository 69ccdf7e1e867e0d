/* SPDX-License-Identifier: MIT */
/*
 * capstone.h - the disassembler library, there only while it is needed.
 *
 * Its tables are 5 MB, a quarter of what an idle tracer may take, and it works for milliseconds when
 * probes are placed; so it is not linked but loaded for that time.
 */
#ifndef CAPTURE_CAPSTONE_H
#define CAPTURE_CAPSTONE_H

/* capstone 5 has an enum of this name, linux/bpf.h a struct. */
#define bpf_insn capstone_bpf_insn
#include <capstone/capstone.h>
#undef bpf_insn

struct capstone {
	void *library;
	__typeof__(&cs_open) open;
	__typeof__(&cs_close) close;
	__typeof__(&cs_option) option;
	__typeof__(&cs_malloc) malloc;
	__typeof__(&cs_free) free;
	__typeof__(&cs_disasm_iter) disasm_iter;
};

/* 0, or -ELIBACC when there is no library of the version this was built with. Nested loads are cheap. */
int capstone_load(struct capstone *capstone);
void capstone_unload(struct capstone *capstone);

#endif
