// SPDX-License-Identifier: MIT
/* session.c - the library's face: memtrace.h. */
#include "capture/session.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/capstone.h"
#include "capture/code.h"
#include "capture/debug_server.h"
#include "capture/gate.h"
#include "capture/launch.h"
#include "capture/paths.h"
#include "capture/preload.h"
#include "capture/withhold.h"
#include "capture/process.h"
#include "capture/records.h"
#include "capture/spaces.h"
#include "capture/symbols.h"
#include "capture/widen.h"
#include "memtrace.skel.h"

#define STACK_DEPTH_DEFAULT 64
#define ACCOUNTS_MIN 4096
#define SPARE_PROCESSES 2

uint64_t session_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void session_log(struct memtrace *s, enum memtrace_log level, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!s->options.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	s->options.log(s->options.log_ctx, level, line);
}

static void log_line(void *ctx, const char *line)
{
	session_log(ctx, MEMTRACE_LOG_INFO, "%s", line);
}

static void log_verified(void *ctx, const char *program, uint32_t instructions)
{
	session_log(ctx, MEMTRACE_LOG_DEBUG, "%s: verified in %u instructions", program, instructions);
}

static uint64_t default_budget(void)
{
	struct sysinfo info;

	return sysinfo(&info) ? 1ULL << 30 : (uint64_t)info.totalram * info.mem_unit / 4;
}

static uint32_t account_slots(void)
{
	struct sysinfo info;
	uint32_t want = ACCOUNTS_MIN;

	if (!sysinfo(&info))
		while (want < SPARE_PROCESSES * (uint32_t)info.procs && want < 1u << MT_ACCT_BITS)
			want *= 2;
	return want;
}

static void set_options(struct memtrace *s, const struct memtrace_options *options)
{
	size_t size = options && options->sz ? options->sz : 0;

	if (size > sizeof(s->options))
		size = sizeof(s->options);
	if (options)
		memcpy(&s->options, options, size);
	if (!s->options.stack_depth)
		s->options.stack_depth = STACK_DEPTH_DEFAULT;
	if (s->options.stack_depth > MT_STACK_DEPTH_MAX)
		s->options.stack_depth = MT_STACK_DEPTH_MAX;
	if (!s->options.max_memory_bytes)
		s->options.max_memory_bytes = default_budget();
}

static void fill_control(struct memtrace *s)
{
	struct mt_control *c = s->tables.control;

	c->stacks = s->options.stacks == MEMTRACE_STACKS_NONE ? MT_STACKS_NONE :
		    s->options.stacks == MEMTRACE_STACKS_FP   ? MT_STACKS_FP :
								MT_STACKS_DWARF;
	c->stack_depth = s->options.stack_depth;
	c->self_tgid = getpid();
	c->began_ns = session_now_ns();
	c->limit_bytes = s->options.limit_bytes;
	c->on_limit = s->options.on_limit == MEMTRACE_LIMIT_KILL ? MT_ON_LIMIT_KILL :
		      s->options.on_limit == MEMTRACE_LIMIT_STOP ? MT_ON_LIMIT_STOP :
								   MT_ON_LIMIT_REPORT;
}

