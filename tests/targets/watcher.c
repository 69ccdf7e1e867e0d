// SPDX-License-Identifier: MIT
/*
 * watcher.c - runs a program and watches it as a shell with job control does.
 *
 *	watcher PROGRAM
 *
 * Exits with 9 when it ever sees its child stopped, else with the child's status.
 */
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	if (argc < 2)
		return 2;
	pid = fork();
	if (!pid) {
		execl(argv[1], argv[1], (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid)
		return 3;
	if (WIFSTOPPED(status))
		return 9;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}
