// SPDX-License-Identifier: MIT
/*
 * test_stops.c - a program that is stopped at the allocation that crosses a limit: the report's stack
 * against the one gdb finds in the stopped process.
 *
 * Limits are drawn, with a seed that stays. MT_STOPS=20 draws so many for each program instead of
 * one.
 */
#include "servers.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "expect.h"

SUITE(stops);

#define FRAMES 256

struct frame {
	const char *module;
	unsigned long long address; /* in the module's ELF addresses */
};

struct stack {
	struct frame frames[FRAMES];
	size_t cnt;
};

/* What a file offset is as an address of that ELF file. */
static unsigned long long elf_address(const char *path, unsigned long long offset)
{
	unsigned long long address = offset;
	FILE *file = fopen(path, "re");
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	if (!file || fread(&ehdr, sizeof(ehdr), 1, file) != 1)
		fatal("cannot read %s", path);
	fseek(file, (long)ehdr.e_phoff, SEEK_SET);
	for (int i = 0; i < ehdr.e_phnum && fread(&phdr, sizeof(phdr), 1, file) == 1; i++)
		if (phdr.p_type == PT_LOAD && offset >= phdr.p_offset &&
		    offset < phdr.p_offset + phdr.p_filesz && phdr.p_flags & PF_X)
			address = offset - phdr.p_offset + phdr.p_vaddr;
	fclose(file);
	return address;
}

static struct frame frame_at(const char *maps, unsigned long long pc)
{
	for (const char *line = maps; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned long long start, end, offset;
		int path = 0;

		if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %n", &start, &end, &offset, &path) < 3 ||
		    pc < start || pc >= end || line[path] != '/')
			continue;
		line += path;
		line = text_of("%.*s", (int)strcspn(line, "\n"), line);
		return (struct frame){ line, elf_address(line, pc - start + offset) };
	}
	return (struct frame){ "", pc };
}

/*
 * The stop comes while the kernel's trampoline returns from the allocator. Where that is a system call
 * (Linux 6.11) three words are to be popped first, the last one is the address to return to:
 *
 *	sp -> | r11 | rcx | return address | ...caller's frame...
 *
 * Then every frame's pc is an address that a call returns to.
 */
static const char script[] =
	"import gdb\n"
	"gdb.execute('set backtrace past-main on')\n"
	"gdb.execute('set backtrace past-entry on')\n"
	"pc = int(gdb.parse_and_eval('(unsigned long)$pc'))\n"
	"maps = [line.split() for line in open('/proc/%d/maps' % gdb.selected_inferior().pid)]\n"
	"if any(pc >= int(m[0].split('-')[0], 16) and pc < int(m[0].split('-')[1], 16)\n"
	"       for m in maps if m[-1] == '[uprobes]'):\n"
	"\tgdb.execute('set var $pc = *(unsigned long *)($sp + 16)')\n"
	"\tgdb.execute('set var $sp = $sp + 24')\n"
	"frame = gdb.newest_frame()\n"
	"while frame:\n"
	"\tif frame.type() != gdb.INLINE_FRAME:\n"
	"\t\tprint('frame %#x' % frame.pc())\n"
	"\tframe = frame.older()\n";

static void stack_by_gdb(struct stack *stack, pid_t pid)
{
	const char *maps = file_text(text_of("/proc/%d/maps", (int)pid)), *line;
	const char *path = stage_path("stack.py");
	struct child *child;

	file_write(path, script);
	run(&(struct start){ .argv = LIST("gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
					  "-p", text_of("%d", (int)pid), "-x", path) },
	    &child);
	stack->cnt = 0;
	for (line = file_text(child->out); *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned long long pc;

		if (stack->cnt == FRAMES || sscanf(line, "frame %llx", &pc) != 1)
			continue;
		stack->frames[stack->cnt] = frame_at(maps, pc - 1);
		/* the preload library is where it stopped, and no caller */
		stack->cnt += stack->cnt || !strstr(stack->frames[0].module, "libmemtrace-preload");
	}
	cr_assert_gt(stack->cnt, 0, "%s%s", file_text(child->out), file_text(child->err));
}

static void stack_of_limit(struct stack *stack, const json_t *report)
{
	json_t *site, *frame, *wanted = NULL;
	size_t i;

	json_array_foreach(member(report, "sites"), i, site)
	{
		if (figure(site, "id") == figure(report, "limit.site"))
			wanted = site;
	}
	cr_assert_not_null(wanted, "the site that crossed is not among the sites");
	cr_expect_str_eq(json_string_value(member(wanted, "stack_end")), "complete");
	stack->cnt = 0;
	json_array_foreach(member(wanted, "stack"), i, frame)
	{
		if (!json_is_true(member(frame, "inlined")) && stack->cnt < FRAMES)
			stack->frames[stack->cnt++] = (struct frame){
				json_string_value(member(frame, "module")),
				(unsigned long long)figure(frame, "offset"),
			};
	}
}

