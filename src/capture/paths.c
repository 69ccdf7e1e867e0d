// SPDX-License-Identifier: MIT
#include "capture/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "memtrace/abi.h"
#include "memtrace/batch.h"

#define SPACES_OPEN 16 /* at a time */
#define NOTES_LOG2 12
#define SETTLED_APART_NS 20000000 /* 8 tickets each time cost some 0.2 ms */

/* A process's memory. */
struct opened {
	uint64_t acct_id; /* 0: none */
	int fd;
	uint32_t refused; /* tickets without an answer yet */
	uint64_t pages;	  /* where it keeps events */
	uint64_t noted[1 << NOTES_LOG2]; /* addresses that are in its table */
};

struct paths {
	const struct mt_acct *accts;
	uint32_t acct_cnt;
	struct opened opened[SPACES_OPEN];
	uint32_t next; /* to be closed for another one */
	uint64_t settled_ns; /* when last */
	uint64_t taught, refused;
};

struct paths *paths_new(const struct mt_acct *accts, uint32_t acct_cnt)
{
	struct paths *paths = calloc(1, sizeof(*paths));

	if (paths) {
		paths->accts = accts;
		paths->acct_cnt = acct_cnt;
	}
	return paths;
}

static void close_memory(struct opened *o)
{
	if (o->acct_id)
		close(o->fd);
	o->acct_id = 0;
}

void paths_free(struct paths *paths)
{
	if (!paths)
		return;
	for (size_t i = 0; i < SPACES_OPEN; i++)
		close_memory(&paths->opened[i]);
	free(paths);
}

void paths_count(const struct paths *paths, uint64_t *taught, uint64_t *refused)
{
	*taught = paths->taught;
	*refused = paths->refused;
}

/* ---- the memory of who asks ------------------------------------------------------------------------ */

static bool is_alive(const struct paths *paths, const struct mt_path *path)
{
	const volatile struct mt_acct *a;

	if (!path->acct || path->acct >= paths->acct_cnt)
		return false;
	a = &paths->accts[path->acct];
	return a->id == path->acct_id && a->state == MT_ACCT_LIVE;
}

/* An account that is alive after the file was opened has not been left by exec before. */
static struct opened *open_memory(struct paths *paths, const struct mt_path *path)
{
	struct opened *o;
	char name[32];
	int fd;

