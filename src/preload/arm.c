// SPDX-License-Identifier: MIT
#include "preload/arm.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>

#include "memtrace/preload.h"
#include "preload/site.h"
#include "preload/sys.h"

#define PAGE_BYTES 4096
/* first bytes */
#define CALL 0xe8
#define INT3 0xcc
#define NOP10 0x66
#define WIPE_ON_FORK 18 /* MADV_WIPEONFORK, Linux 4.14 */

static const uint32_t always = 1;
const volatile uint32_t *arm_mark = &always;

/* This file as it is mapped. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

void arm_start(void)
{
	uint32_t *mark = sys_map(PAGE_BYTES);

	if (!mark)
		return;
	if (sys_call6(SYS_madvise, (long)mark, PAGE_BYTES, WIPE_ON_FORK, 0, 0, 0)) {
		sys_unmap(mark, PAGE_BYTES);
		return;
	}
	*mark = 1;
	arm_mark = mark;
}

/* The linker's: first and last of the list in site.h. */
extern const int32_t __start_memtrace_sites[] __attribute__((visibility("hidden")));
extern const int32_t __stop_memtrace_sites[] __attribute__((visibility("hidden")));

/* Has a site been made a call? An int3 is as good in a child as it was. */
static bool has_calls(void)
{
#ifdef __x86_64__
	for (const int32_t *site = __start_memtrace_sites; site < __stop_memtrace_sites; site++) {
		const volatile uint8_t *code = (const uint8_t *)site + *site;

		if (code[MT_PRELOAD_NOP5] == CALL)
			return true;
		/* of the nop10 kernels make two instructions; whichever comes first is neither of
		 * these */
		if (code[MT_PRELOAD_NOP10] != NOP10 && code[MT_PRELOAD_NOP10] != INT3)
			return true;
	}
#endif
	return false;
}

/* The pages of our code. */
static bool find_code(uintptr_t *start, uintptr_t *end)
{
	uintptr_t base = (uintptr_t)&__ehdr_start;
	const ElfW(Phdr) *phdr = (const ElfW(Phdr) *)(base + __ehdr_start.e_phoff);

	for (int i = 0; i < __ehdr_start.e_phnum; i++) {
		if (phdr[i].p_type != PT_LOAD || !(phdr[i].p_flags & PF_X))
			continue;
		*start = (base + phdr[i].p_vaddr) & ~(uintptr_t)(PAGE_BYTES - 1);
		*end = (base + phdr[i].p_vaddr + phdr[i].p_memsz + PAGE_BYTES - 1) &
		       ~(uintptr_t)(PAGE_BYTES - 1);
		return true;
	}
	return false;
}

bool arm_again(void)
{
	uintptr_t start, end;

	if (!has_calls()) {
		*(uint32_t *)arm_mark = 1;
		return true;
	}
	if (!find_code(&start, &end) || end - start < 4 * PAGE_BYTES)
		return false;
	/* whoever listens is counted anew when its probe is put in */
	memtrace_semaphores.any = 0;
	if (sys_call6(SYS_madvise, (long)start, (long)(end - start), MADV_DONTNEED, 0, 0, 0))
		return false;
	/* advice for one page parts the mapping, and its end joins it again; the kernel puts probes into
	 * what comes of either. Rights are not touched: some processes may not give them back, and other
	 * threads may run here. */
	if (sys_call6(SYS_madvise, (long)start, PAGE_BYTES, MADV_RANDOM, 0, 0, 0) ||
	    sys_call6(SYS_madvise, (long)start, PAGE_BYTES, MADV_NORMAL, 0, 0, 0))
		return false;
	*(uint32_t *)arm_mark = 1;
	return true;
}
