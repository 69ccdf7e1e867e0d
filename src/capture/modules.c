// SPDX-License-Identifier: MIT
#include "capture/modules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TABLE_BUCKETS 1024

struct module_table {
	struct module *buckets[TABLE_BUCKETS];
};

/* ---- identities ----------------------------------------------------------------------------------- */

static size_t id_bucket(const struct module_id *id)
{
	uint64_t hash = 14695981039346656037ULL;

	for (const char *c = id->path; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
	hash ^= id->ino * 0x9e3779b97f4a7c15ULL;
	return (hash ^ hash >> 32) % TABLE_BUCKETS;
}

static bool id_equal(const struct module_id *a, const struct module_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->generation == b->generation &&
	       a->deleted == b->deleted && a->build_id_len == b->build_id_len &&
	       !memcmp(a->build_id, b->build_id, a->build_id_len) && !strcmp(a->path, b->path);
}

bool module_has_file(const struct module_id *id)
{
	/* as the kernel names shared memory without a file, and anonymous memory in its records */
	static const char *const memory[] = { "//", "/dev/zero", "/anon_hugepage", "/SYSV" };

	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
		if (!strncmp(id->path, memory[i], strlen(memory[i])))
			return false;
	return id->path[0] == '/';
}

bool module_has_symbols(const struct module_id *id)
{
	return module_has_file(id) || !strcmp(id->path, "[vdso]");
}

struct module_table *module_table_new(void)
{
	return calloc(1, sizeof(struct module_table));
}

void module_table_free(struct module_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < TABLE_BUCKETS; i++)
		for (struct module *m = table->buckets[i]; m; m = m->next)
			m->table = NULL;
	free(table);
}

struct module *module_get(struct module_table *table, const struct module_id *id)
{
	size_t bucket = id_bucket(id);
	struct module *m;

	for (m = table->buckets[bucket]; m; m = m->next)
		if (id_equal(&m->id, id))
			return module_ref(m);
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->id = *id;
	if (m->id.build_id_len > MODULE_BUILD_ID_MAX)
		m->id.build_id_len = 0;
	m->id.path = strdup(id->path);
	if (!m->id.path) {
		free(m);
		return NULL;
	}
	m->refs = 1;
	m->table = table;
	m->next = table->buckets[bucket];
	table->buckets[bucket] = m;
	return m;
}

struct module *module_ref(struct module *module)
{
	module->refs++;
	return module;
}

void module_put(struct module *module)
{
	struct module **link;

	if (!module || --module->refs)
		return;
	if (module->table) {
		link = &module->table->buckets[id_bucket(&module->id)];
		while (*link != module)
			link = &(*link)->next;
		*link = module->next;
	}
	free((char *)module->id.path);
	free(module);
}

/* ---- the map --------------------------------------------------------------------------------------- */

void modules_fini(struct modules *modules)
{
	for (size_t i = 0; i < modules->cnt; i++)
		module_put(modules->ranges[i].module);
	for (size_t i = 0; i < modules->past_cnt; i++)
		module_put(modules->past[i].module);
	free(modules->ranges);
	free(modules->past);
	*modules = (struct modules){ 0 };
}

