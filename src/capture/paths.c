// SPDX-License-Identifier: MIT
#include "capture/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "memtrace/abi.h"
#include "memtrace/batch.h"

#define SPACES_OPEN 16 /* at a time */

/* A process's memory. */
struct opened {
	uint64_t acct_id; /* 0: none */
	int fd;
};

struct paths {
	const struct mt_acct *accts;
	uint32_t acct_cnt;
	struct opened opened[SPACES_OPEN];
	uint32_t next; /* to be closed for another one */
	uint64_t node_cnt;
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

uint64_t paths_node_count(const struct paths *paths)
{
	return paths->node_cnt;
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
static int open_memory(struct paths *paths, const struct mt_path *path)
{
	struct opened *o;
	char name[32];
	int fd;

	for (size_t i = 0; i < SPACES_OPEN; i++)
		if (paths->opened[i].acct_id == path->acct_id)
			return paths->opened[i].fd;
	snprintf(name, sizeof(name), "/proc/%u/mem", path->tgid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_alive(paths, path)) {
		close(fd);
		return -ESRCH;
	}
	o = &paths->opened[paths->next++ % SPACES_OPEN];
	close_memory(o);
	*o = (struct opened){ .acct_id = path->acct_id, .fd = fd };
	return fd;
}

static int get(int fd, uint64_t at, void *out, size_t size)
{
	return pread(fd, out, size, (off_t)at) == (ssize_t)size ? 0 : -EIO;
}

static int put(int fd, uint64_t at, const void *in, size_t size)
{
	return pwrite(fd, in, size, (off_t)at) == (ssize_t)size ? 0 : -EIO;
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

/* The tree of one process. */
struct tree {
	int fd;
	uint64_t nodes; /* their address there */
	uint32_t epoch;
};

static uint64_t address_of(const struct tree *tree, uint32_t slot)
{
	return tree->nodes + slot * sizeof(struct mt_path_node);
}

/* The slot of the node, and the node; a fresh one is made where there is none. -ENOSPC, -EIO. */
static int reach(struct paths *paths, const struct tree *tree, uint32_t parent, uint64_t pc,
		 uint32_t rule, struct mt_path_node *out)
{
	const size_t without_epoch = offsetof(struct mt_path_node, epoch);
	struct mt_path_node near[MT_PATH_PROBES];
	uint32_t slot = mt_path_hash(parent, pc);
	int room = -ENOSPC;

	if (get(tree->fd, address_of(tree, slot), near, sizeof(near)))
		return -EIO;
	for (int i = MT_PATH_PROBES - 1; i >= 0; i--) {
		if (near[i].epoch != tree->epoch) {
			room = i;
			continue;
		}
		if (near[i].pc == pc && near[i].parent == parent) {
			*out = near[i];
			return slot + i;
		}
	}
	if (room < 0)
		return room;
	slot += room;
	*out = (struct mt_path_node){ .pc = pc, .parent = parent, .rule = rule };
	if (near[room].epoch &&
	    put(tree->fd, address_of(tree, slot) + without_epoch, &out->epoch, sizeof(out->epoch)))
		return -EIO;
	out->epoch = tree->epoch;
	if (put(tree->fd, address_of(tree, slot), out, without_epoch) ||
	    put(tree->fd, address_of(tree, slot) + without_epoch, &out->epoch, sizeof(out->epoch)))
		return -EIO;
	paths->node_cnt++;
	return slot;
}

/* A node that two paths end at by different ends keeps the first. */
static int finish(const struct tree *tree, uint32_t slot, const struct mt_path_node *node,
		  const struct mt_path *path)
{
	uint64_t at = address_of(tree, slot);

	if (node->end)
		return 0;
	if (put(tree->fd, at + offsetof(struct mt_path_node, site), &path->site, sizeof(path->site)))
		return -EIO;
	return put(tree->fd, at + offsetof(struct mt_path_node, end), &path->end, sizeof(path->end));
}

static int plant(struct paths *paths, const struct tree *tree, const struct mt_path *path)
{
	struct mt_path_node node;
	uint32_t parent = 0;
	int slot = -EINVAL;

	for (uint32_t n = 0; n < path->frame_cnt && n < MT_STACK_DEPTH_MAX; n++) {
		slot = reach(paths, tree, parent, path->pcs[n], path->rules[n], &node);
		if (slot < 0)
			return slot;
		parent = slot + 1;
	}
	return slot < 0 ? slot : finish(tree, slot, &node, path);
}

/* ---- tickets ----------------------------------------------------------------------------------------- */

int paths_tell(void *ctx, void *data, size_t size)
{
	uint64_t pages;
	struct paths *paths = ctx;
	const struct mt_path *path = data;
	struct mt_batch head;
	struct tree tree;

	if (size < sizeof(*path) || !is_alive(paths, path))
		return 0;
	tree.fd = open_memory(paths, path);
	tree.epoch = MT_TICKET_EPOCH(path->ticket);
	pages = MT_TICKET_BATCH(path->ticket);
	if (tree.fd < 0 || get(tree.fd, pages, &head, offsetof(struct mt_batch, events)))
		return 0;
	tree.nodes = head.nodes;
	if (path->end != MT_PATH_GOES_ON && head.epoch == tree.epoch)
		plant(paths, &tree, path);
	head.answered++;
	put(tree.fd, pages + offsetof(struct mt_batch, answered), &head.answered,
	    sizeof(head.answered));
	return 0;
}
