// SPDX-License-Identifier: MIT
/* harness.c - the stage: directory, texts, processes, pipes. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN_MAX 32
#define TEXTS_MAX 65536

/* One test runs in one process, and Criterion's set-up and tear-down take no argument. */
static struct {
	char dir[32];
	struct child children[CHILDREN_MAX];
	size_t child_cnt;
	char *texts[TEXTS_MAX];
	size_t text_cnt;
} stage;

/* ---- stage ------------------------------------------------------------------------------------
 */

void stage_set_up(void)
{
	strcpy(stage.dir, "/tmp/mt-test-XXXXXX");
	if (!mkdtemp(stage.dir))
		fatal("no directory: %s", strerror(errno));
	/* programs that run as somebody else write their truth here */
	chmod(stage.dir, 0777);
	setenv("XDG_CACHE_HOME", stage.dir, 1); /* unwind tables go with the stage */
	signal(SIGPIPE, SIG_IGN);
	if (geteuid())
		skip("needs root");
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void stage_tear_down(void)
{
	for (size_t i = 0; i < stage.child_cnt; i++) {
		struct child *child = &stage.children[i];

		if (!child->reaped) {
			syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
			waitpid(child->pid, NULL, 0);
		}
		close(child->pidfd);
	}
	stage.child_cnt = 0;
	if (stage.dir[0])
		nftw(stage.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < stage.text_cnt; i++)
		free(stage.texts[i]);
	stage.text_cnt = 0;
}

static char *keep(char *text)
{
	if (!text || stage.text_cnt == TEXTS_MAX)
		fatal("out of room for texts");
	stage.texts[stage.text_cnt++] = text;
	return text;
}

const char *text_of(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return keep(text);
}

const char *stage_path(const char *name)
{
	return text_of("%s/%s", stage.dir, name);
}

const char *file_text(const char *path)
{
	size_t len = 0, room = 65536;
	char *text = malloc(room);
	ssize_t got;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && text && (got = read(fd, text + len, room - len - 1)) > 0) {
		len += (size_t)got;
		if (len + 1 == room)
			text = realloc(text, room *= 2);
	}
	if (fd >= 0)
		close(fd);
	if (text)
		text[len] = '\0';
	return keep(text);
}

void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fatal("cannot write %s: %s", path, strerror(errno));
}

const char *target_path(const char *name)
{
	return name[0] == '/' ? name : text_of("%s/%s", TARGETS_DIR, name);
}

const char *target_renamed(const char *target, const char *name)
{
	const char *path = stage_path(name);

	if (run(&(struct start){ .argv = LIST("cp", target_path(target), path) }, NULL))
		fatal("cannot copy %s", target);
	return path;
}

const char *memtrace_path(void)
{
	const char *path = getenv("MEMTRACE");

	return path ? path : MEMTRACE_BIN;
}

const char *find_program(const char *name)
{
	const char *from = getenv("PATH");

	if (!from)
		from = "/usr/sbin:/usr/bin:/sbin:/bin";
	for (;;) {
		size_t len = strcspn(from, ":");
		const char *path = text_of("%.*s/%s", (int)len, from, name);

		if (!access(path, X_OK))
			return path;
		if (!from[len])
			return NULL;
		from += len + 1;
	}
}

#ifdef __aarch64__
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif

const char *need_library(const char *name)
{
	for (int version = 1; version < 10; version++) {
		const char *path = text_of("/usr/lib/%s/%s.so.%d", MULTIARCH, name, version);

		if (!access(path, R_OK))
			return path;
	}
	skip("%s is not installed", name);
	return NULL;
}

/* ---- processes --------------------------------------------------------------------------------
 */

static bool is_added(const char *const *env, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;

	for (; env && *env; env++)
		if (!strncmp(*env, variable, len))
			return true;
	return false;
}

/* What would make the test depend on who runs it, and how. */
static bool is_ours(const char *variable)
{
	static const char *const dropped[] = {
		"SUDO_", "MT_", "LD_", "MEMTRACE", "CRITERION", "BXF"
	};

	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		if (!strncmp(variable, dropped[i], strlen(dropped[i])))
			return true;
	return false;
}

static char **environment(const char *const *env)
{
	extern char **environ;
	size_t cnt = 0, room = 64;
	char **all;

	for (char **e = environ; *e; e++)
		room++;
	for (const char *const *e = env; e && *e; e++)
		room++;
	all = (char **)keep(calloc(room, sizeof(*all)));
	for (char **e = environ; *e; e++)
		if (!is_ours(*e) && !is_added(env, *e))
			all[cnt++] = *e;
	for (; env && *env; env++)
		all[cnt++] = (char *)*env;
	return all;
}

static void become(int fd, int wanted)
{
	if (fd < 0 || dup2(fd, wanted) < 0)
		_exit(126);
}

