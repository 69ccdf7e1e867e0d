// SPDX-License-Identifier: MIT
/* Where probes go: hand-assembled code, one rule a test, and the allocators of this machine. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/allocator.h"
#include "capture/place.h"

#if defined(__x86_64__)

#define BASE 0x401000

/* Runs of bytes, so that each line of a test is one instruction. */
#define CODE(...) ((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ })

#define PUSH_RBP 0x55
#define RET 0xc3
#define TEST_RDI 0x48, 0x85, 0xff
#define TEST_RSI 0x48, 0x85, 0xf6
#define JE(d) 0x74, d
#define JNE(d) 0x75, d
#define ENDBR64 0xf3, 0x0f, 0x1e, 0xfa
#define MOV_RAX_RDI 0x48, 0x89, 0xf8 /* mov %rdi,%rax */
#define MOV_RCX_RDI 0x48, 0x89, 0xf9 /* mov %rdi,%rcx */

static struct placement place_sized(enum mt_call call, uint64_t size, const uint8_t *code, size_t len)
{
	struct place_request req = { .call = call, .size = size };
	struct placement out;

	cr_assert_eq(probe_place(code, len, BASE, &req, &out), 0);
	return out;
}

static struct placement place(enum mt_call call, const uint8_t *code, size_t len)
{
	return place_sized(call, len, code, len);
}

static void expect_site(struct placement p, uint64_t offset, int line)
{
	cr_expect(p.emulated && !p.reason, "line %d: not emulated: %s", line, p.reason);
	cr_expect_eq(p.offset, offset, "line %d: at %lu", line, (unsigned long)p.offset);
}

static void expect_entry(struct placement p, int line)
{
	cr_expect(!p.emulated && p.reason, "line %d: a site at %lu", line, (unsigned long)p.offset);
	cr_expect_eq(p.offset, 0, "line %d", line);
}

#define EXPECT_SITE(offset, call, ...) expect_site(place(call, CODE(__VA_ARGS__)), offset, __LINE__)
#define EXPECT_ENTRY(call, ...) expect_entry(place(call, CODE(__VA_ARGS__)), __LINE__)

Test(place, a_push_at_the_entry_is_the_site)
{
	EXPECT_SITE(0, MT_CALL_MALLOC, PUSH_RBP, RET);
	EXPECT_SITE(0, MT_CALL_MALLOC, 0x41, 0x54, RET); /* push %r12 */
}

Test(place, what_kernels_emulate_is_a_site)
{
	EXPECT_SITE(0, MT_CALL_MALLOC, 0x90, RET);
	EXPECT_SITE(0, MT_CALL_MALLOC, 0xeb, 0x10);
	EXPECT_SITE(0, MT_CALL_MALLOC, 0xe9, 0, 1, 0, 0);
	EXPECT_SITE(0, MT_CALL_MALLOC, 0xe8, 0, 1, 0, 0);
	EXPECT_SITE(0, MT_CALL_MALLOC, JE(0x20), RET);
	EXPECT_SITE(0, MT_CALL_MALLOC, 0x0f, 0x87, 0, 1, 0, 0, RET);
}

Test(place, what_some_kernel_steps_is_no_site)
{
	EXPECT_SITE(2, MT_CALL_MALLOC, 0x66, 0x90, PUSH_RBP);
	EXPECT_SITE(5, MT_CALL_MALLOC, 0x0f, 0x1f, 0x44, 0x00, 0x00, PUSH_RBP);
	EXPECT_SITE(4, MT_CALL_MALLOC, ENDBR64, PUSH_RBP);
	EXPECT_ENTRY(MT_CALL_MALLOC, RET);
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x6a, 0x01, PUSH_RBP);	   /* push $1 */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0xff, 0x37, PUSH_RBP);	   /* push (%rdi) */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0xff, 0x25, 0, 0, 0, 0, PUSH_RBP); /* jmp *(%rip) */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x66, 0xe9, 0, 1, 0, 0, PUSH_RBP); /* data16 jmp */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0xe3, 0x10, PUSH_RBP);	   /* jrcxz */
}

