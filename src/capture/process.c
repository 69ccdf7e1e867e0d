// SPDX-License-Identifier: MIT
#include "capture/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

int process_each_map(pid_t pid, process_map_fn see, void *ctx)
{
	FILE *f = open_proc(pid, "maps");
	char *line = NULL;
	size_t cap = 0;
	int err = 0;

	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0) {
		struct process_map map = {};
		char perms[8] = "";
		int path_at = 0;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n",
			   &map.start, &map.end, perms, &map.pgoff, &map.dev_major, &map.dev_minor,
			   &map.ino, &path_at) < 7)
			continue;
		line[strcspn(line, "\n")] = 0;
		map.executable = perms[2] == 'x';
		map.path = line + path_at;
		see(ctx, &map);
	}
	if (ferror(f))
		err = -errno;
	free(line);
	fclose(f);
	return err;
}

int process_open_path(pid_t pid, const char *in_root)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, in_root);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int process_open_map(pid_t pid, const struct process_map *map)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, map->start,
		 map->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return process_open_path(pid, map->path);
}

struct mapping_sought {
	pid_t pid;
	uint64_t address;
	int fd;
};

static void see_mapping(void *ctx, const struct process_map *map)
{
	struct mapping_sought *sought = ctx;
	char path[64];

	if (sought->address < map->start || sought->address >= map->end || sought->fd >= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, sought->pid,
		 map->start, map->end);
	sought->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int process_open_mapped(pid_t pid, uint64_t address)
{
	struct mapping_sought sought = { .pid = pid, .address = address, .fd = -1 };
	int err = process_each_map(pid, see_mapping, &sought);

	if (sought.fd >= 0)
		return sought.fd;
	return err ? err : -ENOENT;
}

/* Length, or negative. */
static ssize_t read_link(pid_t pid, const char *name, char *path, size_t size)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/%d/%s", pid, name);
	len = readlink(link, path, size - 1);
	path[len > 0 ? len : 0] = 0;
	return len;
}

#define AUX_BASE 7  /* AT_BASE: where the program interpreter is; 0 when it is the program itself */
#define AUX_ENTRY 9 /* AT_ENTRY: in the program */

static uint64_t interpreter_base(pid_t tid)
{
	FILE *f = open_proc(tid, "auxv");
	uint64_t pair[2], base = 0, entry = 0;

	while (f && fread(pair, sizeof(pair), 1, f) == 1 && pair[0]) {
		if (pair[0] == AUX_BASE)
			base = pair[1];
		else if (pair[0] == AUX_ENTRY)
			entry = pair[1];
	}
	if (f)
		fclose(f);
	return base ? base : entry;
}

/* A thread that waits for us was heard of before it lay down: until then it says "running". */
#define LIE_DOWN_TRIES 4000
#define LIE_DOWN_NS 50000

static bool read_system_call(pid_t tid, char *line, size_t size)
{
	FILE *f = open_proc(tid, "syscall");
	bool got = f && fgets(line, size, f);

	if (f)
		fclose(f);
	return got;
}

/* Where a blocking system call was made from; 0 when unknown. The line ends in sp and pc. */
static uint64_t system_call_pc(pid_t tid)
{
	const struct timespec moment = { .tv_nsec = LIE_DOWN_NS };
	char line[256] = "running";

	for (int try = 0; try < LIE_DOWN_TRIES && !strncmp(line, "running", strlen("running"));
	     try++) {
		if (try)
			nanosleep(&moment, NULL);
		if (!read_system_call(tid, line, sizeof(line)))
			return 0;
	}
	return strrchr(line, ' ') ? strtoull(strrchr(line, ' '), NULL, 16) : 0;
}

struct linker_walk {
	uint64_t base, pc;
	uint64_t base_ino, pc_ino;
	bool is_glibc;
};

static void see_linker_map(void *ctx, const struct process_map *map)
{
	struct linker_walk *walk = ctx;
	const char *name = strrchr(map->path, '/');

	if (map->start <= walk->base && walk->base < map->end) {
		walk->base_ino = map->ino;
		walk->is_glibc = name && !strncmp(name, "/ld-", 4) && strncmp(name, "/ld-musl", 8);
	}
	if (map->executable && map->start <= walk->pc && walk->pc < map->end)
		walk->pc_ino = map->ino;
}

