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
	*user = (struct user){
		.change = entry->pw_uid != geteuid(),
		.uid = entry->pw_uid,
		.gid = entry->pw_gid,
	};
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
	*user = (struct user){ .change = uid != 0, .uid = uid, .gid = gid };
	return 0;
}

static const char *const names[] = { "HOME", "USER", "LOGNAME" };

#define NAME_CNT (sizeof(names) / sizeof(names[0]))

int user_enter(struct user *user)
{
	struct passwd *entry = user->change ? getpwuid(user->uid) : NULL;
	const char *values[NAME_CNT];

	if (!entry)
		return 0;
	values[0] = entry->pw_dir;
	values[1] = values[2] = entry->pw_name;
	user->entered = true;
	for (size_t i = 0; i < NAME_CNT; i++) {
		const char *old = getenv(names[i]);

		user->saved[i] = old ? strdup(old) : NULL;
	}
	for (size_t i = 0; i < NAME_CNT; i++) {
		if (setenv(names[i], values[i], 1)) {
			user_leave(user);
			return -ENOMEM;
		}
	}
	return 0;
}

void user_leave(struct user *user)
{
	if (!user->entered)
		return;
	for (size_t i = 0; i < NAME_CNT; i++) {
		if (user->saved[i])
			setenv(names[i], user->saved[i], 1);
		else
			unsetenv(names[i]);
		free(user->saved[i]);
		user->saved[i] = NULL;
	}
	user->entered = false;
}
