// SPDX-License-Identifier: MIT
#include "capture/spaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "capture/jit.h"
#include "capture/modules.h"
#include "capture/records.h"

#define BUCKETS 1024
#define KEEP_DEAD_NS 10000000000ULL /* the account of a dead group asks within moments */
#define SWEEP_EVERY 256		    /* exits */

struct space {
	unsigned int refs;
	uint64_t begin_ns;
	struct modules modules;
	struct jit *jit;
};

/* A thread group; its spaces oldest first. */
struct group {
	uint32_t tgid;
	uint64_t dead_ns; /* 0 while it lives */
	struct space **spaces;
	size_t cnt;
	struct group *next;
};

struct spaces {
	struct module_table *table;
	struct group *buckets[BUCKETS];
	bool everyone;
	unsigned int exits;
};

struct spaces *spaces_new(void)
{
	struct spaces *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->table = module_table_new();
	if (!s->table) {
		free(s);
		return NULL;
	}
	return s;
}

static void group_free(struct group *g)
{
	for (size_t i = 0; i < g->cnt; i++)
		space_put(g->spaces[i]);
	free(g->spaces);
	free(g);
}

void spaces_free(struct spaces *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (s->buckets[i]) {
			struct group *g = s->buckets[i];

			s->buckets[i] = g->next;
			group_free(g);
		}
	}
	module_table_free(s->table);
	free(s);
}

void spaces_track_all(struct spaces *s)
{
	s->everyone = true;
}

static struct group **group_link(struct spaces *s, uint32_t tgid)
{
	struct group **link = &s->buckets[tgid % BUCKETS];

	while (*link && (*link)->tgid != tgid)
		link = &(*link)->next;
	return link;
}

static struct group *group_get(struct spaces *s, uint32_t tgid)
{
	struct group **link = group_link(s, tgid);

	if (!*link) {
		*link = calloc(1, sizeof(**link));
		if (*link)
			(*link)->tgid = tgid;
	}
	return *link;
}

/* Starts an empty space, or a copy. NULL when memory ran out. */
static struct space *group_begin(struct group *g, uint64_t begin_ns, const struct space *from)
{
	struct space **grown = realloc(g->spaces, (g->cnt + 1) * sizeof(*grown)), *space;

	if (!grown)
		return NULL;
	g->spaces = grown;
	space = calloc(1, sizeof(*space));
	if (!space)
		return NULL;
	space->refs = 1;
	space->begin_ns = begin_ns;
	space->jit = jit_new(g->tgid, begin_ns, from ? from->jit : NULL);
	if (!space->jit || (from && modules_copy(&space->modules, &from->modules))) {
		space_put(space);
		return NULL;
	}
	g->dead_ns = 0;
	grown[g->cnt++] = space;
	return space;
}

static struct space *group_current(struct group *g, uint64_t now_ns)
{
	return g->cnt ? g->spaces[g->cnt - 1] : group_begin(g, now_ns, NULL);
}

int spaces_track(struct spaces *s, uint32_t tgid)
{
	return group_get(s, tgid) ? 0 : -ENOMEM;
}

/* A whole file of /proc as one string; NULL when it cannot be read. */
static char *read_all(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, cap = 1 << 16;
	char *text = fd >= 0 ? malloc(cap) : NULL, *grown;
	ssize_t got = 0;

	while (text && (got = read(fd, text + len, cap - len - 1)) > 0) {
		len += got;
		if (cap - len > 4096)
			continue;
		grown = realloc(text, cap *= 2);
		if (!grown)
			break;
		text = grown;
	}
	if (fd >= 0)
		close(fd);
	if (text && got < 0) {
		free(text);
		return NULL;
	}
	if (text)
		text[len] = 0;
	return text;
}

/* [vdso] and its like are the kernel's. A memfd may hold what a compiler made. */
static bool is_generated(const struct module_id *id)
{
	return !strncmp(id->path, "/memfd:", strlen("/memfd:")) ||
	       (!module_has_file(id) && strncmp(id->path, "[v", 2));
}

static void see_generated_code(struct space *space)
{
	for (size_t i = 0; i < space->modules.cnt; i++)
		if (is_generated(&space->modules.ranges[i].module->id))
			jit_made_code(space->jit);
}

int spaces_load(struct spaces *s, uint32_t tgid, uint64_t now_ns)
{
	struct group *g = group_get(s, tgid);
	struct space *space = g ? group_current(g, now_ns) : NULL;
	char path[64], *text;
	int err;

	if (!space)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%u/maps", tgid);
	text = read_all(path);
	if (!text)
		return -ESRCH;
	err = modules_parse_maps(&space->modules, s->table, text, now_ns);
	free(text);
	jit_was_there(space->jit);
	see_generated_code(space);
	jit_look(space->jit);
	return err < 0 ? err : 0;
}