bool process_is_in_linker(pid_t tid)
{
	struct linker_walk walk = { .pc = system_call_pc(tid) };

	walk.base = walk.pc ? interpreter_base(tid) : 0;
	if (!walk.base || process_each_map(tid, see_linker_map, &walk))
		return false;
	return walk.is_glibc && walk.base_ino && walk.base_ino == walk.pc_ino;
}

void process_path_inside(pid_t pid, char *path)
{
	char root[PATH_MAX];
	ssize_t len = read_link(pid, "root", root, sizeof(root));

	if (len > 1 && !strncmp(path, root, len) && path[len] == '/')
		memmove(path, path + len, strlen(path + len) + 1);
}

char *process_exe(pid_t pid)
{
	char path[PATH_MAX];

	if (read_link(pid, "exe", path, sizeof(path)) <= 0)
		return NULL;
	process_path_inside(pid, path);
	return strdup(path);
}

char *process_env(pid_t pid, const char *name)
{
	FILE *f = open_proc(pid, "environ");
	size_t cap = 0, len = strlen(name);
	char *entry = NULL, *value = NULL;

	if (!f)
		return NULL;
	while (!value && getdelim(&entry, &cap, 0, f) > 0)
		if (!strncmp(entry, name, len) && entry[len] == '=')
			value = strdup(entry + len + 1);
	free(entry);
	fclose(f);
	return value;
}

void process_comm(pid_t pid, char *comm, size_t size)
{
	FILE *f = open_proc(pid, "comm");

	if (!f || !fgets(comm, size, f))
		snprintf(comm, size, "?");
	comm[strcspn(comm, "\n")] = 0;
	if (f)
		fclose(f);
}

/* A number from a line of /proc/PID/status, or fallback. */
static int64_t status_number(pid_t pid, const char *key, int64_t fallback)
{
	FILE *f = open_proc(pid, "status");
	size_t len = strlen(key);
	int64_t value = fallback;
	char line[256];

	if (!f)
		return fallback;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		value = strtoll(line + len + 1, NULL, 10);
		break;
	}
	fclose(f);
	return value;
}

pid_t process_parent(pid_t pid)
{
	return status_number(pid, "PPid", 0);
}

bool process_is_alive(pid_t pid)
{
	FILE *f = open_proc(pid, "status");
	bool alive = false;
	char line[256];

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "State:", 6))
			continue;
		alive = !strchr(line + 6, 'Z') && !strchr(line + 6, 'X');
		break;
	}
	fclose(f);
	return alive;
}

bool process_is_thread(pid_t pid, pid_t *tgid)
{
	*tgid = status_number(pid, "Tgid", pid);
	return *tgid != pid;
}

bool process_is_kernel_thread(pid_t pid)
{
	return status_number(pid, "VmSize", -1) < 0;
}

int64_t process_rss_bytes(pid_t pid)
{
	int64_t kib = status_number(pid, "VmRSS", -1);

	return kib < 0 ? -1 : kib * 1024;
}

int process_thread_cnt(pid_t pid)
{
	return status_number(pid, "Threads", 0);
}

int process_seccomp(pid_t pid)
{
	return status_number(pid, "Seccomp", 0);
}

bool process_in_initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == 0xEFFFFFFCu;
}

bool process_owner(pid_t pid, uint32_t *uid, int *ns_pid)
{
	FILE *f = open_proc(pid, "status");
	bool has_uid = false;
	char line[256];

	if (!f)
		return false;
	*ns_pid = pid; /* kernels without namespaces have no such line */
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Uid:", 4))
			has_uid = sscanf(line + 4, "%*u %" SCNu32, uid) == 1;
		else if (!strncmp(line, "NSpid:", 6) && strrchr(line, '\t'))
			*ns_pid = atoi(strrchr(line, '\t'));
	}
	fclose(f);
	return has_uid && *ns_pid > 0;
}

uint64_t process_start_ns(pid_t pid)
{
	FILE *f = open_proc(pid, "stat");
	unsigned long long ticks = 0;
	char line[1024] = "";
	const char *at;

	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	at = strrchr(line, ')'); /* names may hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%llu", &ticks) != 1)
		return 0;
	return ticks * (1000000000ULL / sysconf(_SC_CLK_TCK));
}
