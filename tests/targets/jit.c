// SPDX-License-Identifier: MIT
/*
 * jit.c HOW - allocates from a function it writes into memory itself, and lists it for perf.
 *
 *	main -> call_generated -> generated (in anonymous memory) -> malloc
 *
 * HOW is what /tmp/perf-PID.map is: "named", "none", "removed" (once tracing began), "foreign"
 * (another user's), "fifo", "link", "stale" (older than the process), "sparse" (4 GB of nothing
 * behind the entry), "garbage" (among good lines); "forked": a child calls the code its parent
 * listed. "frameless", "pushing", "roomy": as "named", by code that keeps no frame pointer;
 * "memfd": as "named", by code in a file without a name.
 */
#include "truth.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

typedef void *(*generated_fn)(size_t size, void *(*allocate)(size_t));

static char map[64];

struct code {
	const char *how; /* NULL: any other */
	const char *bytes;
	size_t len;
};

#define CODE(how, bytes) { how, bytes, sizeof(bytes) - 1 }

/* Each calls its second argument with its first. */
static const struct code codes[] = {
#if defined(__x86_64__)
	CODE("frameless", "\x48\x83\xec\x08" /* sub $8, %rsp */
			  "\xff\xd6"	       /* call *%rsi */
			  "\x48\x83\xc4\x08" /* add $8, %rsp */
			  "\xc3"),	       /* ret */
	CODE("pushing", "\x55"		       /* push %rbp */
			"\xbd\x01\x00\x00\x00" /* mov $1, %ebp */
			"\xff\xd6"
			"\x5d" /* pop %rbp */
			"\xc3"),
	CODE("roomy", "\x48\x81\xec\x08\x20\x00\x00" /* sub $0x2008, %rsp */
		      "\xff\xd6"
		      "\x48\x81\xc4\x08\x20\x00\x00"
		      "\xc3"),
	CODE(NULL, "\x55"
		   "\x48\x89\xe5" /* mov %rsp, %rbp */
		   "\xff\xd6"
		   "\x5d"
		   "\xc3"),
#else
	CODE(NULL, "\xfd\x7b\xbf\xa9"  /* stp x29, x30, [sp, -16]! */
		   "\xfd\x03\x00\x91"  /* mov x29, sp */
		   "\x20\x00\x3f\xd6"  /* blr x1 */
		   "\xfd\x7b\xc1\xa8"  /* ldp x29, x30, [sp], 16 */
		   "\xc0\x03\x5f\xd6"), /* ret */
#endif
};

static generated_fn generate(const char *how)
{
	const struct code *code = codes;
	int fd = strcmp(how, "memfd") ? -1 : memfd_create("doublemapper", 0);
	char *page;

	if (fd >= 0 && ftruncate(fd, 4096))
		t_die("jit: no file\n");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		t_die("jit: no memory\n");
	while (code->how && strcmp(code->how, how))
		code++;
	memcpy(page + 256, code->bytes, code->len);
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC))
		t_die("jit: no code of one's own here\n");
	__builtin___clear_cache(page, page + 4096);
	return (generated_fn)(void *)(page + 256);
}

static void list(generated_fn generated, const char *how)
{
	FILE *file;

	if (!strcmp(how, "fifo")) {
		mkfifo(map, 0600);
		return;
	}
	if (!strcmp(how, "link")) {
		static char elsewhere[80];

		snprintf(elsewhere, sizeof(elsewhere), "%s.real", map);
		if (symlink(elsewhere, map))
			t_die("jit: no link\n");
	}
	file = fopen(map, "w");
	if (!file)
		t_die("jit: cannot write the map\n");
	if (!strcmp(how, "garbage"))
		fprintf(file, "no line at all\n%s\n-1 5 minus\n", "zzzz 10 x");
	fprintf(file, "%lx 20 an older name\n", (unsigned long)generated);
	fprintf(file, "%lx 20 generated (app.js:1)\n", (unsigned long)generated);
	if (!strcmp(how, "garbage"))
		fprintf(file, "ffffffffffffffff ffffffffffffffff overflow\n%lx 20 torn",
			(unsigned long)generated);
	fflush(file);
	if (!strcmp(how, "sparse") && ftruncate(fileno(file), 1LL << 32))
		t_die("jit: no large file\n");
	fclose(file);
	if (!strcmp(how, "foreign") && chown(map, 12345, 12345))
		t_die("jit: cannot give the map away\n");
	if (!strcmp(how, "stale")) {
		struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

		utimensat(AT_FDCWD, map, old, 0);
	}
}

T_NOINLINE void *call_generated(generated_fn generated, size_t size)
{
	void *block = generated(size, malloc);

	T_HIDE(block);
	return block;
}

static void work(generated_fn generated)
{
	void *block = call_generated(generated, 1000);

	t_got(block, 1000);
	t_write();
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "named";
	generated_fn generated;
	pid_t child;

	snprintf(map, sizeof(map), "/tmp/perf-%d.map", (int)getpid());
	generated = generate(how);
	if (strcmp(how, "none") && strcmp(how, "removed"))
		list(generated, how);
	if (!strcmp(how, "removed"))
		list(generated, "named");
	t_begin();
	if (!strcmp(how, "removed"))
		unlink(map);
	if (!strcmp(how, "forked")) {
		child = fork();
		if (!child) {
			t_forked();
			work(generated);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		t_write();
	} else {
		work(generated);
	}
	t_done();
	t_hold();
	return 0;
}
