// SPDX-License-Identifier: MIT
#include "capture/preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/message.h"
#include "capture/allocators.h"
#include "capture/deps.h"
#include "capture/elf_file.h"
#include "capture/foreign.h"
#include "capture/probes.h"
#include "capture/process.h"
#include "capture/programs.h"
#include "capture/usdt.h"

#define NAME "libmemtrace-preload.so"
#define SITES_MAX 32

struct site {
	char name[32];
	uint64_t offset, semaphore;
};

struct preload {
	char *path;
	int fd;	     /* the file as it is installed */
	int copy_fd; /* for writing; -1: not there yet */
	dev_t dev;   /* of the copy */
	ino_t ino;
	uint64_t config_offset;
	uint64_t stats_address; /* from where the library is loaded */
	struct mt_preload_config config;
	struct site sites[SITES_MAX];
	size_t site_cnt;
	struct probe_set *set;
};

/* ---- the file ---------------------------------------------------------------------------------------- */

static void see_site(void *ctx, const struct usdt_site *usdt)
{
	struct preload *p = ctx;
	struct site *site = &p->sites[p->site_cnt];

	if (strcmp(usdt->provider, MT_PRELOAD_PROVIDER) || p->site_cnt == SITES_MAX ||
	    strlen(usdt->name) >= sizeof(site->name))
		return;
	strcpy(site->name, usdt->name);
	site->offset = usdt->offset;
	site->semaphore = usdt->semaphore;
	p->site_cnt++;
}

/* A section's offset in the file and its address, where it has at least so many bytes. */
static bool find_section(const struct elf_file *file, const char *wanted, size_t bytes, GElf_Shdr *shdr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(file->elf, &names))
		return false;
	while ((scn = elf_nextscn(file->elf, scn))) {
		const char *name = gelf_getshdr(scn, shdr) ?
					   elf_strptr(file->elf, names, shdr->sh_name) : NULL;

		if (name && !strcmp(name, wanted) && shdr->sh_size >= bytes)
			return true;
	}
	return false;
}

static int read_file(struct preload *p)
{
	enum elf_file_error why;
	struct elf_file file;
	GElf_Shdr shdr;
	int err = elf_file_open(&file, p->fd, &why);

	if (err)
		return err;
	usdt_each(&file, see_site, p);
	if (find_section(&file, MT_PRELOAD_CONFIG_SECTION, MT_PRELOAD_CONFIG_BYTES, &shdr))
		p->config_offset = shdr.sh_offset;
	if (find_section(&file, MT_PRELOAD_STATS_SECTION, sizeof(struct mt_preload_stats), &shdr))
		p->stats_address = shdr.sh_addr;
	elf_file_close(&file);
	if (!p->site_cnt || !p->config_offset || !p->stats_address ||
	    elf_file_read_at(p->fd, p->config_offset, &p->config, sizeof(p->config)) !=
		    sizeof(p->config) ||
	    p->config.magic != MT_PRELOAD_MAGIC || p->config.version != MT_PRELOAD_VERSION)
		return -ENOEXEC;
	return 0;
}

/* Beside the program or library that this code is in, and where make install puts it. */
static int open_installed(struct preload *p)
{
	static const char *const places[] = { "/" NAME, "/../lib/memtrace/" NAME,
					      "/memtrace/" NAME };
	char *homes[2], path[PATH_MAX], *slash;
	Dl_info info;

	homes[0] = realpath("/proc/self/exe", NULL);
	homes[1] = dladdr((void *)open_installed, &info) ? realpath(info.dli_fname, NULL) : NULL;
	for (size_t i = 0; i < 2 && p->fd < 0; i++) {
		slash = homes[i] ? strrchr(homes[i], '/') : NULL;
		if (!slash)
			continue;
		*slash = 0;
		for (size_t n = 0; n < sizeof(places) / sizeof(places[0]) && p->fd < 0; n++) {
			snprintf(path, sizeof(path), "%s%s", homes[i], places[n]);
			p->fd = open(path, O_RDONLY | O_CLOEXEC);
			if (p->fd >= 0)
				p->path = realpath(path, NULL);
		}
	}
	free(homes[0]);
	free(homes[1]);
	return p->path ? 0 : -ENOENT;
}

