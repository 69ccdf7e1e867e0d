// SPDX-License-Identifier: MIT
#include "preload_listener.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS (1u << 17) /* slots of an account's table */
#define TASKS 256

struct listener_block {
	uint64_t address; /* 0: empty */
	uint64_t size;
	bool inherited, gone;
};

/* A thread that is traced. */
struct task {
	pid_t tid; /* 0: empty */
	struct listener_account *account;
	uint64_t base;	/* where the library is; 0: not looked for */
	uint64_t begun; /* the block of a realloc_begin without its end */
	uint64_t begun_size;
	bool begun_known, begun_inherited;
	bool held; /* seen before the stop of its maker that tells what it is */
};

struct listener {
	const struct listener_options *options;
	struct listener_run *run;
	struct task tasks[TASKS];
	char library[128];
};

/* ---- accounts ----------------------------------------------------------------------------------
 */

static struct listener_block *slot_of(struct listener_account *account, uint64_t address)
{
	uint32_t i = (uint32_t)(address >> 3) * 2654435761u & (BLOCKS - 1);

	while (account->blocks[i].address && account->blocks[i].address != address)
		i = (i + 1) & (BLOCKS - 1);
	return &account->blocks[i];
}

static void put_in(struct listener_account *account, uint64_t address, uint64_t size,
		   bool inherited)
{
	struct listener_block *block = slot_of(account, address);

	if (block->address && !block->gone)
		account->wrong++;
	*block =
		(struct listener_block){ .address = address, .size = size, .inherited = inherited };
	if (inherited)
		return;
	account->live_blocks++;
	account->live_bytes += size;
}

/* false: nobody knows it. */
static bool take_out(struct listener_account *account, uint64_t address, uint64_t *size,
		     bool *inherited)
{
	struct listener_block *block = slot_of(account, address);

	if (!block->address || block->gone)
		return false;
	block->gone = true;
	*size = block->size;
	*inherited = block->inherited;
	if (!block->inherited) {
		account->live_blocks--;
		account->live_bytes -= block->size;
	}
	return true;
}

static void freed(struct listener_account *account, bool known, bool inherited, uint64_t size)
{
	if (!known) {
		account->unknown_frees++;
	} else if (inherited) {
		account->inherited_frees++;
	} else {
		account->frees++;
		account->freed_bytes += size;
	}
}

static void allocated(struct listener_account *account, uint64_t address, uint64_t size)
{
	account->allocs++;
	account->alloc_bytes += size;
	put_in(account, address, size, false);
}

static void realloc_ended(struct task *task, const uint64_t *arg)
{
	struct listener_account *account = task->account;
	bool begun = task->begun;

	if (begun && task->begun != arg[0])
		account->wrong++;
	task->begun = 0;
	if (!arg[1] && arg[2]) { /* failed */
		if (begun && task->begun_known)
			put_in(account, arg[0], task->begun_size, task->begun_inherited);
		account->failed += arg[4] != 0;
		return;
	}
	if (begun)
		freed(account, task->begun_known, task->begun_inherited, task->begun_size);
	else if (!arg[4])
		account->wrong++; /* says nothing */
	if (arg[1] && arg[4]) {
		allocated(account, arg[1], arg[2]);
		account->weight += arg[3];
		account->count += arg[4];
		account->reallocs += begun && task->begun_known;
	}
}

static void book(struct task *task, const struct listener_event *event)
{
	struct listener_account *account = task->account;
	const char *name = event->site->name;
	const uint64_t *arg = event->arg;
	uint64_t size = 0;
	bool known, inherited = false;

	if (!strcmp(name, "claim")) {
		account->claims++;
	} else if (!strcmp(name, "alloc")) {
		if (strstr(event->caller, "/ld-")) {
			account->loaders++;
			return;
		}
		allocated(account, arg[0], arg[1]);
		account->weight += arg[2];
		account->count += arg[3];
	} else if (!strcmp(name, "free")) {
		known = take_out(account, arg[0], &size, &inherited);
		freed(account, known, inherited, size);
	} else if (!strcmp(name, "realloc_begin")) {
		account->wrong += task->begun != 0;
		task->begun = arg[0];
		task->begun_inherited = false;
		task->begun_known =
			take_out(account, arg[0], &task->begun_size, &task->begun_inherited);
	} else if (!strcmp(name, "realloc_end")) {
		realloc_ended(task, arg);
	} else if (!strcmp(name, "failed")) {
		account->failed++;
	}
}

