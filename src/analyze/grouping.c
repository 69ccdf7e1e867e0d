/* SPDX-License-Identifier: MIT */
#include "analyze/grouping.h"

#include <errno.h>
#include <string.h>

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

static uint64_t mix_string(uint64_t hash, const char *string)
{
	while (string && *string)
		hash = (hash ^ (unsigned char)*string++) * 0x100000001b3;
	return mix(hash, 0);
}

static uint64_t path_hash(const struct memtrace_site *site)
{
	uint64_t hash = mix(site->process, site->frame_cnt);

	for (uint32_t i = 0; i < site->frame_cnt; i++) {
		hash = mix_string(hash, site->frames[i].module);
		hash = mix(hash, site->frames[i].offset);
	}
	return hash;
}

static bool same_string(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_path(const struct memtrace_site *a, const struct memtrace_site *b)
{
	if (a->process != b->process || a->frame_cnt != b->frame_cnt ||
	    a->stack_end != b->stack_end)
		return false;
	for (uint32_t i = 0; i < a->frame_cnt; i++)
		if (a->frames[i].offset != b->frames[i].offset ||
		    !same_string(a->frames[i].module, b->frames[i].module))
			return false;
	return true;
}

static void group_add(struct group *group, struct group_member *member,
		      const struct grouping_rule *rule)
{
	struct group_member **at = &group->biggest;

	while (*at && rule->bigger((*at)->site, member->site))
		at = &(*at)->next;
	member->next = *at;
	*at = member;
	group->site_cnt++;
}

static struct group *grouping_find(struct grouping *grouping, const struct memtrace_site *site)
{
	uint64_t hash = path_hash(site);
	size_t slot = hash & grouping->slot_mask;
	struct group *group;

	for (; grouping->slots[slot]; slot = (slot + 1) & grouping->slot_mask) {
		group = &grouping->groups[grouping->slots[slot] - 1];
		if (group->hash == hash && same_path(group->biggest->site, site))
			return group;
	}
	group = &grouping->groups[grouping->group_cnt++];
	group->hash = hash;
	grouping->slots[slot] = (uint32_t)grouping->group_cnt;
	return group;
}

int grouping_make(const struct memtrace_snapshot *snapshot, const struct grouping_rule *rule,
		  struct arena *arena, struct grouping *grouping)
{
	struct grouping made = { 0 };
	struct group_member *members;
	size_t cnt = 0, slot_cnt = 16;

	for (size_t i = 0; i < snapshot->site_cnt; i++)
		cnt += rule->takes(&snapshot->sites[i]);
	if (cnt >= UINT32_MAX / 2)
		return -ENOMEM;
	while (slot_cnt < cnt * 2)
		slot_cnt *= 2;
	members = arena_array(arena, cnt, sizeof(*members));
	made.groups = arena_array(arena, cnt, sizeof(*made.groups));
	made.slots = arena_array(arena, slot_cnt, sizeof(*made.slots));
	made.slot_mask = slot_cnt - 1;
	if (!members || !made.groups || !made.slots)
		return -ENOMEM;

	for (size_t i = 0; i < snapshot->site_cnt; i++) {
		const struct memtrace_site *site = &snapshot->sites[i];

		if (!rule->takes(site))
			continue;
		members->site = site;
		group_add(grouping_find(&made, site), members++, rule);
	}
	*grouping = made;
	return 0;
}

uint64_t *group_list_sites(const struct group *group, struct arena *arena)
{
	uint64_t *sites = arena_array(arena, group->site_cnt, sizeof(*sites));
	size_t i = 0;

	for (const struct group_member *m = group->biggest; sites && m; m = m->next)
		sites[i++] = m->site->id;
	return sites;
}