int preload_new(const char *path, struct preload **out, struct message *why)
{
	struct preload *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return message_set(why, -ENOMEM, "out of memory");
	p->fd = p->copy_fd = -1;
	if (path) {
		p->fd = open(path, O_RDONLY | O_CLOEXEC);
		p->path = p->fd >= 0 ? realpath(path, NULL) : NULL;
		err = p->path ? 0 : -errno;
	} else {
		err = open_installed(p);
	}
	if (err)
		err = message_set(why, err, "cannot open the preload library %s: %s (install memtrace "
				  "again, or use --lane uprobe)", path ? path : NAME, strerror(-err));
	else if (strpbrk(p->path, ": ")) /* LD_PRELOAD would take that for two */
		err = message_set(why, -EINVAL, "cannot preload '%s': there is a space or a colon in "
				  "its path (install memtrace elsewhere, or use --lane uprobe)", p->path);
	else if (read_file(p))
		err = message_set(why, -ENOEXEC, "%s is not the preload library of this memtrace "
				  "(install memtrace again, or use --lane uprobe)", p->path);
	if (err) {
		preload_free(p);
		return err;
	}
	*out = p;
	return 0;
}

void preload_free(struct preload *p)
{
	if (!p)
		return;
	preload_detach(p);
	if (p->fd >= 0)
		close(p->fd);
	if (p->copy_fd >= 0)
		close(p->copy_fd);
	free(p->path);
	free(p);
}

const char *preload_path(const struct preload *p)
{
	return p->path;
}

int preload_file(const struct preload *p)
{
	return p->fd;
}

/* ---- who can take it ---------------------------------------------------------------------------------- */

static const char *file_refusal(struct allocators *allocators, int fd, const char *path)
{
	const struct allocator_file *file;
	enum elf_file_error why;
	struct elf_file elf;
	const char *refusal = NULL;
	struct stat st;
	char caps[64];

	if (elf_file_open(&elf, fd, &why))
		return why == ELF_FILE_32BIT ? "is a 32-bit program" :
					       "is no program for this machine";
	if (elf.interp.p_type != PT_INTERP)
		refusal = "is statically linked";
	elf_file_close(&elf);
	if (refusal)
		return refusal;
	if (fstat(fd, &st) || st.st_mode & (S_ISUID | S_ISGID))
		return "is setuid or setgid";
	if (fgetxattr(fd, "security.capability", caps, sizeof(caps)) > 0)
		return "has file capabilities";
	file = allocators_file(allocators, fd, path);
	return file && (file->site_cnt || file->interposes) ? "has an allocator of its own" : NULL;
}

const char *preload_refusal(struct allocators *allocators, const char *root, const char *exe,
			    const char *ld_preload)
{
	struct deps_request request = { .root = root, .exe = exe };
	const char *refusal = foreign_program(root, exe, ld_preload);
	struct deps deps;
	int fd, err;

	if (refusal)
		return refusal;
	err = deps_resolve(&request, &deps);
	if (err)
		return err == -ENOEXEC ? "is no 64-bit program for this machine" : "cannot be read";
	fd = deps_open(root, deps.list[0].path);
	refusal = fd < 0 ? "cannot be read" : file_refusal(allocators, fd, deps.list[0].path);
	if (fd >= 0)
		close(fd);
	deps_fini(&deps);
	return refusal;
}

/* May the file, or directory, be read, or passed, by the user? */
static bool grants(const struct stat *st, uid_t uid, mode_t bits)
{
	mode_t mode = st->st_uid == uid ? st->st_mode >> 6 : st->st_mode;

	return (mode & bits) == bits;
}

/* The copy's own bits are for everybody. */
bool preload_is_readable_by(const struct preload *p, uid_t uid)
{
	char path[PATH_MAX];
	struct stat st;

	if (!uid)
		return true;
	snprintf(path, sizeof(path), "%s", p->path);
	for (char *slash; (slash = strrchr(path, '/')) && slash > path;) {
		*slash = 0;
		if (stat(path, &st) || !grants(&st, uid, S_IXOTH))
			return false;
	}
	return true;
}