static struct listener_account *account_new(struct listener *listener, pid_t pid)
{
	struct listener_account *account = &listener->run->accounts[listener->run->cnt++];

	cr_assert_leq(listener->run->cnt, (size_t)LISTENER_ACCOUNTS_MAX);
	*account = (struct listener_account){ .pid = pid };
	account->blocks = calloc(BLOCKS, sizeof(*account->blocks));
	cr_assert(account->blocks);
	return account;
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

static struct task *task_of(struct listener *listener, pid_t tid)
{
	struct task *empty = NULL;

	for (size_t i = 0; i < TASKS; i++) {
		if (listener->tasks[i].tid == tid)
			return &listener->tasks[i];
		if (!listener->tasks[i].tid && !empty)
			empty = &listener->tasks[i];
	}
	cr_assert(empty, "too many threads at once");
	*empty = (struct task){ .tid = tid };
	return empty;
}

/* A new thread shares its maker's account; a fork child has a copy of the blocks. */
static void born(struct listener *listener, const struct task *maker, pid_t tid, int how)
{
	struct task *task = task_of(listener, tid);

	task->base = maker->base;
	task->account = how == PTRACE_EVENT_FORK ? account_new(listener, tid) : maker->account;
	if (task->held)
		ptrace(PTRACE_CONT, tid, 0, 0);
	task->held = false;
	for (size_t i = 0; how == PTRACE_EVENT_FORK && i < BLOCKS; i++) {
		const struct listener_block *block = &maker->account->blocks[i];

		if (block->address && !block->gone)
			put_in(task->account, block->address, block->size, true);
	}
}

static void read_memory(pid_t tid, uint64_t address, void *to, size_t bytes)
{
	struct iovec local = { to, bytes }, remote = { (void *)address, bytes };

	cr_assert_eq(process_vm_readv(tid, &local, 1, &remote, 1, 0), (ssize_t)bytes,
		     "cannot read %#lx of %d", (unsigned long)address, tid);
}

/* Where the file that holds address is mapped from, or, with a path, where that file is. */
static uint64_t mapped(pid_t tid, uint64_t address, char *path, size_t len, const char *wanted)
{
	char name[64], line[512], file[256];
	uint64_t start, end, found = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/maps", tid);
	f = fopen(name, "r");
	cr_assert(f);
	while (!found && fgets(line, sizeof(line), f)) {
		*file = 0;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &start, &end, file) < 2)
			continue;
		if (wanted ? !strcmp(file, wanted) : address >= start && address < end)
			found = start;
	}
	fclose(f);
	if (found && path)
		snprintf(path, len, "%s", file);
	return found;
}

/* An int3: at a site, or the program's own. */
static bool at_site(struct listener *listener, struct task *task)
{
	const struct preload_file *file = listener->options->file;
	struct listener_event event = { .pid = task->account->pid };
	struct user_regs_struct regs;

	cr_assert_eq(ptrace(PTRACE_GETREGS, task->tid, 0, &regs), 0);
	if (!task->base)
		task->base = mapped(task->tid, 0, NULL, 0, listener->library);
	for (size_t i = 0; i < file->site_cnt && !event.site; i++) {
		if (task->base + file->sites[i].address + 1 == regs.rip)
			event.site = &file->sites[i];
	}
	if (!event.site)
		return false;
	memcpy(event.arg, (uint64_t[]){ regs.rdi, regs.rsi, regs.rdx, regs.rcx, regs.r8 },
	       sizeof(event.arg));
	read_memory(task->tid, regs.rbp, event.frame, sizeof(event.frame));
	mapped(task->tid, event.frame[1] - 1, event.caller, sizeof(event.caller), NULL);
	if (!strcmp(event.site->provider, MT_PRELOAD_PROVIDER))
		book(task, &event);
	if (listener->options->on_event)
		listener->options->on_event(&event, listener->options->context);
	return true;
}

