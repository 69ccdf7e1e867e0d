/* SPDX-License-Identifier: MIT */
/*
 * user.h - as whom the command runs.
 *
 * memtrace needs root, the command does not: under sudo it runs as the user who called sudo, unless
 * --user says otherwise.
 */
#ifndef MEMTRACE_CLI_USER_H
#define MEMTRACE_CLI_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/message.h"

struct user {
	bool change; /* false: the command runs as memtrace does */
	uid_t uid;
	gid_t gid;
	char *saved[3]; /* memtrace's own HOME, USER and LOGNAME between enter and leave */
	bool entered;
};

/*
 * Decides from --user (NULL: not given; a name or a numeric id), SUDO_UID and SUDO_GID. Returns 0 or
 * -errno with one sentence in why. A SUDO_UID that makes no sense is an error: running the command
 * as root instead would be worse.
 */
int user_find(struct user *user, const char *name, struct message *why);

/*
 * Between these, HOME, USER and LOGNAME are the user's: sudo has set root's, and a command forked
 * meanwhile inherits them. 0 or -ENOMEM.
 */
int user_enter(struct user *user);
void user_leave(struct user *user);

#endif
