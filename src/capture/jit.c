// SPDX-License-Identifier: MIT
#include "capture/jit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture/perf_map.h"
#include "capture/process.h"

#define GENERATIONS 4		    /* of forks whose code is named */
#define CLOCK_SLACK_NS 1000000000LL /* times of files come from a clock that lags */
#define START_SLACK_NS 20000000ULL  /* of processes: counted in ticks of 10 ms */
#define LOOK_AGAIN_NS 50000000ULL

/* What a read of the file was based on: as long as this is the same, so is what it says. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
	uint64_t asked; /* hash of the addresses */
};

struct jit {
	unsigned int refs;
	uint32_t tgid;
	uint64_t begin_ns;
	int64_t since_ns;   /* CLOCK_REALTIME */
	struct jit *parent; /* held */
	bool has_code;
	bool settled;

	bool known; /* the next four */
	uint32_t uid;
	int ns_pid;
	int tmp_fd; /* its /tmp where that is not ours; -1: ours */
	uint64_t looked_ns;

	int fd; /* of the map file, kept for when its name is gone; -1: not seen yet */
	struct stamp stamp;
	struct perf_map *maps[GENERATIONS]; /* its own, its parent's ... */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct jit *jit_new(uint32_t tgid, uint64_t begin_ns, struct jit *parent)
{
	struct jit *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	*j = (struct jit){
		.refs = 1,
		.tgid = tgid,
		.begin_ns = begin_ns,
		.since_ns = begin_ns + clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC),
		.tmp_fd = -1,
		.fd = -1,
	};
	if (!parent)
		return j;
	if (parent->has_code) {
		j->parent = jit_ref(parent);
		j->has_code = true;
	}
	/* its pid namespace may differ, but most often does not; jit_look() knows better */
	if (parent->known && parent->ns_pid == (int)parent->tgid) {
		j->known = true;
		j->uid = parent->uid;
		j->ns_pid = tgid;
		j->tmp_fd = parent->tmp_fd < 0 ? -1 : fcntl(parent->tmp_fd, F_DUPFD_CLOEXEC, 0);
		j->known = parent->tmp_fd < 0 || j->tmp_fd >= 0;
	}
	return j;
}

struct jit *jit_ref(struct jit *j)
{
	j->refs++;
	return j;
}

void jit_put(struct jit *j)
{
	while (j && !--j->refs) {
		struct jit *parent = j->parent;

		for (size_t i = 0; i < GENERATIONS; i++)
			perf_map_free(j->maps[i]);
		close_fd(&j->tmp_fd);
		close_fd(&j->fd);
		free(j);
		j = parent;
	}
}

void jit_was_there(struct jit *j)
{
	uint64_t started = process_start_ns(j->tgid);

	if (started)
		j->since_ns = started + clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
}

void jit_made_code(struct jit *j)
{
	j->has_code = true;
}

bool jit_has_code(const struct jit *j)
{
	return j->has_code;
}

/* ---- the process ----------------------------------------------------------------------------- */

/* The number may be another process's by now; that one began later. */
static bool is_still_it(const struct jit *j)
{
	uint64_t started = process_start_ns(j->tgid);
	uint64_t begin = j->begin_ns + clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC);

	return started && started <= begin + START_SLACK_NS;
}

/* Its /tmp: an fd, or -1 when it is the same as ours. False: cannot be had. */
static bool find_tmp(const struct jit *j, int *fd)
{
	struct stat own, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/root/tmp", j->tgid);
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &its)) {
		close_fd(fd);
		return false;
	}
	if (!stat("/tmp", &own) && own.st_dev == its.st_dev && own.st_ino == its.st_ino)
		close_fd(fd);
	return true;
}

static void learn(struct jit *j)
{
	uint32_t uid;
	int ns_pid, tmp_fd;

	if (!is_still_it(j) || !process_owner(j->tgid, &uid, &ns_pid) || !find_tmp(j, &tmp_fd))
		return;
	close_fd(&j->tmp_fd);
	j->uid = uid;
	j->ns_pid = ns_pid;
	j->tmp_fd = tmp_fd;
	j->known = true;
}

/* ---- the file -------------------------------------------------------------------------------- */

int jit_open_map(int dir_fd, int pid, uint32_t uid, int64_t since_ns)
{
	struct stat st;
	char name[32];
	int fd, err = 0;

	snprintf(name, sizeof(name), "perf-%d.map", pid);
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || (st.st_uid != uid && st.st_uid))
		err = -EPERM;
	else if (st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec < since_ns - CLOCK_SLACK_NS)
		err = -ESTALE;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* What has the name now, if that may be read; else what had it once. */
static void open_map(struct jit *j)
{
	int dir = j->tmp_fd >= 0 ? j->tmp_fd : open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	fd = dir < 0 ? -1 : jit_open_map(dir, j->ns_pid, j->uid, j->since_ns);
	if (dir != j->tmp_fd)
		close_fd(&dir);
	if (fd < 0)
		return;
	close_fd(&j->fd);
	j->fd = fd;
}

void jit_look(struct jit *j)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (j->settled || j->fd >= 0 || (j->looked_ns && now - j->looked_ns < LOOK_AGAIN_NS))
		return;
	j->looked_ns = now;
	learn(j);
	if (j->known && j->has_code && j->fd < 0)
		open_map(j);
}

/* Its process may have ended already, and its user may be another since it was last looked at. */
static void refresh(struct jit *j)
{
	if (j->settled)
		return;
	learn(j);
	if (j->known)
		open_map(j);
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
	       a->asked == b->asked;
}

/* The names of these addresses in the file; NULL in *map when it has none. */
static int read_map(int fd, const uint64_t *addresses, size_t cnt, struct perf_map **map)
{
	int err = perf_map_read(map, fd, NULL);

	if (!err)
		err = perf_map_keep(*map, addresses, cnt);
	if (err && *map) {
		perf_map_free(*map);
		*map = NULL;
	}
	return err == -ENOMEM ? err : 0;
}

static uint64_t hash_of(const uint64_t *addresses, size_t cnt)
{
	uint64_t hash = cnt;

	for (size_t i = 0; i < cnt; i++)
		hash = (hash ^ addresses[i] ^ hash >> 29) * 0x9e3779b97f4a7c15ULL;
	return hash;
}

int jit_read(struct jit *j, const uint64_t *addresses, size_t cnt)
{
	struct jit *from = j;
	struct stamp stamp = { .asked = hash_of(addresses, cnt) };
	struct stat st;

	if (!j->has_code || j->settled)
		return 0;
	refresh(j);
	if (j->fd >= 0 && !fstat(j->fd, &st)) {
		stamp = (struct stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, stamp.asked };
		if (same_stamp(&stamp, &j->stamp))
			return 0;
	}
	for (size_t i = 0; i < GENERATIONS && from; i++, from = from->parent) {
		struct perf_map *map = NULL;

		if (i)
			refresh(from);
		if (from->fd >= 0 && read_map(from->fd, addresses, cnt, &map))
			return -ENOMEM;
		perf_map_free(j->maps[i]);
		j->maps[i] = map;
	}
	j->stamp = stamp;
	return 0;
}

void jit_settle(struct jit *j)
{
	j->settled = true;
	if (j->refs > 1) /* a child may ask for this file yet */
		return;
	close_fd(&j->tmp_fd);
	close_fd(&j->fd);
}

const char *jit_name(const struct jit *j, uint64_t address)
{
	const char *name = NULL;

	for (size_t i = 0; i < GENERATIONS && !name; i++)
		if (j->maps[i])
			name = perf_map_find(j->maps[i], address);
	return name;
}