Test(place, arithmetic_on_free_registers_is_crossed)
{
	EXPECT_SITE(3, MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP);
	EXPECT_SITE(4, MT_CALL_MALLOC, 0x48, 0x8d, 0x47, 0x07, PUSH_RBP); /* lea 7(%rdi),%rax */
	EXPECT_SITE(7, MT_CALL_MALLOC, MOV_RAX_RDI, 0x48, 0xc1, 0xe8, 0x03, PUSH_RBP); /* shr */
	EXPECT_SITE(2, MT_CALL_MALLOC, 0x31, 0xc0, PUSH_RBP); /* xor %eax,%eax */
}

Test(place, a_written_argument_is_not_crossed)
{
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x48, 0x89, 0xf7, PUSH_RBP);	/* mov %rsi,%rdi */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x31, 0xff, PUSH_RBP);		/* xor %edi,%edi */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x66, 0xff, 0xc7, PUSH_RBP);	/* inc %di */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x40, 0xb7, 0x01, PUSH_RBP);	/* mov $1,%dil */
	EXPECT_ENTRY(MT_CALL_CALLOC, 0x48, 0x89, 0xfe, PUSH_RBP);	/* mov %rdi,%rsi */
	EXPECT_ENTRY(MT_CALL_REALLOC, 0x31, 0xf6, PUSH_RBP);		/* xor %esi,%esi */
	EXPECT_ENTRY(MT_CALL_ALIGNED, 0x31, 0xf6, PUSH_RBP);
	EXPECT_ENTRY(MT_CALL_POSIX_MEMALIGN, 0x31, 0xd2, PUSH_RBP);	/* xor %edx,%edx */
	EXPECT_ENTRY(MT_CALL_POSIX_MEMALIGN, 0xb6, 0x01, PUSH_RBP);	/* mov $1,%dh */
	EXPECT_ENTRY(MT_CALL_REALLOCARRAY, 0x48, 0xf7, 0xe6, PUSH_RBP);	/* mul %rsi: %rdx too */
	EXPECT_ENTRY(MT_CALL_REALLOCARRAY, 0x48, 0x87, 0xd0, PUSH_RBP);	/* xchg %rdx,%rax */
}

Test(place, a_register_that_carries_no_argument_of_the_call_is_free)
{
	EXPECT_SITE(2, MT_CALL_MALLOC, 0x31, 0xf6, PUSH_RBP);
	EXPECT_SITE(2, MT_CALL_REALLOC, 0x31, 0xd2, PUSH_RBP);
	EXPECT_SITE(3, MT_CALL_FREE, MOV_RCX_RDI, PUSH_RBP);
}

Test(place, a_moved_stack_pointer_is_not_crossed)
{
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x48, 0x83, 0xec, 0x18, PUSH_RBP); /* sub $24,%rsp */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x48, 0x8d, 0x64, 0x24, 0xf8, PUSH_RBP); /* lea -8(%rsp),%rsp */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x5d, PUSH_RBP);			/* pop %rbp */
	/* reading it is fine */
	EXPECT_SITE(5, MT_CALL_MALLOC, 0x48, 0x8d, 0x44, 0x24, 0x08, PUSH_RBP);
}

Test(place, the_first_push_ends_the_walk)
{
	/* mov %rdi,%rax; push %rbp; push %rbx: not the second push, where %rsp has moved */
	EXPECT_SITE(3, MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0x53);
}

Test(place, memory_is_not_written_on_the_way)
{
	EXPECT_ENTRY(MT_CALL_FREE, 0x48, 0x89, 0x04, 0x24, PUSH_RBP);	     /* mov %rax,(%rsp) */
	EXPECT_ENTRY(MT_CALL_FREE, 0x48, 0x89, 0x05, 0, 1, 0, 0, PUSH_RBP);  /* mov %rax,(%rip) */
	EXPECT_ENTRY(MT_CALL_FREE, 0xff, 0x05, 0, 1, 0, 0, PUSH_RBP);	     /* incl (%rip) */
	EXPECT_ENTRY(MT_CALL_FREE, 0xf0, 0xff, 0x05, 0, 1, 0, 0, PUSH_RBP);  /* lock incl (%rip) */
	EXPECT_ENTRY(MT_CALL_FREE, 0x0f, 0x94, 0x05, 0, 1, 0, 0, PUSH_RBP);  /* sete (%rip) */
}

