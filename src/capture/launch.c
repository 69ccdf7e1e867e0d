// SPDX-License-Identifier: MIT
#include "capture/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/message.h"
#include "capture/deps.h"
#include "memtrace/memtrace.h"

extern char **environ;

struct launch {
	pid_t pid;
	int ns_fd;     /* the tree's mount namespace */
	int root_fd;   /* its root there, which need not be the namespace's */
	int go_fd;     /* written once to let the child exec; -1 afterwards */
	int result_fd; /* the child's errno, or end of file when exec closed it */
	bool reaped;
	int wait_status;
	struct rusage used; /* once reaped, with all it waited for */
	char *name; /* argv[0], for messages */
};

int launch_find_program(const char *name, char *path, struct message *why)
{
	const char *dirs = getenv("PATH"), *end;
	bool denied = false;
	struct stat st;

	if (!dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	if (strchr(name, '/'))
		dirs = NULL;
	for (const char *dir = dirs;; dir = end + 1) {
		end = dir ? strchrnul(dir, ':') : NULL;
		if (dir)
			snprintf(path, PATH_MAX, "%.*s/%s", (int)(end - dir), *dir == ':' ? "." : dir,
				 name);
		else
			snprintf(path, PATH_MAX, "%s", name);
		if (!stat(path, &st)) {
			if (S_ISREG(st.st_mode) && !access(path, X_OK) && st.st_mode & 0111)
				return 0;
			denied = true;
		}
		if (!dir || !*end)
			break;
	}
	if (denied)
		return message_set(why, -EACCES, "cannot run '%s': it is not an executable file "
				   "(check the path, or chmod +x)", name);
	return message_set(why, -ENOENT, "cannot run '%s': No such file or directory (%s; check the name)",
			   name, dirs ? "no such program in PATH" : "no such program at that path");
}

/* ---- the child --------------------------------------------------------------------------------- */

static int become_user(const struct memtrace_command *c)
{
	struct passwd *pw = getpwuid(c->uid);

	if (pw ? initgroups(pw->pw_name, c->gid) : setgroups(0, NULL))
		return -errno;
	if (setgid(c->gid) || setuid(c->uid))
		return -errno;
	if (pw) {
		setenv("HOME", pw->pw_dir, 1);
		setenv("USER", pw->pw_name, 1);
		setenv("LOGNAME", pw->pw_name, 1);
	}
	return 0;
}

/* A file without #! whose beginning is text: a shell can make something of it. */
static bool is_shell_text(const char *program)
{
	char head[128];
	int fd = open(program, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, head, sizeof(head)) : -1;

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < got && head[i] != '\n'; i++)
		if ((unsigned char)head[i] < ' ' && head[i] != '\t')
			return false;
	return got >= 0;
}

static void exec_program(const char *program, char *const *argv)
{
	char **shell;
	size_t cnt = 0;

	execv(program, argv);
	if (errno != ENOEXEC)
		return;
	if (!is_shell_text(program)) {
		errno = ENOEXEC;
		return;
	}
	while (argv[cnt])
		cnt++;
	shell = calloc(cnt + 2, sizeof(*shell)); /* a script without #!, as execvp does it */
	if (!shell)
		return;
	shell[0] = "/bin/sh";
	shell[1] = (char *)program;
	memcpy(shell + 2, argv + 1, cnt * sizeof(*shell));
	execv(shell[0], shell);
}