/* A stop; returns the signal to go on with. */
static int stopped(struct listener *listener, struct task *task, int status)
{
	unsigned long message = 0;
	int event = status >> 16;

	switch (event) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		ptrace(PTRACE_GETEVENTMSG, task->tid, 0, &message);
		born(listener, task, (pid_t)message, event);
		return 0;
	case PTRACE_EVENT_EXEC:
		task->account = account_new(listener, task->tid);
		task->base = 0;
		return 0;
	case 0:
		if (WSTOPSIG(status) == SIGTRAP && at_site(listener, task))
			return 0;
		return WSTOPSIG(status);
	default:
		return 0;
	}
}

static pid_t start(struct listener *listener, char *const argv[])
{
	const struct listener_options *options = listener->options;
	int go[2];
	pid_t pid;

	cr_assert_eq(pipe(go), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		char preload[512], byte;

		snprintf(preload, sizeof(preload), "%s %s %s",
			 options->before ? options->before : "", listener->library,
			 options->more ? options->more : "");
		setenv("LD_PRELOAD", preload, 1);
		setenv("MT_TRUTH", truth_path(), 1);
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			execv(argv[0], argv);
		_exit(127);
	}
	close(go[0]);
	cr_assert_eq(ptrace(PTRACE_SEIZE, pid, 0,
			    PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
				    PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC),
		     0, "cannot trace a child: %s", strerror(errno));
	task_of(listener, pid)->account = account_new(listener, pid);
	cr_assert_eq(write(go[1], "g", 1), 1);
	close(go[1]);
	return pid;
}

void listener_run(const struct listener_options *options, char *const argv[],
		  struct listener_run *run)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	unsigned int listen = options->listen ? options->listen : LISTEN_MEMTRACE;
	pid_t main_pid, tid;
	int status;

	cr_assert(listener);
	*run = (struct listener_run){ .cnt = 0 };
	listener->options = options;
	listener->run = run;
	snprintf(listener->library, sizeof(listener->library), "%s/listened.so", preload_stage());
	unlink(truth_path());
	preload_copy(options->file, listener->library, listen | LISTEN_TRAP, options->config);
	main_pid = start(listener, argv);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		struct task *task = task_of(listener, tid);
		int signal;

		if (!WIFSTOPPED(status)) {
			if (tid == main_pid)
				run->status = status;
			task->tid = 0;
			continue;
		}
		if (!task->account) {
			task->held = true;
			continue;
		}
		signal = stopped(listener, task, status);
		ptrace(PTRACE_CONT, tid, 0, signal);
	}
	for (size_t i = 0; i < run->cnt; i++)
		free(run->accounts[i].blocks);
	free(listener);
}

/* ---- the truth ---------------------------------------------------------------------------------
 */

const char *truth_path(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/truth", preload_stage());
	return path;
}

/* Line n of the truth, or false. */
static bool truth_line(size_t n, char *line, size_t len)
{
	FILE *f = fopen(truth_path(), "r");
	bool there = f;

	for (size_t i = 0; there && i <= n; i++)
		there = fgets(line, (int)len, f);
	if (f)
		fclose(f);
	return there;
}

size_t truth_lines(void)
{
	static char line[32768];
	size_t cnt = 0;

	while (truth_line(cnt, line, sizeof(line)))
		cnt++;
	return cnt;
}

long long truth_figure(size_t n, const char *name)
{
	static char line[32768];
	char key[64];
	const char *at;

	cr_assert(truth_line(n, line, sizeof(line)), "the program wrote no line %zu", n);
	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(line, key);
	cr_assert(at, "the truth has no %s", name);
	return atoll(at + strlen(key));
}

const struct listener_account *truth_account(const struct listener_run *run, size_t line)
{
	long long pid = truth_figure(line, "pid");
	const struct listener_account *found = NULL;

	for (size_t i = 0; i < run->cnt; i++) {
		/* the last one: the first is from before the exec */
		if (run->accounts[i].pid == pid)
			found = &run->accounts[i];
	}
	cr_assert(found, "no account of process %lld", pid);
	return found;
}