bool preload_is_readable_by_all(const struct preload *p)
{
	return preload_is_readable_by(p, -1); /* nobody's number */
}

bool preload_has_allocator(struct allocators *allocators, const char *root, const char *exe,
			   const char *already)
{
	struct deps_request request = { .root = root, .exe = exe, .ld_preload = already };
	const struct allocator_file *file;
	struct deps deps;
	bool found = false;

	if (!already || deps_resolve(&request, &deps))
		return false;
	for (size_t i = 0; i < deps.cnt && !found; i++) {
		int fd = deps.list[i].role == DEP_PRELOAD ? deps_open(root, deps.list[i].path) : -1;

		if (fd < 0)
			continue;
		file = allocators_file(allocators, fd, deps.list[i].path);
		found = file && file->site_cnt;
		close(fd);
	}
	deps_fini(&deps);
	return found;
}

char *preload_words(const struct preload *p, struct allocators *allocators, const char *root,
		    const char *exe, const char *already)
{
	char *words;
	bool first;

	if (!already || !*already)
		return strdup(p->path);
	if (strstr(already, p->path)) /* a memtrace inside another */
		return strdup(already);
	first = preload_has_allocator(allocators, root, exe, already);
	if (asprintf(&words, "%s:%s", first ? p->path : already, first ? already : p->path) < 0)
		return NULL;
	return words;
}

/* ---- the copy ------------------------------------------------------------------------------------------ */

static int write_config(struct preload *p)
{
	const size_t head = offsetof(struct mt_preload_config, generation);
	const char *bytes = (const char *)&p->config;

	if (p->copy_fd < 0)
		return 0;
	/* the library looks at the rest once generation has changed */
	if (pwrite(p->copy_fd, bytes, head, p->config_offset) != (ssize_t)head ||
	    pwrite(p->copy_fd, bytes + head, sizeof(p->config.generation),
		   p->config_offset + head) != sizeof(p->config.generation))
		return errno ? -errno : -EIO;
	return 0;
}

int preload_configure(struct preload *p, const struct mt_preload_config *config)
{
	uint64_t generation = p->config.generation;

	p->config = *config;
	p->config.magic = MT_PRELOAD_MAGIC;
	p->config.version = MT_PRELOAD_VERSION;
	p->config.generation = generation + 1;
	return write_config(p);
}

/* What takes blocks out comes before what puts them in. */
static int order(const struct site *site)
{
	static const char *const names[] = { "claim", "free", "failed", "realloc_begin", "realloc_end",
					     "alloc" };
	int n = 0;

	while (n < (int)(sizeof(names) / sizeof(names[0])) && strcmp(names[n], site->name))
		n++;
	return n;
}

static int by_order(const void *a, const void *b)
{
	return order(a) - order(b);
}

int preload_attach(struct preload *p, struct programs *programs, int fd, bool inspected)
{
	bool fast = programs->kind.multi && !inspected && probes_nop5_is_fast();
	uint64_t step = fast ? MT_PRELOAD_NOP5 : 0;
	struct probe_hook hooks[SITES_MAX];
	char path[32];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st))
		return -errno;
	p->copy_fd = open(path, O_RDWR | O_CLOEXEC);
	if (p->copy_fd < 0)
		return -errno;
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	err = write_config(p);
	qsort(p->sites, p->site_cnt, sizeof(p->sites[0]), by_order);
	for (size_t i = 0; i < p->site_cnt && !err; i++) {
		hooks[i] = (struct probe_hook){
			.offset = p->sites[i].offset + step,
			.semaphore = p->sites[i].semaphore,
		};
		hooks[i].prog_fd = programs_of_preload(programs, p->sites[i].name,
						       &hooks[i].cookie);
		if (hooks[i].prog_fd < 0)
			err = hooks[i].prog_fd;
	}
	return err ? err : probe_set_attach(&programs->kind, path, 0, hooks, p->site_cnt, &p->set);
}