	for (size_t i = 0; i < SPACES_OPEN; i++)
		if (paths->opened[i].acct_id == path->acct_id)
			return &paths->opened[i];
	snprintf(name, sizeof(name), "/proc/%u/mem", path->tgid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (!is_alive(paths, path)) {
		close(fd);
		return NULL;
	}
	o = &paths->opened[paths->next++ % SPACES_OPEN];
	close_memory(o);
	memset(o, 0, sizeof(*o));
	o->acct_id = path->acct_id;
	o->fd = fd;
	return o;
}

static int get(int fd, uint64_t at, void *out, size_t size)
{
	return pread(fd, out, size, (off_t)at) == (ssize_t)size ? 0 : -EIO;
}

static int put(int fd, uint64_t at, const void *in, size_t size)
{
	return pwrite(fd, in, size, (off_t)at) == (ssize_t)size ? 0 : -EIO;
}

/* ---- tables ---------------------------------------------------------------------------------------- */

/* The tables of one process. */
struct target {
	int fd;
	uint64_t pages; /* their address there */
	struct mt_batch head;
	uint32_t epoch;
};

#define FIELD(target, field) ((target)->pages + offsetof(struct mt_batch, field))

static uint64_t pcs_at(const struct target *t, uint32_t generation)
{
	return t->head.tables[generation];
}

static uint64_t entries_at(const struct target *t, uint32_t generation)
{
	return pcs_at(t, generation) + MT_PATH_ENTRIES_AT(generation);
}

static int put_count(const struct target *t, uint64_t at, uint32_t *cnt)
{
	++*cnt;
	return put(t->fd, at, cnt, sizeof(*cnt));
}

/* In a table, or in the part of one that may have the key: its index, or where there is room for it, or
 * -ENOSPC. *known says which. */
static int pc_slot(const struct mt_path_pc *near, uint64_t key, uint32_t epoch, bool *known)
{
	int room = -ENOSPC;

	*known = false;
	for (int i = MT_PATH_PROBES - 1; i >= 0; i--) {
		*known = near[i].key == key;
		if (*known)
			return i;
		if (near[i].key >> 48 != epoch)
			room = i;
	}
	return room;
}

static int entry_slot(const struct mt_path_entry *near, const __u64 *hash, uint32_t epoch, bool *known)
{
	int room = -ENOSPC;

	*known = false;
	for (int i = MT_PATH_PROBES - 1; i >= 0; i--) {
		*known = near[i].epoch == epoch && near[i].hash[0] == hash[0] &&
			 near[i].hash[1] == hash[1];
		if (*known)
			return i;
		if (near[i].epoch != epoch)
			room = i;
	}
	return room;
}

static int add_pc(struct target *t, uint64_t pc, uint32_t rule)
{
	uint64_t key = MT_PATH_KEY(pc, t->epoch), at = pcs_at(t, t->head.generation);
	struct mt_path_pc near[MT_PATH_PROBES], fresh = { .key = pc, .rule = rule };
	const size_t epoch_at = 6; /* of the key's bytes */
	bool known;
	int slot;

	at += MT_PATH_SLOT(MT_PATH_PC_HASH(pc), t->head.generation) * sizeof(fresh);
	if (get(t->fd, at, near, sizeof(near)))
		return -EIO;
	slot = pc_slot(near, key, t->epoch, &known);
	if (slot < 0 || known)
		return slot < 0 ? slot : 0;
	at += slot * sizeof(fresh);
	/* one of an epoch that is over may be there */
	if ((near[slot].key && put(t->fd, at, &(uint64_t){ 0 }, sizeof(fresh.key))) ||
	    put(t->fd, at, &fresh, sizeof(fresh)) ||
	    put(t->fd, at + epoch_at, (char *)&key + epoch_at, 1))
		return -EIO;
	return put_count(t, FIELD(t, pc_cnt), &t->head.pc_cnt);
}

static int add_path(struct target *t, const __u64 *hash, uint32_t site)
{
	const size_t epoch_at = offsetof(struct mt_path_entry, epoch);
	struct mt_path_entry near[MT_PATH_PROBES];
	struct mt_path_entry fresh = { .hash = { hash[0], hash[1] }, .site = site };
	uint64_t at = entries_at(t, t->head.generation);
	bool known;
	int slot;

	at += MT_PATH_SLOT(hash[0], t->head.generation) * sizeof(fresh);
	if (get(t->fd, at, near, sizeof(near)))
		return -EIO;
	slot = entry_slot(near, hash, t->epoch, &known);
	if (slot < 0 || known)
		return slot < 0 ? slot : 0;
	at += slot * sizeof(fresh);
	if ((near[slot].epoch && put(t->fd, at + epoch_at, &fresh.epoch, sizeof(fresh.epoch))) ||
	    put(t->fd, at, &fresh, sizeof(fresh)) ||
	    put(t->fd, at + epoch_at, &t->epoch, sizeof(t->epoch)))
		return -EIO;
	return put_count(t, FIELD(t, path_cnt), &t->head.path_cnt);
}

/* ---- generations ----------------------------------------------------------------------------------- */

static bool is_crowded(const struct target *t)
{
	uint32_t cnt = t->head.pc_cnt > t->head.path_cnt ? t->head.pc_cnt : t->head.path_cnt;

	return cnt > MT_PATH_SLOTS(t->head.generation) / 2;
}

/* What finds no place in its probes is forgotten. */
static void move_all(struct target *t, const char *from, char *to)
{
	uint32_t old = t->head.generation, new = old + 1, slots = MT_PATH_SLOTS(old) + MT_PATH_PROBES;
	const struct mt_path_entry *entries = (const void *)(from + MT_PATH_ENTRIES_AT(old));
	const struct mt_path_pc *pcs = (const void *)from;
	struct mt_path_entry *entry, *new_entries = (void *)(to + MT_PATH_ENTRIES_AT(new));
	struct mt_path_pc *pc, *new_pcs = (void *)to;
	bool known;
	int slot;

	t->head.pc_cnt = t->head.path_cnt = 0;
	for (uint32_t i = 0; i < slots; i++) {
		if (pcs[i].key >> 48 != t->epoch)
			continue;
		pc = new_pcs + MT_PATH_SLOT(MT_PATH_PC_HASH(pcs[i].key << 16 >> 16), new);
		slot = pc_slot(pc, pcs[i].key, t->epoch, &known);
		if (slot < 0)
			continue;
		pc[slot] = pcs[i];
		pc[slot].next = 0;
		t->head.pc_cnt++;
	}
	for (uint32_t i = 0; i < slots; i++) {
		if (entries[i].epoch != t->epoch)
			continue;
		entry = new_entries + MT_PATH_SLOT(entries[i].hash[0], new);
		slot = entry_slot(entry, entries[i].hash, t->epoch, &known);
		if (slot < 0)
			continue;
		entry[slot] = entries[i];
		t->head.path_cnt++;
	}
}

/* -EAGAIN: the process has not mapped it yet. */
static int grow(struct target *t)
{
	uint32_t old = t->head.generation, new = old + 1;
	size_t old_size = MT_PATH_GENERATION_BYTES(old), new_size = MT_PATH_GENERATION_BYTES(new);
	char *from, *to;
	int err;

	if (new >= MT_PATH_GENERATIONS)
		return -ENOSPC;
	if (!t->head.tables[new])
		return put(t->fd, FIELD(t, wanted), &new, sizeof(new)) ?: -EAGAIN;
	from = malloc(old_size);
	to = calloc(1, new_size);
	err = from && to ? get(t->fd, pcs_at(t, old), from, old_size) : -ENOMEM;
	if (!err) {
		move_all(t, from, to);
		err = put(t->fd, pcs_at(t, new), to, new_size);
	}
	free(from);
	free(to);
	t->head.generation = new;
	err = err ?: put(t->fd, FIELD(t, pc_cnt), &t->head.pc_cnt, sizeof(t->head.pc_cnt));
	err = err ?: put(t->fd, FIELD(t, path_cnt), &t->head.path_cnt, sizeof(t->head.path_cnt));
	return err ?: put(t->fd, FIELD(t, generation), &t->head.generation,
			  sizeof(t->head.generation));
}

/* ---- paths ----------------------------------------------------------------------------------------- */

/* What was written there lately need not be looked for. */
static int add_pc_once(struct opened *o, struct target *t, uint64_t pc, uint32_t rule)
{
	uint64_t word = MT_PATH_KEY(pc, t->epoch) | (uint64_t)t->head.generation << 56;
	uint64_t *note = &o->noted[MT_PATH_PC_HASH(pc) >> (64 - NOTES_LOG2)];
	int err;

	if (*note == word)
		return 0;
	err = add_pc(t, pc, rule);
	if (!err)
		*note = word;
	return err;
}

static int add_all(struct opened *o, struct target *t, const struct mt_path *path)
{
	__u64 hash[2] = { 0, 0 };
	int err = 0;

	for (uint32_t n = 0; n < path->frame_cnt && n < MT_STACK_DEPTH_MAX && !err; n++) {
		mt_path_hash(hash, path->pcs[n]);
		err = add_pc_once(o, t, path->pcs[n], path->rules[n]);
	}
	mt_path_hash(hash, path->end);
	return err ?: add_path(t, hash, path->site);
}

/* A path that happens to find no room may be the one that is taken all the time. */
static int teach(struct opened *o, struct target *t, const struct mt_path *path)
{
	int err = is_crowded(t) ? -ENOSPC : add_all(o, t, path);

	while (err == -ENOSPC) {
		err = grow(t);
		if (err)
			return err;
		err = add_all(o, t, path);
	}
	return err;
}

/* ---- tickets ----------------------------------------------------------------------------------------- */

/* Counts an answer in the process's memory. */
static void answer(const struct target *t, uint32_t cnt)
{
	uint32_t answered = t->head.answered + cnt;

	put(t->fd, FIELD(t, answered), &answered, sizeof(answered));
}

void paths_settle(struct paths *paths, uint64_t now_ns)
{
	struct target t = { 0 };

	if (now_ns - paths->settled_ns < SETTLED_APART_NS)
		return;
	paths->settled_ns = now_ns;
	for (size_t i = 0; i < SPACES_OPEN; i++) {
		struct opened *o = &paths->opened[i];

		if (!o->acct_id || !o->refused)
			continue;
		t.fd = o->fd;
		t.pages = o->pages;
		if (!get(t.fd, t.pages, &t.head, offsetof(struct mt_batch, events)))
			answer(&t, o->refused);
		o->refused = 0;
	}
}

int paths_tell(void *ctx, void *data, size_t size)
{
	struct paths *paths = ctx;
	const struct mt_path *path = data;
	struct target t = { 0 };
	struct opened *o;
	int err = -EINVAL;

	if (size < sizeof(*path) || !is_alive(paths, path))
		return 0;
	o = open_memory(paths, path);
	if (!o)
		return 0;
	t.fd = o->fd;
	t.epoch = MT_TICKET_EPOCH(path->ticket);
	t.pages = MT_TICKET_BATCH(path->ticket);
	if (get(t.fd, t.pages, &t.head, offsetof(struct mt_batch, events)) ||
	    t.head.generation >= MT_PATH_GENERATIONS)
		return 0;
	if (t.head.epoch != t.epoch)
		err = 0; /* forgotten meanwhile */
	else if (path->end != MT_PATH_GOES_ON)
		err = teach(o, &t, path);
	o->pages = t.pages;
	if (err && err != -EAGAIN) /* which the next one will find done */
		o->refused++;
	else
		answer(&t, 1);
	paths->taught += !err;
	paths->refused += err != 0;
	return 0;
}

void paths_stop(int keeping_fd, uint32_t slot, pid_t pid)
{
	struct mt_keeping keeping;
	uint64_t nobody = 1;
	char name[32];
	int fd;

	if (bpf_map_lookup_elem(keeping_fd, &slot, &keeping) || !keeping.pages)
		return;
	snprintf(name, sizeof(name), "/proc/%d/mem", (int)pid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	put(fd, keeping.pages + offsetof(struct mt_batch, owner), &nobody, sizeof(nobody));
	close(fd);
}
