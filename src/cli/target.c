// SPDX-License-Identifier: MIT
#include "cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/say.h"
#include "cli/user.h"

static void on_log(void *context, enum memtrace_log level, const char *line)
{
	const struct cli_options *options = context;

	if (level == MEMTRACE_LOG_WARN || options->verbose >= (unsigned int)level)
		say("%s", line);
}

/* $XDG_CACHE_HOME/memtrace or ~/.cache/memtrace, made if need be; NULL when there is no such place. */
static const char *default_cache_dir(char *room, size_t size)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (base && base[0] == '/')
		snprintf(room, size, "%s", base);
	else if (home && home[0] == '/')
		snprintf(room, size, "%s/.cache", home);
	else
		return NULL;
	mkdir(room, 0700);
	if (strlen(room) + sizeof("/memtrace") > size)
		return NULL;
	strcat(room, "/memtrace");
	return !mkdir(room, 0700) || errno == EEXIST ? room : NULL;
}

struct memtrace_options target_session_options(const struct cli_options *options, char *room,
					       size_t size)
{
	static const enum memtrace_stacks stacks[] = {
		[CLI_STACKS_AUTO] = MEMTRACE_STACKS_AUTO,
		[CLI_STACKS_DWARF] = MEMTRACE_STACKS_DWARF,
		[CLI_STACKS_FP] = MEMTRACE_STACKS_FP,
		[CLI_STACKS_NONE] = MEMTRACE_STACKS_NONE,
	};
	static const enum memtrace_on_limit on_limit[] = {
		[CLI_LIMIT_REPORT] = MEMTRACE_LIMIT_REPORT,
		[CLI_LIMIT_STOP] = MEMTRACE_LIMIT_STOP,
		[CLI_LIMIT_KILL] = MEMTRACE_LIMIT_KILL,
	};
	static const enum memtrace_follow follow[] = {
		[CLI_FOLLOW_NEWS] = MEMTRACE_FOLLOW_NEWS,
		[CLI_FOLLOW_EXACT] = MEMTRACE_FOLLOW_EXACT,
		[CLI_FOLLOW_NONE] = MEMTRACE_FOLLOW_NONE,
	};

	static const enum memtrace_lane lanes[] = {
		[CLI_LANE_AUTO] = MEMTRACE_LANE_AUTO,
		[CLI_LANE_UPROBE] = MEMTRACE_LANE_UPROBE,
		[CLI_LANE_PRELOAD] = MEMTRACE_LANE_PRELOAD,
	};

	static const enum memtrace_sampling sampling[] = {
		[CLI_SAMPLE_ALL] = MEMTRACE_SAMPLING_NONE,
		[CLI_SAMPLE_BYTES] = MEMTRACE_SAMPLING_BYTES,
		[CLI_SAMPLE_RATE] = MEMTRACE_SAMPLING_RATE,
	};

	return (struct memtrace_options){
		.sz = sizeof(struct memtrace_options),
		.stacks = stacks[options->stacks],
		.stack_depth = (uint32_t)options->stack_depth,
		.limit_bytes = options->limit_mb << 20,
		.on_limit = on_limit[options->on_limit],
		.follow = follow[options->follow],
		.min_age_s = options->min_age_s,
		.min_age_at_exit = options->min_age_given,
		.max_memory_bytes = options->max_memory_mb << 20,
		.log = on_log,
		.log_ctx = (void *)options,
		.lane = lanes[options->lane],
		.sampling = sampling[options->sampling],
		.sample_bytes = options->sample_bytes,
		.sampling_rate = options->sampling_rate,
		.sample_seed = options->sample_seed,
		.max_overhead_percent = (uint32_t)options->max_overhead,
		.debuginfod = options->debuginfod,
		.cache_dir = options->cache_dir ? options->cache_dir : default_cache_dir(room, size),
	};
}

int target_error(const struct memtrace *session, int err, struct message *why)
{
	const char *sentence = memtrace_error(session);

	if (sentence && *sentence)
		return message_set(why, err, "%s", sentence);
	return message_set(why, err, "the trace failed: %s (run with --verbose for more)",
			   strerror(-err));
}

static int launch(struct memtrace *session, const struct cli_options *options, pid_t *pid,
		  struct message *why)
{
	struct memtrace_command command = { .sz = sizeof(command), .argv = options->command };
	struct user user;
	int err;

	err = user_find(&user, options->user, why);
	if (err)
		return err;
	command.set_user = user.change;
	command.uid = user.uid;
	command.gid = user.gid;
	err = user_enter(&user);
	if (err)
		return message_set(why, err, "cannot set HOME: %s (free some memory)",
				   strerror(-err));
	err = memtrace_launch(session, &command, pid);
	user_leave(&user);
	return err ? target_error(session, err, why) : 0;
}

int target_choose(struct memtrace *session, const struct cli_options *options, pid_t *command,
		  struct message *why)
{
	int err = -EINVAL;

	switch (options->target) {
	case CLI_TARGET_COMMAND:
		return launch(session, options, command, why);
	case CLI_TARGET_PID:
		err = 0;
		for (size_t i = 0; i < options->pid_cnt && !err; i++)
			err = memtrace_attach(session, options->pids[i]);
		break;
	case CLI_TARGET_ALL:
		err = memtrace_attach_all(session);
		break;
	case CLI_TARGET_COMM:
		err = memtrace_attach_comm(session, options->comm);
		break;
	case CLI_TARGET_CGROUP:
		err = memtrace_attach_cgroup(session, options->cgroup);
		break;
	case CLI_TARGET_NONE:
		break;
	}
	return err ? target_error(session, err, why) : 0;
}