Test(place, reads_are_crossed)
{
	EXPECT_SITE(4, MT_CALL_FREE, 0x48, 0x8b, 0x47, 0xf8, PUSH_RBP);	/* mov -8(%rdi),%rax */
	EXPECT_SITE(3, MT_CALL_FREE, 0x64, 0x8b, 0x28, PUSH_RBP);	/* mov %fs:(%rax),%ebp */
	EXPECT_SITE(7, MT_CALL_ALIGNED, 0x80, 0x3d, 0, 1, 0, 0, 0, JE(7), RET); /* cmpb $0,(%rip) */
	EXPECT_SITE(7, MT_CALL_FREE, 0x48, 0x8b, 0x05, 0, 1, 0, 0, PUSH_RBP);	/* mov (%rip),%rax */
	EXPECT_SITE(9, MT_CALL_FREE, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0,
		    PUSH_RBP); /* mov %fs:0x28,%rax */
}

Test(place, what_is_not_known_to_be_harmless_is_not_crossed)
{
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x0f, 0x05, PUSH_RBP);	   /* syscall */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x0f, 0xa2, PUSH_RBP);	   /* cpuid */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x48, 0xf7, 0xf1, PUSH_RBP);  /* div %rcx */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x0f, 0x0b, PUSH_RBP);	   /* ud2 */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0xcc, PUSH_RBP);		   /* int3 */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0xf3, 0xab, PUSH_RBP);	   /* rep stos */
	EXPECT_ENTRY(MT_CALL_MALLOC, 0x06, PUSH_RBP);		   /* no instruction */
}

Test(place, a_jump_back_into_the_way_forbids_the_site)
{
	/* 0: mov %rdi,%rax  3: push %rbp  4: jmp 3, which would count again */
	EXPECT_ENTRY(MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0xeb, 0xfd);
	/* to the crossed instruction at 3 */
	EXPECT_ENTRY(MT_CALL_MALLOC, MOV_RAX_RDI, MOV_RCX_RDI, PUSH_RBP, 0x75, 0xfa);
	/* a loop instruction jumps too: 4: loop 3 */
	EXPECT_ENTRY(MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0xe2, 0xfd);
	/* and a near one */
	EXPECT_ENTRY(MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0x0f, 0x84, 0xf9, 0xff, 0xff, 0xff);
	/* behind the site it does not matter: 3: push  4: nop  5: jmp 4 */
	EXPECT_SITE(3, MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0x90, 0xeb, 0xfd);
}

Test(place, a_jump_to_the_entry_is_a_call_like_any_other)
{
	EXPECT_SITE(3, MT_CALL_MALLOC, MOV_RAX_RDI, PUSH_RBP, 0x5d, 0xeb, 0xf9);
}

Test(place, free_of_null_may_leave_before_the_site)
{
	/* 0: test %rdi,%rdi  3: je 6  5: push %rbp  6: ret */
	struct placement p = place(MT_CALL_FREE, CODE(TEST_RDI, JE(1), PUSH_RBP, RET));

	expect_site(p, 5, __LINE__);
	cr_expect(p.skips_null);
	/* through nops */
	p = place(MT_CALL_FREE, CODE(TEST_RDI, JE(1), PUSH_RBP, 0x66, 0x90, ENDBR64, 0xf3, 0xc3));
	expect_site(p, 5, __LINE__);
	/* flags survive a mov */
	p = place(MT_CALL_FREE, CODE(TEST_RDI, MOV_RCX_RDI, JE(1), PUSH_RBP, RET));
	expect_site(p, 8, __LINE__);
	cr_expect(p.skips_null);
}