static int watch_fd(struct memtrace *s, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int map_rows(struct memtrace *s)
{
	const struct memtrace_bpf *skel = s->programs.skel;
	int err = unwind_rows_init(&s->rows, &s->tables.memory, bpf_map__fd(skel->maps.rows),
				   bpf_map__fd(skel->maps.row_first),
				   bpf_map__fd(skel->maps.code_files));

	if (err)
		return message_set(&s->error, err, "cannot map the unwind tables: %s (free some memory)",
				   strerror(-err));
	return 0;
}

/* Are there processes to trace by their allocators' own sites? Those that come later may have some,
 * but what pids name is there to be looked at. */
static bool wants_otel(struct memtrace *s)
{
	bool any = false;

	if (s->options.lane == MEMTRACE_LANE_UPROBE)
		return false;
	if (s->target != TARGET_PIDS)
		return s->target != TARGET_COMMAND;
	for (size_t i = 0; i < s->root_cnt && !any; i++)
		any = otel_lane_has_sites(s, s->roots[i].pid);
	return any;
}

/* Loads the programs and maps the tables; which programs depends on the target. */
static int load_parts(struct memtrace *s)
{
	struct capstone capstone;
	int err, records_fd;

	if (!process_in_initial_pid_namespace())
		return message_set(&s->error, -EPERM, "this is not the host's pid namespace, so pids "
				   "would be mistaken (run on the host, or a container with --pid=host)");
	if (capstone_load(&capstone))
		return message_set(&s->error, -ELIBACC, "cannot load libcapstone, which places the probes: "
				   "%s (install the package of the version memtrace was built with)",
				   dlerror());
	capstone_unload(&capstone);
	overhead_init(&s->overhead); /* it measures while the programs are verified */
	s->slot_cnt = account_slots();
	s->otel = wants_otel(s);
	err = programs_load(&s->programs, &(struct programs_want){
					  .acct_cnt = s->slot_cnt,
					  .by_pid = s->by_pid,
					  .preload = s->preload,
					  .batches = s->preload && preload_batches(&s->options) &&
						     !widen_possible(s),
					  .otel = s->otel,
					  .weighted = s->options.sampling || s->otel ||
						      widen_possible(s),
					  .allocators_later = s->preload ||
						  (s->otel && s->target == TARGET_PIDS),
					  .verified = log_verified,
					  .verified_ctx = s,
				  }, &s->error);
	if (err)
		return err;
	err = tables_init(&s->tables, s->programs.skel, s->slot_cnt, s->options.max_memory_bytes,
			  &s->error);
	if (err)
		return err;
	s->tables.sampled = s->options.sampling != MEMTRACE_SAMPLING_NONE;
	err = map_rows(s);
	if (err)
		return err;
	fill_control(s);
	err = tables_start_growing(&s->tables, &s->error);
	if (err)
		return err;
	err = programs_attach_life(&s->programs, &s->error);
	if (err)
		return err;
	err = records_open(&s->records, &records_fd, &s->error);
	if (err)
		return err;
	s->reported = calloc(s->slot_cnt, sizeof(*s->reported));
	s->exes = calloc(s->slot_cnt, sizeof(*s->exes));
	s->news = ring_buffer__new(bpf_map__fd(s->programs.skel->maps.news), follow_news, s, NULL);
	if (!s->reported || !s->exes || !s->news)
		return message_set(&s->error, -ENOMEM, "out of memory");
	if (s->tables.control->stacks == MT_STACKS_DWARF) {
		s->code = code_new(&s->rows, s->options.cache_dir, log_line, s);
		if (!s->code || ring_buffer__add(s->news, bpf_map__fd(s->programs.skel->maps.cold),
						 follow_cold_stack, s))
			return message_set(&s->error, -ENOMEM, "out of memory");
	}
	if (s->programs.want.batches) {
		s->paths = paths_new(s->tables.accts, s->tables.acct_cnt);
		if (!s->paths || ring_buffer__add(s->news, bpf_map__fd(s->programs.skel->maps.paths),
						  paths_tell, s->paths))
			return message_set(&s->error, -ENOMEM, "out of memory");
	}
	if (watch_fd(s, records_fd) || watch_fd(s, ring_buffer__epoll_fd(s->news)))
		return message_set(&s->error, -errno, "epoll: %s", strerror(errno));
	s->loaded = true;
	return 0;
}

static void warn_line(void *ctx, const char *line)
{
	session_log(ctx, MEMTRACE_LOG_WARN, "%s", line);
}

static int use_debuginfod(struct memtrace *s)
{
	int err = debug_server_new(&s->debug_server, warn_line, s, &s->error);

	if (!err)
		symbols_use_server(s->symbols, s->debug_server);
	return err;
}

int memtrace_open(const struct memtrace_options *options, struct memtrace **session)
{
	struct memtrace *s = calloc(1, sizeof(*s));

	*session = s;
	if (!s)
		return -ENOMEM;
	set_options(s, options);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return message_set(&s->error, -errno, "epoll: %s", strerror(errno));
	s->spaces = spaces_new();
	s->symbols = symbols_new();
	s->allocators = allocators_new(log_line, s);
	if (!s->spaces || !s->symbols || !s->allocators)
		return message_set(&s->error, -ENOMEM, "out of memory");
	return s->options.debuginfod ? use_debuginfod(s) : 0;
}

/* ---- what to trace ------------------------------------------------------------------------------ */

static int set_target(struct memtrace *s, enum session_target target, const char *text)
{
	char *joined = NULL;

	if (s->started)
		return message_set(&s->error, -EBUSY, "the session has started already");
	if (s->options.sampling && target != TARGET_COMMAND)
		return message_set(&s->error, -EINVAL, "only a launched command can be sampled: a library "
				   "that is loaded into it takes the sample (put the command behind --)");
	if (s->target != TARGET_NONE && (s->target != target || target != TARGET_PIDS))
		return message_set(&s->error, -EINVAL, "a session traces one kind of target (pids, a "
				   "command, a name, a cgroup, or everything)");
	if (asprintf(&joined, "%s%s%s", s->target_text ? s->target_text : "",
		     s->target_text ? ", " : "", text) < 0)
		return message_set(&s->error, -ENOMEM, "out of memory");
	free(s->target_text);
	s->target_text = joined;
	s->target = target;
	/* of pids more may come, and which programs are needed depends on them */
	return s->loaded || target == TARGET_PIDS ? 0 : load_parts(s);
}

static int check_seccomp(struct memtrace *s, pid_t pid)
{
	if (!process_seccomp(pid) || !probes_seccomp_is_deadly())
		return 0;
	return message_set(&s->error, -EPERM, "pid %d runs under a seccomp filter, and on this kernel a "
			   "return probe would end it (update the kernel: 6.12.16, 6.13.4, 6.14 or newer)",
			   pid);
}

int memtrace_attach(struct memtrace *s, pid_t pid)
{
	struct root *grown;
	char text[64], comm[MT_COMM_LEN];
	pid_t tgid;
	int err;

	if (pid <= 0 || kill(pid, 0)) {
		err = pid <= 0 ? ESRCH : errno;
		return message_set(&s->error, -err, err == ESRCH ?
				   "cannot attach to pid %d: no such process (it may have ended; pgrep "
				   "NAME finds pids)" :
				   "cannot attach to pid %d: not permitted (run with sudo)", pid);
	}
	if (process_is_thread(pid, &tgid))
		return message_set(&s->error, -ESRCH, "%d is a thread of process %d (trace the process: "
				   "-p %d)", pid, tgid, tgid);
	if (!process_is_alive(pid))
		return message_set(&s->error, -ESRCH, "cannot attach to pid %d: it has ended (a zombie "
				   "has no memory left)", pid);
	if (process_is_kernel_thread(pid))
		return message_set(&s->error, -EINVAL, "pid %d is a kernel thread: it has no heap "
				   "(name a program)", pid);
	err = check_seccomp(s, pid);
	if (err)
		return err;
	for (size_t i = 0; i < s->root_cnt; i++)
		if (s->roots[i].pid == pid)
			return 0;
	if (s->root_cnt + 1 >= MT_SCOPES)
		return message_set(&s->error, -E2BIG, "more than %d pids (use --comm or --all)",
				   MT_SCOPES - 1);
	process_comm(pid, comm, sizeof(comm));
	snprintf(text, sizeof(text), "pid %d (%s)", pid, comm);
	s->by_pid = s->options.follow != MEMTRACE_FOLLOW_EXACT;
	err = set_target(s, TARGET_PIDS, text);
	if (err)
		return err;
	grown = realloc(s->roots, (s->root_cnt + 1) * sizeof(*grown));
	if (!grown)
		return message_set(&s->error, -ENOMEM, "out of memory");
	s->roots = grown;
	grown[s->root_cnt] = (struct root){ .pid = pid, .scope = s->root_cnt + 1 };
	s->root_cnt++;
	return 0;
}

int memtrace_attach_all(struct memtrace *s)
{
	int err = set_target(s, TARGET_ALL, "all processes");

	if (!err)
		spaces_track_all(s->spaces);
	return err;
}

int memtrace_attach_comm(struct memtrace *s, const char *comm)
{
	char text[64];

	if (!*comm || strlen(comm) >= sizeof(s->comm))
		return message_set(&s->error, -EINVAL, "'%s' cannot be a process's name: the kernel "
				   "keeps 1 to %d characters (see ps -o comm)", comm, MT_COMM_LEN - 1);
	snprintf(s->comm, sizeof(s->comm), "%s", comm);
	snprintf(text, sizeof(text), "processes named %s", comm);
	spaces_track_all(s->spaces);
	s->by_pid = s->options.follow != MEMTRACE_FOLLOW_EXACT;
	return set_target(s, TARGET_COMM, text);
}

int memtrace_attach_cgroup(struct memtrace *s, const char *path)
{
	uint32_t zero = 0;
	char *text;
	int fd, err;

	fd = targets_open_cgroup(s, path);
	if (fd < 0)
		return fd;
	s->by_pid = s->options.follow != MEMTRACE_FOLLOW_EXACT;
	spaces_track_all(s->spaces);
	err = asprintf(&text, "cgroup %s", path) < 0 ? -ENOMEM : 0;
	if (err) {
		message_set(&s->error, err, "out of memory");
	} else {
		err = set_target(s, TARGET_CGROUP, text);
		free(text);
	}
	if (!err && bpf_map_update_elem(bpf_map__fd(s->programs.skel->maps.cgroups), &zero, &fd,
					BPF_ANY))
		err = message_set(&s->error, -errno, "'%s' is not a cgroup of version 2 (give a "
				  "directory below /sys/fs/cgroup)", path);
	close(fd);
	return err;
}

/* The command line, or as much of it as a header needs: then it ends in "...", with no character
 * halved before. */
static int command_text(struct memtrace *s, char *const *argv)
{
	static const char more[] = "...";
	char text[256] = "";
	size_t len = 0;

	for (int i = 0; argv[i] && len < sizeof(text); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", argv[i]);
	if (len >= sizeof(text)) {
		len = sizeof(text) - sizeof(more);
		while (len && (text[len] & 0xc0) == 0x80) /* within a character of UTF-8 */
			len--;
		strcpy(text + len, more);
	}
	return set_target(s, TARGET_COMMAND, text);
}

/* The command does not take the preload library; why ends the sentence "it ...". */
static int stay_without_preload(struct memtrace *s, const char *why)
{
	if (s->options.lane == MEMTRACE_LANE_PRELOAD)
		return message_set(&s->error, -EINVAL, "nothing can be preloaded into %s: it %s (use "
				   "--lane uprobe, or auto)", s->program, why);
	/* counting all of it is something else than was asked for */
	if (s->options.sampling)
		return message_set(&s->error, -EINVAL, "%s cannot be sampled, because no library can be "
				   "preloaded into it: it %s (without sampling it is counted exactly)",
				   s->program, why);
	session_log(s, MEMTRACE_LOG_INFO, "uprobe lane: %s %s", s->program, why);
	return 0;
}

static int sampling_option_error(const struct memtrace_options *options)
{
	switch (options->sampling) {
	case MEMTRACE_SAMPLING_NONE:
		return 0;
	case MEMTRACE_SAMPLING_BYTES:
		return options->sample_bytes <= MT_PRELOAD_SAMPLE_BYTES_MAX ? 0 : -EINVAL;
	case MEMTRACE_SAMPLING_RATE: /* NAN is neither */
		return options->sampling_rate >= 0 && options->sampling_rate <= 1 ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int use_preload(struct memtrace *s, const struct memtrace_command *command)
{
	struct mt_preload_config config = widen_first_sampling(&s->options);
	bool wanted = s->options.lane == MEMTRACE_LANE_PRELOAD || s->options.sampling;
	int err = preload_new(s->options.preload_library, &s->preload, &s->error);

	if (!err && command->set_user && !preload_is_readable_by(s->preload, command->uid)) {
		preload_free(s->preload);
		s->preload = NULL;
		return stay_without_preload(s, "is to run as a user who cannot reach the preload library");
	}
	if (!err)
		return preload_configure(s->preload, &config);
	if (wanted)
		return err;
	s->no_preload = s->error; /* to be said once it is known that there will be a trace */
	s->error = (struct message){ "" };
	return 0;
}

/* Which lane the command takes: whether there will be a preload library. */
static int choose_lane(struct memtrace *s, const struct memtrace_command *command)
{
	const char *already = getenv("LD_PRELOAD"), *refusal;

	if (sampling_option_error(&s->options))
		return message_set(&s->error, -EINVAL, "that much cannot be sampled (a point every 0 to 2^40 "
				   "bytes, or allocations with a probability from 0 to 1)");
	if (s->options.lane == MEMTRACE_LANE_UPROBE && s->options.sampling)
		return message_set(&s->error, -EINVAL, "the uprobe lane takes no samples (use --lane "
				   "preload, or auto)");
	if (s->options.lane == MEMTRACE_LANE_UPROBE)
		return 0;
	refusal = preload_refusal(s->allocators, "/", s->program, already);
	/* it stays the first one, so the library would see nothing; else the user has asked for that */
	if (!refusal && s->options.lane == MEMTRACE_LANE_AUTO && !s->options.sampling &&
	    preload_has_allocator(s->allocators, "/", s->program, already))
		refusal = "is given an allocator by LD_PRELOAD, which probes see better";
	return refusal ? stay_without_preload(s, refusal) : use_preload(s, command);
}

int memtrace_launch(struct memtrace *s, const struct memtrace_command *command, pid_t *pid)
{
	char program[PATH_MAX];
	int err;

	if (!command || !command->argv || !command->argv[0])
		return message_set(&s->error, -EINVAL, "no command to run (put it behind --)");
	err = launch_find_program(command->argv[0], program, &s->error);
	if (err)
		return err;
	s->program = realpath(program, NULL);
	if (!s->program)
		return message_set(&s->error, -errno, "cannot run '%s': %s", command->argv[0],
				   strerror(errno));
	err = choose_lane(s, command);
	if (err)
		return err;
	err = command_text(s, command->argv);
	if (err)
		return err;
	if (s->no_preload.text[0])
		session_log(s, MEMTRACE_LOG_WARN, "uprobe lane: %s", s->no_preload.text);
	if (s->preload) {
		s->preload_words = preload_words(s->preload, s->allocators, "/", s->program,
						 getenv("LD_PRELOAD"));
		if (!s->preload_words)
			return message_set(&s->error, -ENOMEM, "out of memory");
	}
	err = launch_new(command, program, s->preload_words, &s->launch, &s->error);
	if (!err && pid)
		*pid = launch_pid(s->launch);
	return err;
}

/* The command's own exec may wait at the gate. */
static int let_go(struct memtrace *s)
{
	struct pollfd fds[] = {
		{ .fd = launch_result_fd(s->launch), .events = POLLIN },
		{ .fd = s->gate ? gate_fd(s->gate) : -1, .events = POLLIN },
	};
	int err = launch_go(s->launch, &s->error);

	if (err)
		return err;
	while (!fds[0].revents) {
		poll(fds, 2, -1);
		targets_serve_gate(s);
	}
	if (s->gate && watch_fd(s, gate_fd(s->gate)))
		return message_set(&s->error, -errno, "epoll: %s", strerror(errno));
	return launch_result(s->launch, &s->error);
}

int memtrace_start(struct memtrace *s)
{
	int err;

	if (s->started)
		return 0;
	err = !s->loaded && s->target == TARGET_PIDS ? load_parts(s) : 0;
	if (err)
		return err;
	if (!s->loaded)
		return message_set(&s->error, -EINVAL, "nothing to trace (give a pid, a command, or "
				   "--all)");
	err = targets_start(s);
	if (err)
		return err;
	err = overhead_start(s);
	if (!err && s->overhead.timer_fd >= 0)
		err = watch_fd(s, s->overhead.timer_fd);
	if (err)
		return message_set(&s->error, err, "cannot measure what tracing costs: %s",
				   strerror(-err));
	s->ready_ns = s->previous_ns = session_now_ns();
	s->started = true;
	if (s->launch)
		err = let_go(s);
	return err;
}

/* ---- running ------------------------------------------------------------------------------------ */

static int running_count(struct memtrace *s)
{
	size_t cnt = follow_running(s);
	int status;

	if (s->launch && launch_status(s->launch, &status) == -EAGAIN && !cnt)
		cnt = 1; /* before its exec, or its exit is not through yet */
	if (s->target != TARGET_PIDS && s->target != TARGET_COMMAND)
		cnt++; /* more may come */
	return cnt;
}

int memtrace_poll(struct memtrace *s, int timeout_ms)
{
	struct epoll_event events[4];
	int got, err;

	got = epoll_wait(s->epoll_fd, events, 4, timeout_ms);
	if (got < 0)
		err = -errno;
	else
		err = 0;
	targets_serve_gate(s);
	ring_buffer__consume(s->news);
	follow_drain_maps(s, true);
	if (s->paths)
		paths_settle(s->paths, session_now_ns());
	got = follow_harvest(s);
	overhead_poll(s);
	if (err)
		return err;
	if (got < 0)
		return message_set(&s->error, got, "cannot copy ended processes: out of memory");
	return running_count(s);
}

int memtrace_fd(const struct memtrace *s)
{
	return s->epoll_fd;
}

uint64_t memtrace_limit_crossings(const struct memtrace *s)
{
	uint64_t cnt = 0;

	/* The news of a crossing can be dropped; the table cannot. Those of single processes are in
	 * accounts, too many to look through each time: the next snapshot has them. */
	for (uint32_t i = 0; s->loaded && i <= s->root_cnt && i < MT_SCOPES; i++)
		cnt += s->tables.scopes[i].exceeded_acct_id != 0;
	return cnt > s->crossings_heard ? cnt : s->crossings_heard;
}

bool memtrace_limit_exceeded(const struct memtrace *s)
{
	return memtrace_limit_crossings(s) > 0;
}

bool memtrace_overhead(const struct memtrace *s, struct memtrace_overhead *recent)
{
	return overhead_recent(s, recent);
}

bool memtrace_overhead_passed(const struct memtrace *s)
{
	return s->overhead.passed_percent > 0;
}

int memtrace_command_status(struct memtrace *s, int *wait_status)
{
	return s->launch ? launch_status(s->launch, wait_status) : -ECHILD;
}

static void log_paths(struct memtrace *s)
{
	uint64_t taught, refused;

	if (!s->paths)
		return;
	paths_count(s->paths, &taught, &refused);
	session_log(s, MEMTRACE_LOG_INFO, "%" PRIu64 " call paths told to processes, %" PRIu64 " refused",
		    taught, refused);
}

int memtrace_detach(struct memtrace *s)
{
	if (s->detached || !s->loaded)
		return 0;
	s->ending = true;
	overhead_stop(s);
	gate_close(s->gate); /* nobody waits at exec, nobody stays stopped there */
	s->gate = NULL;
	ring_buffer__consume(s->news);
	s->tables.control->stop_at_exec = 0;
	targets_detach(s);
	ring_buffer__consume(s->news);
	follow_harvest(s);
	log_paths(s);
	s->detached = true;
	return 0;
}

int memtrace_snapshot_take(struct memtrace *s, struct memtrace_snapshot **snapshot)
{
	int err;

	programs_read_batches(&s->programs);
	ring_buffer__consume(s->news);
	follow_drain_maps(s, false);
	err = follow_harvest(s);
	if (!err)
		err = report_take(s, snapshot);
	if (err)
		return message_set(&s->error, err, "cannot take a snapshot: %s", strerror(-err));
	return 0;
}

int memtrace_counters_take(struct memtrace *s, struct memtrace_snapshot **snapshot)
{
	int err;

	programs_read_batches(&s->programs);
	err = counters_take(s, snapshot);
	if (err)
		return message_set(&s->error, err, "cannot read the counters: %s", strerror(-err));
	return 0;
}

const char *memtrace_error(const struct memtrace *s)
{
	return s ? s->error.text : "out of memory";
}

void memtrace_close(struct memtrace *s)
{
	if (!s)
		return;
	if (s->loaded)
		memtrace_detach(s);
	launch_free(s->launch);
	withhold_free(s->withhold);
	preload_free(s->preload);
	ring_buffer__free(s->news);
	records_close(s->records);
	for (size_t i = 0; i < s->past_cnt; i++) {
		account_record_fini(&s->past[i].record);
		space_put(s->past[i].space);
		free(s->past[i].exe);
	}
	for (uint32_t slot = 0; s->exes && slot < s->slot_cnt; slot++)
		free(s->exes[slot]);
	overhead_fini(&s->overhead);
	paths_free(s->paths);
	code_free(s->code);
	unwind_rows_fini(&s->rows);
	tables_fini(&s->tables);
	programs_unload(&s->programs);
	allocators_free(s->allocators);
	symbols_free(s->symbols);
	debug_server_free(s->debug_server);
	spaces_free(s->spaces);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s->attached);
	free(s->detaching);
	free(s->roots);
	free(s->past);
	free(s->reported);
	free(s->exes);
	free(s->preload_words);
	free(s->programs_seen);
	free(s->left);
	free(s->copies);
	free(s->program);
	free(s->cgroup_path);
	free(s->target_text);
	free(s);
}

const char *memtrace_version(void)
{
	return MEMTRACE_VERSION;
}