static bool frames_equal(const struct frame *a, const struct frame *b)
{
	return a->address == b->address && a->module && b->module && !strcmp(a->module, b->module);
}

static void expect_equal(const struct stack *ours, const struct stack *theirs, const char *when)
{
	cr_expect_eq(ours->cnt, theirs->cnt, "%s: %zu frames, gdb says %zu", when, ours->cnt,
		     theirs->cnt);
	for (size_t i = 0; i < ours->cnt && i < theirs->cnt; i++)
		cr_expect(frames_equal(&ours->frames[i], &theirs->frames[i]),
			  "%s: frame %zu is %s %#llx, gdb says %s %#llx", when, i,
			  ours->frames[i].module, ours->frames[i].address, theirs->frames[i].module,
			  theirs->frames[i].address);
}

/* Stops the command at a limit, and compares; the frames. */
static size_t stop_at(const char *mib, const char *const *command)
{
	struct pipe_pair err = pipe_new();
	struct stack ours, theirs;
	const char *line, *pid_at;
	struct tracer tracer;
	json_t *report;
	pid_t pid;

	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("--limit-mb", mib, "--on-limit", "stop",
						      "--stack-depth", "127"),
				      .command = command,
				      .env = LIST(text_of("TMPDIR=%s", stage_path("")),
						  "PYTHONMALLOC=malloc"),
				      .err_fd = err.out,
			      });
	pipe_close(&err.out);
	line = pipe_wait_line(err.in, "kill -CONT ");
	pid_at = strstr(line, "kill -CONT ") + strlen("kill -CONT ");
	pid = atoi(pid_at);
	stack_by_gdb(&theirs, pid);
	/* all that memtrace names: it stopped the rest of the tree as well */
	for (; pid_at && atoi(pid_at) > 1; pid_at = strchr(pid_at, ' '), pid_at += !!pid_at)
		kill(atoi(pid_at), SIGKILL);
	pipe_wait_end(err.in);
	report = tracer_finish(&tracer);
	cr_assert_not_null(report);
	stack_of_limit(&ours, report);
	expect_equal(&ours, &theirs, text_of("%s at %s MiB", command[0], mib));
	return ours.cnt;
}

static void expect_stops(const char *const *command, unsigned int seed, int most_mib)
{
	int stops = getenv("MT_STOPS") ? atoi(getenv("MT_STOPS")) : 1;
	size_t frames = 0;

	need("gdb");
	if (command[0][0] != '/')
		need(command[0]);
	for (int i = 0; i < stops; i++)
		frames += stop_at(text_of("%d", 1 + rand_r(&seed) % most_mib), command);
	fprintf(stderr, "%s: %d stops, %zu frames\n", command[0], stops, frames);
}

Test(stops, sqlite3)
{
	expect_stops(LIST("sqlite3", "-batch", "-init", "/dev/null", ":memory:",
			  "create table t(a integer primary key, b text);"
			  "create index x on t(b);"
			  "with recursive n(i) as (select 1 union all select i + 1 from n where i < "
			  "400000) insert into t select i, printf('%040d', i) from n;"),
		     1, 12);
}

Test(stops, python3)
{
	expect_stops(LIST("/usr/bin/python3", "-S", "-s", "-c",
			  "import json, re, random, ast\n"
			  "random.seed(7)\n"
			  "work = [lambda: json.loads(json.dumps(list(range(5000)))),\n"
			  "        lambda: {str(i): [i] for i in range(5000)},\n"
			  "        lambda: re.findall('.', 'x' * 5000),\n"
			  "        lambda: ast.parse('a = b + c\\n' * 500),\n"
			  "        lambda: sorted(str(i) for i in range(5000))]\n"
			  "kept = [random.choice(work)() for i in range(500)]\n"),
		     2, 6);
}

Test(stops, perl)
{
	expect_stops(LIST("perl", "-e",
			  "my %h; for my $i (1..500000) { $h{$i} = [1..($i % 7)];"
			  " push @{$h{l}}, 'x' x ($i % 30); $h{$1} .= $i if $i =~ /(\\d\\d)$/ }"),
		     3, 12);
}

Test(stops, the_compiler)
{
	expect_stops(LIST("gcc", "-O2", "-c", "-o", "/dev/null", TESTS_DIR "/targets/stack_shapes.c"),
		     4, 3);
}