Test(place, a_branch_that_is_not_shown_to_be_free_of_null_is_itself_the_site)
{
	struct placement p;

	/* the taken path does something: 6: xor %eax,%eax; ret */
	EXPECT_SITE(3, MT_CALL_FREE, TEST_RDI, JE(1), PUSH_RBP, 0x31, 0xc0, RET);
	/* it leaves the function */
	EXPECT_SITE(3, MT_CALL_FREE, TEST_RDI, JE(0x40), PUSH_RBP, RET);
	/* it pops bytes: ret $8 */
	EXPECT_SITE(3, MT_CALL_FREE, TEST_RDI, JE(1), PUSH_RBP, 0xc2, 0x08, 0x00);
	/* another register, another condition, flags written since */
	EXPECT_SITE(3, MT_CALL_FREE, TEST_RSI, JE(1), PUSH_RBP, RET);
	EXPECT_SITE(3, MT_CALL_FREE, TEST_RDI, JNE(1), PUSH_RBP, RET);
	EXPECT_SITE(5, MT_CALL_FREE, TEST_RDI, 0x31, 0xc0, JE(1), PUSH_RBP, RET);
	EXPECT_SITE(2, MT_CALL_FREE, 0x85, 0xff, JE(1), PUSH_RBP, RET); /* test %edi,%edi */
	/* not a free: realloc(NULL, n) allocates */
	EXPECT_SITE(3, MT_CALL_REALLOC, TEST_RDI, JE(1), PUSH_RBP, RET);
	/* crossed, but nothing behind it is a site: back to the branch, where NULL still passes */
	p = place(MT_CALL_FREE, CODE(TEST_RDI, JE(4), 0x48, 0x83, 0xec, 0x08, RET));
	expect_site(p, 3, __LINE__);
	cr_expect_not(p.skips_null);
}

Test(place, only_the_function_itself_is_searched)
{
	const uint8_t code[] = { MOV_RAX_RDI, MOV_RCX_RDI, PUSH_RBP, RET };

	expect_entry(place_sized(MT_CALL_MALLOC, 6, code, sizeof(code)), __LINE__);
	expect_site(place_sized(MT_CALL_MALLOC, 7, code, sizeof(code)), 6, __LINE__);
	expect_site(place_sized(MT_CALL_MALLOC, 0, code, sizeof(code)), 6, __LINE__);
}

Test(place, the_search_ends_within_reach)
{
	uint8_t code[PLACE_REACH + 4];

	memset(code, 0, sizeof(code));
	for (size_t i = 0; i < PLACE_REACH; i += 2)
		memcpy(code + i, "\x66\x90", 2);
	code[PLACE_REACH] = PUSH_RBP;
	expect_entry(place_sized(MT_CALL_MALLOC, 0, code, sizeof(code)), __LINE__);
	code[PLACE_REACH - 2] = PUSH_RBP;
	code[PLACE_REACH - 1] = RET;
	expect_site(place_sized(MT_CALL_MALLOC, 0, code, sizeof(code)), PLACE_REACH - 2, __LINE__);
}

Test(place, any_bytes_yield_a_place_within_them)
{
	uint32_t random = 1;

	for (int round = 0; round < 20000; round++) {
		struct place_request req = { .call = round % MT_CALL_CNT, .size = round % 40 };
		struct placement out;
		uint8_t code[32];

		for (size_t i = 0; i < sizeof(code); i++)
			code[i] = (random = random * 1664525 + 1013904223) >> 24;
		cr_assert_eq(probe_place(code, 1 + round % 32, BASE, &req, &out), 0);
		cr_assert_lt(out.offset, (uint64_t)(1 + round % 32));
	}
}

Test(place, no_code_is_an_error)
{
	struct place_request req = { .call = MT_CALL_MALLOC };
	struct placement out;

	cr_expect_eq(probe_place((const uint8_t *)"", 0, BASE, &req, &out), -EINVAL);
}

Test(place, a_branch_anywhere_in_the_text_is_seen)
{
	/* BASE: call BASE+0x103; at +5: jne BASE+0x103 */
	const uint8_t call[] = { 0x90, 0xe8, 0xfd, 0, 0, 0 };
	const uint8_t jne[] = { 0x0f, 0x85, 0xfd, 0, 0, 0 };

	cr_expect(place_text_enters(call, sizeof(call), BASE, BASE + 0x100, BASE + 0x103));
	cr_expect(place_text_enters(jne, sizeof(jne), BASE, BASE + 0x100, BASE + 0x103));
	cr_expect_not(place_text_enters(call, sizeof(call), BASE, BASE + 0x100, BASE + 0x102));
	cr_expect_not(place_text_enters(call, sizeof(call), BASE, BASE + 0x103, BASE + 0x109));
	cr_expect_not(place_text_enters(call, 5, BASE, BASE + 0x100, BASE + 0x103));
}

