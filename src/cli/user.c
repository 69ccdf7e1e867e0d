// SPDX-License-Identifier: MIT
/* user.c - --user, SUDO_UID and SUDO_GID. */
#include "cli/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Digits only; -1 as an id means "do not change" to the kernel and is none. */
static int parse_id(const char *text, uint32_t *id)
{
	uint64_t sum = 0;

	if (!text || !*text || strlen(text) > 10)
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -EINVAL;
		sum = sum * 10 + (uint64_t)(*c - '0');
	}
	if (sum >= UINT32_MAX)
		return -ERANGE;
	*id = (uint32_t)sum;
	return 0;
}

static int find_named(struct user *user, const char *name, struct message *why)
{
	struct passwd *entry;
	uint32_t id;

	errno = 0;
	entry = getpwnam(name);
	if (!entry && !parse_id(name, &id))
		entry = getpwuid(id);
	if (!entry)
		return message_set(why, -EINVAL,
				   "--user: '%s' is not a user of this machine "
				   "(example: --user nobody)",
				   name);
	*user = (struct user){ entry->pw_uid != geteuid(), entry->pw_uid, entry->pw_gid };
	return 0;
}

int user_find(struct user *user, const char *name, struct message *why)
{
	const char *sudo_uid = getenv("SUDO_UID"), *sudo_gid = getenv("SUDO_GID");
	uint32_t uid, gid;

	if (name)
		return find_named(user, name, why);
	*user = (struct user){ 0 };
	if (!sudo_uid || geteuid())
		return 0;
	if (parse_id(sudo_uid, &uid) || parse_id(sudo_gid, &gid))
		return message_set(why, -EINVAL,
				   "SUDO_UID and SUDO_GID: '%.20s' and '%.20s' are not a user and a "
				   "group (unset SUDO_UID, or say --user NAME)",
				   sudo_uid, sudo_gid ? sudo_gid : "");
	*user = (struct user){ uid != 0, uid, gid };
	return 0;
}

int user_set_environment(const struct user *user)
{
	struct passwd *entry;

	if (!user->change)
		return 0;
	entry = getpwuid(user->uid);
	if (!entry)
		return 0;
	if (setenv("HOME", entry->pw_dir, 1) || setenv("USER", entry->pw_name, 1) ||
	    setenv("LOGNAME", entry->pw_name, 1))
		return -errno;
	return 0;
}