/* In the new process: nothing but what a program may do between fork and exec. */
static void enter(const struct start *start, const struct child *child, char **env, pid_t parent)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* ends with the test, however that ends */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &plain, NULL);
	if (start->cwd && chdir(start->cwd))
		_exit(126);
	become(open("/dev/null", O_RDONLY), STDIN_FILENO);
	become(start->out_fd ? start->out_fd
			     : open(child->out, O_WRONLY | O_CREAT | O_APPEND, 0666),
	       STDOUT_FILENO);
	become(start->err_fd ? start->err_fd
			     : open(child->err, O_WRONLY | O_CREAT | O_APPEND, 0666),
	       STDERR_FILENO);
	/* whatever else the test runner has open is not the program's business */
	syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
	for (const int *fd = start->fds; fd && *fd >= 0; fd++)
		fcntl(*fd, F_SETFD, 0);
	if (start->uid && (setgid(start->uid) || setuid(start->uid)))
		_exit(126);
	execvpe(start->argv[0], (char *const *)start->argv, env);
	_exit(127);
}

struct child *child_start(const struct start *start)
{
	struct child *child = &stage.children[stage.child_cnt];
	char **env = environment(start->env);
	pid_t parent = getpid();

	if (stage.child_cnt == CHILDREN_MAX)
		fatal("too many processes in one test");
	*child = (struct child){
		.out = stage_path(text_of("%zu.out", stage.child_cnt)),
		.err = stage_path(text_of("%zu.err", stage.child_cnt)),
	};
	child->pid = fork();
	if (!child->pid)
		enter(start, child, env, parent);
	if (child->pid < 0)
		fatal("cannot fork: %s", strerror(errno));
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	if (child->pidfd < 0)
		fatal("pidfd_open: %s", strerror(errno));
	stage.child_cnt++;
	return child;
}

/* Readable within the time, or the test fails. */
static void wait_readable(int fd, const char *what)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int got;

	do {
		got = poll(&poll_fd, 1, TIMEOUT_MS);
	} while (got < 0 && errno == EINTR);
	if (got <= 0)
		fatal("%s did not happen within %d s", what, TIMEOUT_MS / 1000);
}

int child_wait(struct child *child)
{
	if (child->reaped)
		return child->wait_status;
	wait_readable(child->pidfd, text_of("the end of process %d (its stderr: %s)",
					    (int)child->pid, file_text(child->err)));
	if (waitpid(child->pid, &child->wait_status, 0) != child->pid)
		fatal("waitpid: %s", strerror(errno));
	child->reaped = true;
	return child->wait_status;
}

void child_signal(struct child *child, int signal)
{
	if (!child->reaped && syscall(SYS_pidfd_send_signal, child->pidfd, signal, NULL, 0))
		fatal("cannot signal process %d: %s", (int)child->pid, strerror(errno));
}

bool child_runs(struct child *child)
{
	struct pollfd poll_fd = { .fd = child->pidfd, .events = POLLIN };

	return !child->reaped && poll(&poll_fd, 1, 0) == 0;
}

void expect_exit(struct child *child, int status)
{
	int wait_status = child_wait(child);

	cr_expect(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == status,
		  "expected exit status %d, got %s %d; stderr:\n%s", status,
		  WIFEXITED(wait_status) ? "exit status" : "signal",
		  WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status),
		  file_text(child->err));
}

int run(const struct start *start, struct child **child)
{
	struct child *started = child_start(start);

	if (child)
		*child = started;
	return child_wait(started);
}

/* ---- pipes ------------------------------------------------------------------------------------
 */

struct pipe_pair pipe_new(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		fatal("no pipe: %s", strerror(errno));
	return (struct pipe_pair){ .in = fds[0], .out = fds[1] };
}

void pipe_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool pipe_wait(int fd)
{
	ssize_t got;
	char byte;

	wait_readable(fd, "a byte on a pipe");
	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	return got == 1;
}

void pipe_wait_end(int fd)
{
	while (pipe_wait(fd))
		;
}

const char *pipe_line(int fd)
{
	size_t len = 0, room = 256;
	char *line = malloc(room), byte;

	for (;;) {
		wait_readable(fd, "a line on a pipe");
		if (read(fd, &byte, 1) != 1) {
			free(line);
			return NULL;
		}
		if (byte == '\n')
			break;
		if (len + 1 == room)
			line = realloc(line, room *= 2);
		line[len++] = byte;
	}
	line[len] = '\0';
	return keep(line);
}

const char *pipe_wait_line(int fd, const char *words)
{
	for (;;) {
		const char *line = pipe_line(fd);

		if (!line)
			fatal("the output ended without \"%s\"", words);
		if (strstr(line, words))
			return line;
	}
}
