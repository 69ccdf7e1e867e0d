// SPDX-License-Identifier: MIT
#include "parts/floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/message.h"
#include "capture/allocators.h"
#include "capture/elf_file.h"
#include "capture/process.h"
#include "capture/programs.h"
#include "capture/usdt.h"
#include "memtrace/preload.h"

#define SITES_MAX 32
#define SETS_MAX 8

enum { MALLOC, FREE, ENTER, RETURN, STACK, PROGRAMS };

static const char *const program_names[] = { "floor_malloc", "floor_free", "floor_enter",
					     "floor_return", "floor_stack" };

struct floor {
	struct probe_kind kind;
	struct allocator_programs fds;
	int return_fd, stack_fd; /* programs at the return: empty, or with the kernel's walk */
	struct bpf_object *object;
	struct allocators *allocators;
	struct probe_set *sets[SETS_MAX]; /* one for each file */
	size_t set_cnt;
	bool by_pid;
};

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct floor *floor_new(const char *build, bool by_pid)
{
	struct floor *f = calloc(1, sizeof(*f));
	struct bpf_program *programs[PROGRAMS];
	struct message why = { "" };
	char path[4096];

	if (!f)
		die("memory");
	f->by_pid = by_pid;
	if (probe_kind_init(&f->kind, by_pid, &why))
		die(why.text);
	snprintf(path, sizeof(path), "%s/bench/floor.bpf.o", build);
	f->object = bpf_object__open(path);
	if (!f->object)
		die(path);
	for (int i = 0; i < PROGRAMS; i++) {
		programs[i] = bpf_object__find_program_by_name(f->object, program_names[i]);
		if (f->kind.multi)
			bpf_program__set_expected_attach_type(programs[i], PROBE_ATTACH_MULTI);
	}
	if (bpf_object__load(f->object))
		die("loading the floor");
	f->fds.malloc_fd = bpf_program__fd(programs[MALLOC]);
	f->fds.free_fd = bpf_program__fd(programs[FREE]);
	f->fds.enter_fd = bpf_program__fd(programs[ENTER]);
	f->return_fd = bpf_program__fd(programs[RETURN]);
	f->stack_fd = bpf_program__fd(programs[STACK]);
	f->allocators = allocators_new(NULL, NULL);
	return f;
}

void floor_free(struct floor *f)
{
	if (!f)
		return;
	floor_detach(f);
	allocators_free(f->allocators);
	bpf_object__close(f->object);
	free(f);
}

bool floor_is_multi(const struct floor *f)
{
	return f->kind.multi;
}

/* ---- probes on allocators ------------------------------------------------------------------- */

struct hanging {
	struct floor *floor;
	pid_t pid;
	int err;
};

static int hang(struct floor *f, pid_t pid, int fd, const struct allocator_file *file)
{
	struct probe_hook hooks[2 * file->site_cnt];
	size_t n = programs_hooks(&f->fds, file->sites, file->site_cnt, hooks);
	char path[32];
	int err;

	if (!n || f->set_cnt == SETS_MAX)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = probe_set_attach(&f->kind, path, f->by_pid ? pid : 0, hooks, n, &f->sets[f->set_cnt]);
	f->set_cnt += !err;
	return err;
}

static void see_map(void *ctx, const struct process_map *map)
{
	struct hanging *hanging = ctx;
	const struct allocator_file *file;
	int fd;

	if (!map->executable || map->path[0] != '/' || hanging->err)
		return;
	fd = process_open_map(hanging->pid, map);
	if (fd < 0)
		return;
	file = allocators_file(hanging->floor->allocators, fd, map->path);
	if (file && file->site_cnt)
		hanging->err = hang(hanging->floor, hanging->pid, fd, file);
	close(fd);
}

int floor_attach(struct floor *f, pid_t pid, enum floor_program program)
{
	struct hanging hanging = { .floor = f, .pid = pid };
	int err;

	f->fds.return_fd = program == FLOOR_KERNEL_WALK ? f->stack_fd : f->return_fd;
	err = process_each_map(pid, see_map, &hanging);
	if (!err)
		err = hanging.err;
	return err ? err : f->set_cnt ? 0 : -ENOENT;
}

/* ---- probes on the preload library ---------------------------------------------------------- */

struct library_sites {
	const struct floor *floor;
	struct probe_hook hooks[SITES_MAX];
	size_t cnt;
	uint64_t step; /* from a site's first byte to the one that is cheap here */
};

static void see_site(void *ctx, const struct usdt_site *site)
{
	struct library_sites *sites = ctx;

	if (strcmp(site->provider, MT_PRELOAD_PROVIDER) || sites->cnt == SITES_MAX)
		return;
	sites->hooks[sites->cnt++] = (struct probe_hook){
		.prog_fd = sites->floor->fds.enter_fd,
		.offset = site->offset + sites->step,
		.semaphore = site->semaphore,
	};
}

int floor_attach_preload(struct floor *f, const char *library)
{
	struct library_sites sites = {
		.floor = f,
		.step = f->kind.multi && probes_nop5_is_fast() ? MT_PRELOAD_NOP5 : 0,
	};
	enum elf_file_error why;
	struct elf_file file;
	int err, fd = open(library, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	err = elf_file_open(&file, fd, &why);
	if (!err) {
		usdt_each(&file, see_site, &sites);
		elf_file_close(&file);
	}
	close(fd);
	if (!err && !sites.cnt)
		err = -ENOENT;
	if (!err)
		err = probe_set_attach(&f->kind, library, 0, sites.hooks, sites.cnt, &f->sets[0]);
	f->set_cnt = !err;
	return err;
}

void floor_detach(struct floor *f)
{
	while (f->set_cnt)
		probe_set_detach(f->sets[--f->set_cnt]);
}
