// SPDX-License-Identifier: MIT
/*
 * sandbox.c strict | allow-list | no-advice | no-new-code - a forked child shuts itself in, then
 * allocates.
 *
 * Sites that the kernel has made calls need care in a forked child, and the child can do little:
 *
 *	strict		seccomp's own mode: read, write and exit
 *	allow-list	a filter that kills for any other call
 *	no-advice	a filter that refuses madvise and mprotect
 *	no-new-code	memory that was not executable never will be (in the parent, for all
 *			its children)
 */
#include "truth.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PR_SET_MDWE 65 /* Linux 6.3 */
#define UNSUPPORTED 77

static void work(void)
{
	void *block;

	for (int i = 0; i < 300; i++) {
		block = t_malloc(100);
		if (i % 3)
			block = t_realloc(block, 150);
		t_free(block);
	}
	t_malloc(24);
}

static void filter(const int *calls, size_t cnt, uint32_t listed, uint32_t others)
{
	struct sock_filter code[32] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .filter = code };
	unsigned short len = 1;

	for (size_t i = 0; i < cnt; i++) {
		code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							   (uint32_t)calls[i], 0, 1);
		code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
	}
	code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
	program.len = len;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(UNSUPPORTED);
}

static void shut_in(const char *how)
{
	static const int few[] = { SYS_read, SYS_write, SYS_exit, SYS_exit_group };
	static const int advice[] = { SYS_madvise, SYS_mprotect };

	if (!strcmp(how, "strict") && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(UNSUPPORTED);
	if (!strcmp(how, "allow-list"))
		filter(few, 4, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
	if (!strcmp(how, "no-advice"))
		filter(advice, 2, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
}

static void child(const char *how)
{
	int truth = t_open();
	pid_t pid = getpid();

	t_forked();
	shut_in(how);
	work();
	if (truth >= 0)
		t_write_to(truth, pid);
	syscall(SYS_exit, 0);
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2)
		return 2;
	t_begin();
	work(); /* so that every site was hit */
	if (!strcmp(argv[1], "no-new-code") && prctl(PR_SET_MDWE, 1, 0, 0, 0))
		return UNSUPPORTED;
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (!pid)
			child(argv[1]);
		waitpid(pid, &status, 0);
		if (status)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	work();
	t_finish();
	return 0;
}
