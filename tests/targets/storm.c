// SPDX-License-Identifier: MIT
/* storm.c - runs /bin/true again and again until it is killed, and allocates nothing itself. */
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	char *const argv[] = { (char *)"true", NULL };
	char *const environment[] = { NULL };

	for (;;) {
		pid_t pid = vfork();

		if (!pid) {
			execve("/bin/true", argv, environment);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
}
