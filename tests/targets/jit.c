// SPDX-License-Identifier: MIT
/*
 * jit.c HOW - allocates from a function it writes into memory itself, and lists it for perf.
 *
 *	main -> call_generated -> generated (in anonymous memory) -> malloc
 *
 * HOW is what /tmp/perf-PID.map is: "named", "none", "removed" (once tracing began), "foreign"
 * (another user's), "fifo", "link", "stale" (older than the process), "sparse" (4 GB of nothing
 * behind the entry), "garbage" (among good lines); "forked": a child calls the code its parent
 * listed.
 */
#include "truth.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

typedef void *(*generated_fn)(size_t size, void *(*allocate)(size_t));

static char map[64];

/* Keeps a frame pointer; calls its second argument with its first. */
static generated_fn generate(void)
{
#if defined(__x86_64__)
	static const unsigned char code[] = {
		0x55,		  /* push %rbp */
		0x48, 0x89, 0xe5, /* mov %rsp, %rbp */
		0xff, 0xd6,	  /* call *%rsi */
		0x5d,		  /* pop %rbp */
		0xc3,		  /* ret */
	};
#else
	static const uint32_t code[] = {
		0xa9bf7bfd, /* stp x29, x30, [sp, -16]! */
		0x910003fd, /* mov x29, sp */
		0xd63f0020, /* blr x1 */
		0xa8c17bfd, /* ldp x29, x30, [sp], 16 */
		0xd65f03c0, /* ret */
	};
#endif
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		t_die("jit: no memory\n");
	memcpy(page + 256, code, sizeof(code));
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
	generated = generate();
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