/* Assembles a library with free() and one more function, and places free's probe. */
static struct placement place_in_library(const char *other)
{
	static const char start[] = "void *malloc(long n) { return 0; } void cfree(void *p) { }\n"
				    "asm(\".globl free\\n.type free, @function\\nfree:\\n"
				    "test %rdi, %rdi\\nje 1f\\npush %rbp\\npop %rbp\\n1: ret\\n"
				    ".size free, .-free\\n";
	char dir[] = "/tmp/memtrace-place-XXXXXX", path[64], command[256];
	struct placement places[8], found = { .reason = "no free" };
	struct allocator a;
	FILE *f;
	int fd;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/in.c", dir);
	f = fopen(path, "w");
	cr_assert(f);
	fprintf(f, "%s%s\");\n", start, other);
	fclose(f);
	snprintf(command, sizeof(command), "cd %s && gcc -w -shared -fPIC -fno-builtin -o out in.c", dir);
	cr_assert_eq(system(command), 0);
	snprintf(path, sizeof(path), "%s/out", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(allocator_read(fd, &a), 0);
	cr_assert_leq(a.function_cnt, 8);
	cr_assert_eq(probe_place_all(fd, &a, places), 0);
	for (size_t i = 0; i < a.function_cnt; i++)
		if (!strcmp(a.functions[i].name, "free"))
			found = places[i];
	allocator_fini(&a);
	close(fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
	return found;
}

Test(place, code_elsewhere_that_jumps_past_the_entry_forbids_the_site)
{
	struct placement p = place_in_library("other: nop\\njmp free\\n");

	expect_site(p, 5, __LINE__);
	cr_expect(p.skips_null);
	/* .d32: no assembler shortens it, as none would from farther away */
	expect_entry(place_in_library("other: nop\\njmp.d32 free+5\\n"), __LINE__);
	expect_entry(place_in_library("other: nop\\njmp.d32 free+3\\n"), __LINE__);
	expect_site(place_in_library("other: nop\\njmp.d32 free+6\\n"), 5, __LINE__);
}

/* ---- the allocators of this machine, against objdump ---------------------------------------------- */

/* Lines of objdump's listing of [from, to): "  98ef9:\tpush   %rbp". */
static FILE *disassemble(const char *path, uint64_t from, uint64_t to)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "objdump -d --no-show-raw-insn --start-address=0x%lx --stop-address=0x%lx %s",
		 (unsigned long)from, (unsigned long)to, path);
	return popen(command, "r");
}

static bool mentions_as_target(const char *text, const char *const *registers)
{
	const char *last = strrchr(text, ',');

	if (!strncmp(text, "test", 4) || !strncmp(text, "cmp", 3))
		return false;
	for (; *registers; registers++)
		if (strstr(last ? last : text, *registers))
			return true;
	return false;
}

static bool is_emulated_text(const char *text)
{
	return !strncmp(text, "push", 4) || (text[0] == 'j' && !strchr(text, '*')) ||
	       !strncmp(text, "call", 4) || !strcmp(text, "nop");
}