void preload_protect(const struct preload *p)
{
	int flags;

	/* programs of other users shall read it, and nobody cut it short below who has mapped it */
	if (!fchmod(p->copy_fd, 0755) && !ioctl(p->copy_fd, FS_IOC_GETFLAGS, &flags)) {
		flags |= FS_IMMUTABLE_FL;
		ioctl(p->copy_fd, FS_IOC_SETFLAGS, &flags);
	}
	errno = 0; /* before Linux 6.0 tmpfs has no such flags */
}

void preload_detach(struct preload *p)
{
	probe_set_detach(p->set);
	p->set = NULL;
}

bool preload_is(const struct preload *p, const struct stat *st)
{
	return p->copy_fd >= 0 && st->st_ino == p->ino && st->st_dev == p->dev;
}

bool preload_is_below(const struct preload *p, const char *root)
{
	int fd = deps_open(root, p->path);
	struct stat st;
	bool is = fd >= 0 && !fstat(fd, &st) && preload_is(p, &st);

	if (fd >= 0)
		close(fd);
	return is;
}

/* maps tells a device that stat(2) need not: some file systems have several. */
static bool is_mapping(const struct preload *p, pid_t pid, const struct process_map *map)
{
	bool is = false;
	struct stat st;
	int fd;

	if (map->ino != p->ino)
		return false;
	fd = process_open_map(pid, map);
	if (fd >= 0) {
		is = !fstat(fd, &st) && preload_is(p, &st);
		close(fd);
	}
	return is;
}

struct search {
	const struct preload *preload;
	pid_t pid;
	bool executable; /* which mapping is meant: that of its code, or of the file's beginning */
	bool found;
	uint64_t start;
};

static void see_map(void *ctx, const struct process_map *map)
{
	struct search *search = ctx;

	if (search->found || (search->executable ? !map->executable : map->pgoff != 0) ||
	    !is_mapping(search->preload, search->pid, map))
		return;
	search->found = true;
	search->start = map->start;
}

bool preload_is_mapped(const struct preload *p, pid_t pid)
{
	struct search search = { .preload = p, .pid = pid, .executable = true };

	return p->copy_fd >= 0 && !process_each_map(pid, see_map, &search) && search.found;
}

/* ---- sampling ------------------------------------------------------------------------------------------ */

bool preload_batches(const struct memtrace_options *options)
{
	return options->stacks <= MEMTRACE_STACKS_DWARF && !options->sampling &&
	       (!options->limit_bytes || options->on_limit == MEMTRACE_LIMIT_REPORT);
}

struct mt_preload_config preload_sampling(const struct memtrace_options *options)
{
	struct mt_preload_config config = { .mode = MT_PRELOAD_EXACT, .seed = options->sample_seed };

	switch (options->sampling) {
	case MEMTRACE_SAMPLING_NONE:
		config.batches = preload_batches(options) ? options->stack_depth : 0;
		break;
	case MEMTRACE_SAMPLING_BYTES:
		config.mode = options->sample_bytes ? MT_PRELOAD_BY_BYTES : MT_PRELOAD_OFF;
		config.sample_bytes = options->sample_bytes;
		break;
	case MEMTRACE_SAMPLING_RATE:
		config.mode = options->sampling_rate > 0 ? MT_PRELOAD_BY_CALLS : MT_PRELOAD_OFF;
		config.probability = options->sampling_rate * MT_PRELOAD_PROBABILITY_ONE;
		if (config.mode == MT_PRELOAD_BY_CALLS && !config.probability)
			config.probability = 1;
		break;
	}
	return config;
}

int64_t preload_filter_bytes(const struct preload *p, pid_t pid)
{
	struct search search = { .preload = p, .pid = pid };
	struct mt_preload_stats stats;
	struct iovec here = { &stats, sizeof(stats) }, there = { NULL, sizeof(stats) };

	if (p->copy_fd < 0 || process_each_map(pid, see_map, &search) || !search.found)
		return MEMTRACE_UNKNOWN;
	there.iov_base = (void *)(uintptr_t)(search.start + p->stats_address);
	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != sizeof(stats))
		return MEMTRACE_UNKNOWN;
	return stats.filter_bytes;
}