/* Anonymous memory has another name in the kernel's records than in /proc, deleted files have the same
 * mark in both. */
static void name_module(struct module_id *id, char *path, size_t size, const char *recorded)
{
	static const char deleted[] = " (deleted)";
	size_t len;

	snprintf(path, size, "%s", strcmp(recorded, "//anon") ? recorded : "[anon]");
	len = strlen(path);
	id->deleted = path[0] == '/' && len > strlen(deleted) &&
		      !strcmp(path + len - strlen(deleted), deleted);
	if (id->deleted)
		path[len - strlen(deleted)] = 0;
	id->path = path;
}

static void see_map(struct spaces *s, struct group *g, const struct record *r)
{
	struct module_id id = { .build_id_len = r->build_id_len };
	struct module_range range = {
		.start = r->start,
		.end = r->end,
		.file_offset = r->pgoff,
		.mapped_at_ns = r->time_ns,
	};
	struct space *space = group_current(g, r->time_ns);
	char path[PATH_MAX + 32];

	name_module(&id, path, sizeof(path), r->path);
	memcpy(id.build_id, r->build_id, r->build_id_len);
	if (r->ino) {
		id.ino = r->ino;
		id.generation = r->generation;
		id.dev = makedev(r->dev_major, r->dev_minor);
	}
	range.module = module_get(s->table, &id);
	if (space && range.module)
		modules_add(&space->modules, &range);
	if (space && is_generated(&id)) {
		jit_made_code(space->jit);
		if (!g->dead_ns)
			jit_look(space->jit);
	}
	module_put(range.module);
}

static void sweep(struct spaces *s, uint64_t now_ns)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct group **link = &s->buckets[i];

		while (*link) {
			struct group *g = *link;

			if (!g->dead_ns || g->dead_ns + KEEP_DEAD_NS > now_ns) {
				link = &g->next;
				continue;
			}
			*link = g->next;
			group_free(g);
		}
	}
}

static void see_fork(struct spaces *s, const struct record *r)
{
	struct group *parent = *group_link(s, r->ppid), *g;

	if (!parent && !s->everyone)
		return;
	g = group_get(s, r->tgid);
	if (g)
		group_begin(g, r->time_ns,
			    parent && parent->cnt ? parent->spaces[parent->cnt - 1] : NULL);
}

void spaces_see(struct spaces *s, const struct record *r)
{
	struct group *g;

	if (r->kind == RECORD_FORK) {
		see_fork(s, r);
		return;
	}
	g = s->everyone && r->kind != RECORD_EXIT ? group_get(s, r->tgid) : *group_link(s, r->tgid);
	if (!g)
		return;
	switch (r->kind) {
	case RECORD_MAP:
		see_map(s, g, r);
		break;
	case RECORD_EXEC:
		group_begin(g, r->time_ns, NULL);
		break;
	case RECORD_EXIT:
		g->dead_ns = r->time_ns;
		if (++s->exits % SWEEP_EVERY == 0)
			sweep(s, r->time_ns);
		break;
	case RECORD_FORK:
		break;
	}
}

struct space *spaces_get(struct spaces *s, uint32_t tgid, uint64_t time_ns)
{
	struct group *g = *group_link(s, tgid);
	struct space *found = NULL;

	for (size_t i = 0; g && i < g->cnt; i++)
		if (!found || g->spaces[i]->begin_ns <= time_ns)
			found = g->spaces[i];
	if (found)
		found->refs++;
	return found;
}

void space_put(struct space *space)
{
	if (!space || --space->refs)
		return;
	modules_fini(&space->modules);
	jit_put(space->jit);
	free(space);
}

const struct modules *space_modules(const struct space *space)
{
	return &space->modules;
}

void spaces_look(struct spaces *s, uint32_t tgid)
{
	struct group *g = *group_link(s, tgid);

	if (g && g->cnt && !g->dead_ns)
		jit_look(g->spaces[g->cnt - 1]->jit);
}

int space_read_names(struct space *space, const uint64_t *pcs, size_t cnt, bool ended)
{
	uint64_t *addresses;
	int err = 0;

	if (jit_has_code(space->jit)) {
		addresses = calloc(cnt + 1, sizeof(*addresses));
		for (size_t i = 0; addresses && i < cnt; i++)
			addresses[i] = pcs[i] - 1; /* inside the call, not after it */
		err = addresses ? jit_read(space->jit, addresses, cnt) : -ENOMEM;
		free(addresses);
	}
	if (ended)
		jit_settle(space->jit);
	return err;
}

const char *space_name(const struct space *space, uint64_t address)
{
	return jit_name(space->jit, address);
}
