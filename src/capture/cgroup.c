// SPDX-License-Identifier: MIT
/* cgroup.c - a cgroup as a target: opening it, and asking who is in it. */
#include "capture/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where version 2 is mounted; buf has PATH_MAX bytes. */
static bool cgroup_mount(char *buf)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	if (!f)
		return false;
	while (!found && (entry = getmntent(f))) {
		if (strcmp(entry->mnt_type, "cgroup2"))
			continue;
		snprintf(buf, PATH_MAX, "%s", entry->mnt_dir);
		found = true;
	}
	endmntent(f);
	return found;
}

int targets_open_cgroup(struct memtrace *s, const char *path)
{
	char mount[PATH_MAX], full[2 * PATH_MAX], real[PATH_MAX];
	int fd;

	if (!cgroup_mount(mount))
		return message_set(&s->error, -ENOENT, "no cgroup '%s': no cgroup2 file system is "
				   "mounted (mount -t cgroup2 none /sys/fs/cgroup)", path);
	snprintf(full, sizeof(full), "%s%s%s", strncmp(path, mount, strlen(mount)) ? mount : "",
		 strncmp(path, mount, strlen(mount)) && *path != '/' ? "/" : "", path);
	if (!realpath(full, real))
		return message_set(&s->error, -errno, "no cgroup '%s': %s (look below %s)", path,
				   strerror(errno), mount);
	fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return message_set(&s->error, -errno, "cannot open cgroup '%s': %s (give a directory "
				   "below %s)", path, strerror(errno), mount);
	free(s->cgroup_path);
	s->cgroup_path = strdup(real + strlen(mount));
	if (!s->cgroup_path) {
		close(fd);
		return message_set(&s->error, -ENOMEM, "out of memory");
	}
	return fd;
}

bool targets_cgroup_matches(const struct memtrace *s, pid_t pid)
{
	size_t len = strlen(s->cgroup_path);
	char path[64], line[PATH_MAX + 8];
	bool inside = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		char *at = line + 3;

		if (strncmp(line, "0::", 3))
			continue;
		at[strcspn(at, "\n")] = 0;
		inside = !strncmp(at, s->cgroup_path, len) && (!at[len] || at[len] == '/' || len <= 1);
		break;
	}
	fclose(f);
	return inside;
}