/* What objdump says about the way from the entry to the site. */
static void check_site(const char *path, const struct allocator_function *f,
		       const struct placement *p)
{
	static const char *const kept[] = { "%rdi", "%edi", "%di", "%rsp", "%esp", NULL };
	uint64_t site = f->vaddr + p->offset;
	bool reached = false;
	char line[512];
	FILE *listing = disassemble(path, f->vaddr, site + 16);

	cr_assert(listing);
	while (!reached && fgets(line, sizeof(line), listing)) {
		unsigned long address;
		char text[256];

		if (sscanf(line, " %lx:%*[ \t]%255[^\n#]", &address, text) != 2)
			continue;
		reached = address == site;
		if (reached) {
			cr_expect(is_emulated_text(text), "%s %s+%lu: %s", path, f->name,
				  (unsigned long)p->offset, text);
			break;
		}
		cr_expect_lt(address, site, "%s %s: +%lu is inside an instruction", path, f->name,
			     (unsigned long)p->offset);
		cr_expect(strncmp(text, "push", 4) && strncmp(text, "pop", 3) &&
			  strncmp(text, "call", 4) && strncmp(text, "ret", 3), "%s %s: %s", path,
			  f->name, text);
		cr_expect_not(mentions_as_target(text, kept), "%s %s: %s", path, f->name, text);
	}
	while (fgets(line, sizeof(line), listing))
		;
	pclose(listing);
	cr_expect(reached, "%s %s: no instruction begins at +%lu", path, f->name,
		  (unsigned long)p->offset);
}

/* Every function of the file; false when the file is not installed. */
static bool check_file(const char *path, size_t emulated_min)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct placement *places;
	struct allocator a;
	size_t emulated = 0;

	if (fd < 0)
		return false;
	cr_assert_eq(allocator_read(fd, &a), 0);
	cr_assert(a.is_allocator, "%s %s", path, allocator_why_text(a.why));
	places = calloc(a.function_cnt, sizeof(*places));
	cr_assert_eq(probe_place_all(fd, &a, places), 0);
	for (size_t i = 0; i < a.function_cnt; i++) {
		emulated += places[i].emulated;
		if (places[i].emulated)
			check_site(path, &a.functions[i], &places[i]);
	}
	cr_expect_geq(emulated, emulated_min, "%s: only %zu of %zu sites emulated", path, emulated,
		      a.function_cnt);
	free(places);
	allocator_fini(&a);
	close(fd);
	return true;
}

/* Shows the test as skipped, with the reason. */
#define SKIP(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "SKIP: " __VA_ARGS__);                                             \
		cr_skip_test(__VA_ARGS__);                                                         \
	} while (0)

static void check_library(const char *path, size_t emulated_min)
{
	if (system("command -v objdump >/dev/null"))
		SKIP("no objdump to compare with\n");
	if (!check_file(path, emulated_min))
		SKIP("%s is not installed\n", path);
}

Test(place, sites_of_libc)
{
	check_library("/lib/x86_64-linux-gnu/libc.so.6", 6);
}

Test(place, sites_of_jemalloc)
{
	check_library("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", 15);
}

Test(place, sites_of_tcmalloc)
{
	check_library("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", 15);
}

Test(place, sites_of_mimalloc)
{
	static const char *const paths[] = { "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2",
					     "/usr/lib/x86_64-linux-gnu/libmimalloc.so.3" };

	check_library(paths[access(paths[0], R_OK) ? 1 : 0], 8);
}

Test(place, sites_of_musl)
{
	check_library("/lib/ld-musl-x86_64.so.1", 6);
}

Test(place, free_of_glibc_2_36_sits_behind_its_null_check)
{
	const char *path = "/lib/x86_64-linux-gnu/libc.so.6";
	static const uint8_t start[] = { TEST_RDI, 0x0f, 0x84, 0xbf, 0, 0, 0, PUSH_RBP };
	uint8_t code[sizeof(start)];
	struct placement places[64];
	struct allocator a;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		SKIP("no %s\n", path);
	cr_assert_eq(allocator_read(fd, &a), 0);
	cr_assert_leq(a.function_cnt, 64);
	cr_assert_eq(probe_place_all(fd, &a, places), 0);
	for (size_t i = 0; i < a.function_cnt; i++) {
		if (strcmp(a.functions[i].name, "free"))
			continue;
		cr_assert_eq(pread(fd, code, sizeof(code), a.functions[i].file_offset),
			     (ssize_t)sizeof(code));
		if (memcmp(code, start, sizeof(code)))
			SKIP("another glibc\n");
		cr_expect_eq(places[i].offset, 9);
		cr_expect(places[i].skips_null);
	}
	allocator_fini(&a);
	close(fd);
}

#endif