/* Index of the first range that ends after address. */
static size_t first_after(const struct modules *modules, uint64_t address)
{
	size_t low = 0, high = modules->cnt;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (modules->ranges[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int grow(struct module_range **ranges, size_t *cap, size_t cnt)
{
	size_t want = *cap ? *cap : 8;
	struct module_range *grown;

	if (cnt <= *cap)
		return 0;
	while (want < cnt)
		want *= 2;
	grown = reallocarray(*ranges, want, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*ranges = grown;
	*cap = want;
	return 0;
}

/* Room for so many more ranges, each of which may be in the way of one. */
static int reserve(struct modules *modules, size_t more)
{
	return grow(&modules->ranges, &modules->cap, modules->cnt + more) ?:
	       grow(&modules->past, &modules->past_cap, modules->past_cnt + more);
}

static void insert_at(struct modules *modules, size_t at, struct module_range range)
{
	memmove(modules->ranges + at + 1, modules->ranges + at,
		(modules->cnt - at) * sizeof(*modules->ranges));
	modules->ranges[at] = range;
	module_ref(range.module);
	modules->cnt++;
}

static void remove_at(struct modules *modules, size_t at)
{
	module_put(modules->ranges[at].module);
	modules->cnt--;
	memmove(modules->ranges + at, modules->ranges + at + 1,
		(modules->cnt - at) * sizeof(*modules->ranges));
}

/* The part of range from start to end. */
static struct module_range part(const struct module_range *range, uint64_t start, uint64_t end)
{
	struct module_range p = *range;

	p.file_offset = module_file_offset(range, start);
	p.start = start;
	p.end = end;
	return p;
}

/* Keeps what newer has taken the place of, unless it is the same again: a file that is mapped twice, or
 * memory for code that is made at run time. Room is there. */
static void keep_past(struct modules *modules, struct module_range old, const struct module_range *newer)
{
	if (old.module == newer->module &&
	    (old.module->id.path[0] != '/' ||
	     module_file_offset(&old, old.start) == module_file_offset(newer, old.start)))
		return;
	module_ref(old.module);
	modules->past[modules->past_cnt++] = old;
}

/* Takes newer's addresses from the range at index at, which overlaps it. Room for one more is there. */
static void cut(struct modules *modules, size_t at, const struct module_range *newer)
{
	struct module_range was = modules->ranges[at];
	uint64_t start = newer->start, end = newer->end;

	keep_past(modules,
		  part(&was, was.start > start ? was.start : start, was.end < end ? was.end : end),
		  newer);
	if (was.end > end)
		insert_at(modules, at + 1, part(&was, end, was.end));
	if (was.start < start)
		modules->ranges[at] = part(&was, was.start, start);
	else
		remove_at(modules, at);
}

/* Puts range in where nothing newer is; reserved has been done for the worst case. */
static void put(struct modules *modules, struct module_range range)
{
	while (range.start < range.end) {
		size_t at = first_after(modules, range.start);
		struct module_range *next = modules->ranges + at;
		bool overlaps = at < modules->cnt && next->start < range.end;
		struct module_range newer;

		if (!overlaps) {
			insert_at(modules, at, range);
			return;
		}
		if (next->mapped_at_ns <= range.mapped_at_ns) {
			cut(modules, at, &range);
			continue;
		}
		/* the newer one stays: the part before it goes in, the part after it goes on */
		newer = *next;
		if (newer.start > range.start)
			insert_at(modules, at, part(&range, range.start, newer.start));
		keep_past(modules,
			  part(&range, newer.start > range.start ? newer.start : range.start,
			       newer.end < range.end ? newer.end : range.end),
			  &newer);
		if (newer.end >= range.end)
			return;
		range = part(&range, newer.end, range.end);
	}
}

int modules_add(struct modules *modules, const struct module_range *range)
{
	size_t overlaps;
	int err;

	if (range->start >= range->end)
		return -EINVAL;
	/* each newer range in the way splits the new one once; a cut splits one old one */
	overlaps = first_after(modules, range->end) - first_after(modules, range->start);
	err = reserve(modules, overlaps + 2);
	if (!err)
		put(modules, *range);
	return err;
}

int modules_copy(struct modules *to, const struct modules *from)
{
	int err = reserve(to, from->cnt > from->past_cnt ? from->cnt : from->past_cnt);

	if (err)
		return err;
	for (size_t i = 0; i < from->past_cnt; i++) {
		to->past[i] = from->past[i];
		module_ref(to->past[i].module);
	}
	to->past_cnt = from->past_cnt;
	for (size_t i = 0; i < from->cnt; i++) {
		to->ranges[i] = from->ranges[i];
		module_ref(to->ranges[i].module);
	}
	to->cnt = from->cnt;
	return 0;
}

const struct module_range *modules_find(const struct modules *modules, uint64_t pc)
{
	size_t at = first_after(modules, pc);

	if (at == modules->cnt || modules->ranges[at].start > pc)
		return NULL;
	return modules->ranges + at;
}

const struct module_range *modules_find_at(const struct modules *modules, uint64_t pc,
					   uint64_t time_ns)
{
	const struct module_range *now = modules_find(modules, pc), *found = NULL;

	if (!now || now->mapped_at_ns <= time_ns)
		return now;
	for (size_t i = 0; i < modules->past_cnt; i++) {
		const struct module_range *r = &modules->past[i];

		if (r->start <= pc && pc < r->end && r->mapped_at_ns <= time_ns &&
		    (!found || r->mapped_at_ns >= found->mapped_at_ns))
			found = r;
	}
	return found ? found : now;
}

/* ---- /proc/PID/maps -------------------------------------------------------------------------------- */

/* Newlines in paths are written \012; nothing else is escaped. */
static void unescape(char *path)
{
	char *out = path;

	for (const char *in = path; *in; in++) {
		if (!strncmp(in, "\\012", 4)) {
			*out++ = '\n';
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = 0;
}

static bool strip_suffix(char *text, const char *suffix)
{
	size_t len = strlen(text), suffix_len = strlen(suffix);

	if (len <= suffix_len || strcmp(text + len - suffix_len, suffix))
		return false;
	text[len - suffix_len] = 0;
	return true;
}

/* "7f0000026000-7f000017b000 r-xp 00026000 fe:01 1234   /usr/lib/libc.so.6 (deleted)" */
static bool parse_line(char *line, struct module_range *range, struct module_id *id)
{
	unsigned long long start, end, offset, ino;
	unsigned int dev_major, dev_minor;
	int path_at = 0;
	char perms[5];

	*id = (struct module_id){ 0 };
	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, perms, &offset, &dev_major,
		   &dev_minor, &ino, &path_at) < 7 || !path_at || perms[2] != 'x' || start >= end)
		return false;
	*range = (struct module_range){ .start = start, .end = end, .file_offset = offset };
	id->path = line + path_at;
	id->deleted = line[path_at] == '/' && strip_suffix(line + path_at, " (deleted)");
	unescape(line + path_at);
	if (!*id->path)
		id->path = "[anon]";
	id->dev = makedev(dev_major, dev_minor);
	id->ino = ino;
	return true;
}

static int add_line(struct modules *modules, struct module_table *table, char *line,
		    uint64_t mapped_at_ns)
{
	struct module_range range;
	struct module_id id;
	int err;

	if (!parse_line(line, &range, &id))
		return 0;
	range.mapped_at_ns = mapped_at_ns;
	range.module = module_get(table, &id);
	if (!range.module)
		return -ENOMEM;
	err = modules_add(modules, &range);
	module_put(range.module);
	return err ? err : 1;
}

int modules_parse_maps(struct modules *modules, struct module_table *table, const char *text,
		       uint64_t mapped_at_ns)
{
	int added = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);
		int got;

		if (!line)
			return -ENOMEM;
		got = add_line(modules, table, line, mapped_at_ns);
		free(line);
		if (got < 0)
			return got;
		added += got;
		text += len;
		text += *text == '\n';
	}
	return added;
}