static void child(const struct memtrace_command *c, const char *program, const char *preload,
		  int go, int result)
{
	sigset_t none;
	char byte = 0;
	int err = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* handlers go with exec by themselves; what is ignored stays ignored, as nohup needs it */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		err = errno;
	if (write(result, &err, sizeof(err)) != sizeof(err) || err)
		_exit(127);
	if (read(go, &byte, 1) != 1)
		_exit(127); /* the tracer is gone or changed its mind */
	if (c->set_user)
		err = -become_user(c);
	if (!err && preload && setenv("LD_PRELOAD", preload, 1))
		err = errno;
	if (!err) {
		exec_program(program, c->argv);
		err = errno;
	}
	if (write(result, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

/* ---- the parent -------------------------------------------------------------------------------- */

static int read_result(int fd, int *err)
{
	ssize_t got;

	do
		got = read(fd, err, sizeof(*err));
	while (got < 0 && errno == EINTR);
	return got == sizeof(*err) ? 1 : 0;
}

int launch_new(const struct memtrace_command *command, const char *program, const char *preload,
	       struct launch **out, struct message *why)
{
	struct launch *l = calloc(1, sizeof(*l));
	int go[2] = { -1, -1 }, result[2] = { -1, -1 }, err = 0;
	char path[64];

	if (!l)
		return message_set(why, -ENOMEM, "cannot launch: out of memory");
	l->ns_fd = l->root_fd = l->go_fd = l->result_fd = -1;
	l->name = strdup(command->argv[0]);
	if (!l->name || pipe2(go, O_CLOEXEC) || pipe2(result, O_CLOEXEC))
		goto fail;
	l->pid = fork();
	if (l->pid < 0)
		goto fail;
	if (!l->pid) {
		close(go[1]);
		close(result[0]);
		child(command, program, preload, go[0], result[1]);
	}
	close(go[0]);
	close(result[1]);
	l->go_fd = go[1];
	l->result_fd = result[0];
	if (!read_result(l->result_fd, &err) || err) {
		launch_free(l);
		err = err ? err : ECHILD;
		return message_set(why, -err, "cannot give the command a mount namespace: %s (run with "
				   "sudo, or outside a container without cap_sys_admin)",
				   strerror(err));
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", l->pid);
	l->ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/root", l->pid);
	if (l->ns_fd >= 0)
		l->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l->root_fd < 0) {
		err = errno;
		launch_free(l);
		return message_set(why, -err, "cannot open %s: %s (is /proc mounted?)", path,
				   strerror(err));
	}
	*out = l;
	return 0;
fail:
	err = errno;
	for (int i = 0; i < 2; i++) {
		if (go[i] >= 0)
			close(go[i]);
		if (result[i] >= 0)
			close(result[i]);
	}
	free(l->name);
	free(l);
	return message_set(why, -err, "cannot launch: %s", strerror(err));
}

pid_t launch_pid(const struct launch *l)
{
	return l->pid;
}

static int copy_file(int in, const char *to)
{
	struct stat st;
	off_t at = 0;
	int out;

	if (fstat(in, &st))
		return -1;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -1;
	while (at < st.st_size)
		if (sendfile(out, in, &at, st.st_size - at) <= 0)
			goto fail;
	if (fchown(out, st.st_uid, st.st_gid) || fchmod(out, st.st_mode & 07777))
		goto fail;
	return close(out);
fail:
	close(out);
	return -1;
}

/* Runs in a helper inside the namespace, where it opens nothing of the tree's (the gate would hold it).
 * The tmpfs shows for a moment on a directory that programs do not use, is taken off again, and lives on
 * as the bind mount. */
static int replace_here(int source, const char *path)
{
	static const char *const doorsteps[] = { "/sys/fs/pstore", "/sys/kernel/security",
						 "/sys/kernel/config", "/mnt", "/srv", "/media",
						 "/tmp" };
	char copy[64];
	int err = ENOENT;

	for (size_t i = 0; i < sizeof(doorsteps) / sizeof(doorsteps[0]); i++) {
		if (mount("memtrace", doorsteps[i], "tmpfs", MS_NODEV, "mode=0755")) {
			err = errno;
			continue;
		}
		snprintf(copy, sizeof(copy), "%s/copy", doorsteps[i]);
		err = 0;
		if (copy_file(source, copy) || mount(copy, path, NULL, MS_BIND, NULL))
			err = errno ? errno : EIO;
		umount2(doorsteps[i], MNT_DETACH);
		break;
	}
	return err;
}

/* Into the tree's namespace and to its root: setns() goes to the namespace's own, which is another one
 * where memtrace itself runs in a chroot. */
static int enter(const struct launch *l)
{
	return setns(l->ns_fd, CLONE_NEWNS) || fchdir(l->root_fd) || chroot(".") ? -1 : 0;
}

static bool is_same(int fd, pid_t pid, const char *name)
{
	struct stat ours, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return !fstat(fd, &ours) && !stat(path, &its) && ours.st_ino == its.st_ino &&
	       ours.st_dev == its.st_dev;
}

bool launch_shares_paths(const struct launch *l, pid_t pid)
{
	return is_same(l->ns_fd, pid, "ns/mnt") && is_same(l->root_fd, pid, "root");
}

int launch_replace(struct launch *l, int source, const char *path, int *fd)
{
	char root[32];
	int status, opened;
	pid_t helper;

	helper = fork();
	if (helper < 0)
		return -errno;
	if (!helper) {
		int err = enter(l) ? errno : replace_here(source, path);

		_exit(err > 0 && err < 256 ? err : err ? EIO : 0);
	}
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
	snprintf(root, sizeof(root), "/proc/self/fd/%d", l->root_fd);
	opened = deps_open(root, path);
	if (opened < 0)
		return opened;
	*fd = opened;
	return 0;
}

int launch_namespace(const struct launch *l)
{
	return l->ns_fd;
}

static int cannot_run(const struct launch *l, int err, struct message *why)
{
	return message_set(why, -err, "cannot run '%s': %s (check that it is an executable for this "
			   "machine and that the user may run it)", l->name, strerror(err));
}

int launch_go(struct launch *l, struct message *why)
{
	int err = write(l->go_fd, "g", 1) == 1 ? 0 : errno;

	close(l->go_fd);
	l->go_fd = -1;
	return err ? cannot_run(l, err, why) : 0;
}

int launch_result_fd(const struct launch *l)
{
	return l->result_fd;
}

int launch_result(struct launch *l, struct message *why)
{
	int err = 0;

	return read_result(l->result_fd, &err) ? cannot_run(l, err, why) : 0;
}

int launch_status(struct launch *l, int *wait_status)
{
	pid_t got;

	if (!l->reaped) {
		got = wait4(l->pid, &l->wait_status, WNOHANG, &l->used);
		if (!got)
			return -EAGAIN;
		if (got < 0)
			return -errno;
		l->reaped = true;
	}
	*wait_status = l->wait_status;
	return 0;
}

static int64_t ns_of(const struct timeval *time)
{
	return time->tv_sec * 1000000000LL + time->tv_usec * 1000LL;
}

int launch_used_ns(const struct launch *l, int64_t *used_ns)
{
	if (!l->reaped)
		return -EAGAIN;
	*used_ns = ns_of(&l->used.ru_utime) + ns_of(&l->used.ru_stime);
	return 0;
}

void launch_free(struct launch *l)
{
	if (!l)
		return;
	if (l->go_fd >= 0) { /* never let go: end of file ends it */
		close(l->go_fd);
		while (waitpid(l->pid, &l->wait_status, 0) < 0 && errno == EINTR)
			;
	}
	if (l->result_fd >= 0)
		close(l->result_fd);
	if (l->ns_fd >= 0)
		close(l->ns_fd);
	if (l->root_fd >= 0)
		close(l->root_fd);
	free(l->name);
	free(l);
}
