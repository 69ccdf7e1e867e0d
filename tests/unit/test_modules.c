// SPDX-License-Identifier: MIT
/* Maps of an address space: mappings in, what is where out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "capture/modules.h"

static struct module_table *table;
static struct modules map;

static void setup(void)
{
	table = module_table_new();
	cr_assert(table);
	map = (struct modules){ 0 };
}

static void teardown(void)
{
	modules_fini(&map);
	module_table_free(table);
}

TestSuite(modules, .init = setup, .fini = teardown);

/* A mapping of pages [from, to) of 0x1000 bytes, beginning at file page. */
static void map_at(const char *path, uint64_t from, uint64_t to, uint64_t file_page, uint64_t when)
{
	struct module_id id = { .path = path, .ino = path[0], .dev = 1 };
	struct module_range range = {
		.start = from << 12,
		.end = to << 12,
		.file_offset = file_page << 12,
		.mapped_at_ns = when,
		.module = module_get(table, &id),
	};

	cr_assert(range.module);
	cr_assert_eq(modules_add(&map, &range), 0);
	module_put(range.module);
}

/* The map as text: "a:1-3@0" is file a at pages 1 and 2 from its page 0 on. */
static void expect_map(const char *expected)
{
	char text[512] = "";

	for (size_t i = 0; i < map.cnt; i++) {
		const struct module_range *r = &map.ranges[i];

		sprintf(text + strlen(text), "%s%s:%d-%d@%d", i ? " " : "", r->module->id.path,
			(int)(r->start >> 12), (int)(r->end >> 12), (int)(r->file_offset >> 12));
	}
	cr_expect_str_eq(text, expected);
}

Test(modules, an_address_is_found_with_its_file_offset)
{
	const struct module_range *r;

	map_at("a", 16, 20, 3, 1);
	map_at("b", 30, 31, 0, 1);
	r = modules_find(&map, 0x11008);
	cr_assert(r);
	cr_expect_str_eq(r->module->id.path, "a");
	cr_expect_eq(module_file_offset(r, 0x11008), 0x4008);
	cr_expect_eq(modules_find(&map, 0x10000), r);
	cr_expect_eq(modules_find(&map, 0x13fff), r);
	cr_expect_null(modules_find(&map, 0xffff));
	cr_expect_null(modules_find(&map, 0x14000));
	cr_expect_null(modules_find(&map, 0x20000));
	cr_expect_null(modules_find(&map, UINT64_MAX));
	cr_expect_null(modules_find(&(struct modules){ 0 }, 0));
}

Test(modules, an_empty_range_is_refused)
{
	struct module_range range = { .start = 5, .end = 5 };

	cr_expect_eq(modules_add(&map, &range), -EINVAL);
	range.end = 4;
	cr_expect_eq(modules_add(&map, &range), -EINVAL);
}

Test(modules, mappings_are_sorted_whatever_their_order)
{
	map_at("c", 7, 8, 0, 3);
	map_at("a", 1, 2, 0, 1);
	map_at("b", 4, 5, 0, 2);
	expect_map("a:1-2@0 b:4-5@0 c:7-8@0");
}

Test(modules, a_later_mapping_splits_the_one_below)
{
	map_at("a", 1, 9, 0, 1);
	map_at("b", 3, 5, 0, 2);
	expect_map("a:1-3@0 b:3-5@0 a:5-9@4");
}

Test(modules, a_later_mapping_cuts_ends_and_swallows_what_is_within)
{
	map_at("a", 1, 4, 0, 1);
	map_at("b", 4, 5, 0, 1);
	map_at("c", 5, 9, 0, 1);
	map_at("d", 3, 7, 0, 2);
	expect_map("a:1-3@0 d:3-7@0 c:7-9@2");
}

Test(modules, the_same_range_again_is_replaced)
{
	map_at("a", 1, 4, 0, 1);
	map_at("b", 1, 4, 2, 2);
	expect_map("b:1-4@2");
}

Test(modules, neighbours_are_not_touched)
{
	map_at("a", 1, 4, 0, 1);
	map_at("c", 6, 9, 0, 1);
	map_at("b", 4, 6, 0, 2);
	expect_map("a:1-4@0 b:4-6@0 c:6-9@0");
}

Test(modules, an_earlier_mapping_that_is_told_late_goes_below)
{
	map_at("b", 3, 5, 0, 2);
	map_at("a", 1, 9, 0, 1);
	expect_map("a:1-3@0 b:3-5@0 a:5-9@4");
	map_at("z", 3, 4, 0, 0);
	expect_map("a:1-3@0 b:3-5@0 a:5-9@4");
}

Test(modules, an_earlier_mapping_goes_around_all_that_are_later)
{
	map_at("b", 2, 3, 0, 5);
	map_at("c", 4, 5, 0, 5);
	map_at("d", 8, 12, 0, 5);
	map_at("a", 1, 10, 0, 1);
	expect_map("a:1-2@0 b:2-3@0 a:3-4@2 c:4-5@0 a:5-8@4 d:8-12@0");
}

/* A byte for each page: who is there, and which page of its file. */
struct page {
	char who;
	int file_page, when;
};

Test(modules, any_sequence_ends_as_page_by_page_would)
{
	struct page truth[64];
	uint32_t random = 42;

	for (int round = 0; round < 300; round++) {
		memset(truth, 0, sizeof(truth));
		modules_fini(&map);
		for (int step = 0; step < 25; step++) {
			int from = (random = random * 1664525 + 1013904223) >> 26;
			int len = 1 + ((random = random * 1664525 + 1013904223) >> 28);
			int when = (random = random * 1664525 + 1013904223) >> 30;
			int to = from + len > 64 ? 64 : from + len;
			char path[2] = { 'a' + step, 0 };

			if (from == to)
				continue;
			map_at(path, from, to, 100, when);
			for (int p = from; p < to; p++)
				if (!truth[p].who || truth[p].when <= when)
					truth[p] = (struct page){ path[0], 100 + p - from, when };
		}
		for (int p = 0; p < 64; p++) {
			const struct module_range *r = modules_find(&map, (uint64_t)p << 12);

			cr_assert_eq(r ? r->module->id.path[0] : 0, truth[p].who, "round %d page %d",
				     round, p);
			if (r)
				cr_assert_eq((int)(module_file_offset(r, (uint64_t)p << 12) >> 12),
					     truth[p].file_page);
		}
		for (size_t i = 1; i < map.cnt; i++)
			cr_assert_leq(map.ranges[i - 1].end, map.ranges[i].start);
	}
}

Test(modules, a_fork_has_the_map_and_then_goes_its_own_way)
{
	struct modules child = { 0 };

	map_at("a", 1, 4, 0, 1);
	map_at("b", 6, 8, 0, 1);
	cr_assert_eq(modules_copy(&child, &map), 0);
	map_at("c", 1, 8, 0, 2);
	expect_map("c:1-8@0");
	modules_fini(&map);
	cr_assert_eq(child.cnt, 2);
	cr_expect_str_eq(child.ranges[0].module->id.path, "a");
	cr_expect_str_eq(child.ranges[1].module->id.path, "b");
	modules_fini(&child);
}

Test(modules, one_file_is_one_module_until_the_last_user_lets_go)
{
	struct module_id id = { .path = "/lib/a.so", .dev = 1, .ino = 2 };
	struct module *first = module_get(table, &id), *second = module_get(table, &id);

	cr_expect_eq(first, second);
	cr_expect_eq(first->refs, 2);
	module_put(second);
	cr_expect_eq(first->refs, 1);
	cr_expect_str_eq(first->id.path, "/lib/a.so");
	module_put(first);
	module_put(NULL);
}

Test(modules, files_that_differ_in_anything_are_two_modules)
{
	const struct module_id ids[] = {
		{ .path = "/lib/a.so", .dev = 1, .ino = 2 },
		{ .path = "/lib/b.so", .dev = 1, .ino = 2 },
		{ .path = "/lib/a.so", .dev = 2, .ino = 2 },
		{ .path = "/lib/a.so", .dev = 1, .ino = 3 },
		{ .path = "/lib/a.so", .dev = 1, .ino = 2, .deleted = true },
		{ .path = "/lib/a.so", .build_id = { 1, 2 }, .build_id_len = 2 },
		{ .path = "/lib/a.so", .build_id = { 1, 3 }, .build_id_len = 2 },
	};
	struct module *modules[7];

	for (int i = 0; i < 7; i++) {
		modules[i] = module_get(table, &ids[i]);
		for (int j = 0; j < i; j++)
			cr_expect_neq(modules[i], modules[j], "%d is %d", i, j);
	}
	for (int i = 0; i < 7; i++)
		module_put(modules[i]);
}

Test(modules, a_module_outlives_its_table)
{
	struct module_table *own = module_table_new();
	struct module_id id = { .path = "/lib/a.so" };
	struct module *m = module_get(own, &id);

	module_table_free(own);
	cr_expect_str_eq(m->id.path, "/lib/a.so");
	module_put(m);
}

Test(modules, the_kernels_text_is_read)
{
	static const char text[] =
		"00400000-00401000 r--p 00000000 fe:01 11                     /usr/bin/app\n"
		"00401000-00452000 r-xp 00001000 fe:01 11                     /usr/bin/app\n"
		"01dd7000-01df8000 rw-p 00000000 00:00 0                      [heap]\n"
		"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n"
		"7f0000026000-7f000017b000 r-xp 00026000 fe:01 1234           /lib/my lib (deleted)\n"
		"7f0000200000-7f0000201000 r-xp 00000000 fe:01 99             /tmp/new\\012line\n"
		"7ffd0d5d9000-7ffd0d5db000 r-xp 00000000 00:00 0              [vdso]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0      [vsyscall]\n";
	const struct module_range *r;

	cr_assert_eq(modules_parse_maps(&map, table, text, 77), 6);
	r = modules_find(&map, 0x401234);
	cr_assert(r);
	cr_expect_str_eq(r->module->id.path, "/usr/bin/app");
	cr_expect_eq(r->module->id.ino, 11);
	cr_expect_eq(r->module->id.dev, makedev(0xfe, 1));
	cr_expect_eq(module_file_offset(r, 0x401234), 0x1234);
	cr_expect_eq(r->mapped_at_ns, 77);
	cr_expect_not(r->module->id.deleted);
	cr_expect_null(modules_find(&map, 0x400000), "not executable");
	cr_expect_null(modules_find(&map, 0x1dd7000));

	r = modules_find(&map, 0x7f0000026000);
	cr_assert(r);
	cr_expect_str_eq(r->module->id.path, "/lib/my lib");
	cr_expect(r->module->id.deleted);
	cr_expect_str_eq(modules_find(&map, 0x7f0000000000)->module->id.path, "[anon]");
	cr_expect_str_eq(modules_find(&map, 0x7f0000200000)->module->id.path, "/tmp/new\nline");
	cr_expect_str_eq(modules_find(&map, 0x7ffd0d5d9000)->module->id.path, "[vdso]");
	cr_expect(modules_find(&map, 0xffffffffff600000));
}

Test(modules, lines_that_are_none_are_passed_over)
{
	cr_expect_eq(modules_parse_maps(&map, table, "", 0), 0);
	cr_expect_eq(modules_parse_maps(&map, table, "\n\n", 0), 0);
	cr_expect_eq(modules_parse_maps(&map, table, "00400000-", 0), 0);
	cr_expect_eq(modules_parse_maps(&map, table, "hello world\n5000-4000 r-xp 0 0:0 0 /x\n", 0), 0);
	cr_expect_eq(modules_parse_maps(&map, table, "4000-5000 r-xp 0 0:0 1 /x", 0), 1);
}

Test(modules, the_own_maps_name_the_own_code)
{
	static char text[1 << 20], exe[4096];
	FILE *f = fopen("/proc/self/maps", "r");
	const struct module_range *r;
	size_t len;

	cr_assert(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = 0;
	cr_assert_gt(modules_parse_maps(&map, table, text, 0), 2);
	cr_assert_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
	r = modules_find(&map, (uintptr_t)modules_find);
	cr_assert(r);
	cr_expect_str_eq(r->module->id.path, exe);
}

/* The file at a page at a time, and its page there: "a@2"; "-" for none. */
static const char *at(uint64_t page, uint64_t time_ns)
{
	static char text[64];
	const struct module_range *r = modules_find_at(&map, page << 12, time_ns);

	if (!r)
		return "-";
	snprintf(text, sizeof(text), "%s@%d", r->module->id.path,
		 (int)(module_file_offset(r, page << 12) >> 12));
	return text;
}

Test(modules, what_was_there_before_is_found_by_time)
{
	map_at("a", 10, 20, 0, 100);
	map_at("b", 12, 15, 0, 200);
	map_at("c", 14, 30, 5, 300);
	expect_map("a:10-12@0 b:12-14@0 c:14-30@5");
	cr_expect_str_eq(at(11, 350), "a@1");
	cr_expect_str_eq(at(12, 150), "a@2");
	cr_expect_str_eq(at(12, 250), "b@0");
	cr_expect_str_eq(at(14, 150), "a@4");
	cr_expect_str_eq(at(14, 250), "b@2");
	cr_expect_str_eq(at(14, 350), "c@5");
	cr_expect_str_eq(at(19, 250), "a@9");
	cr_expect_str_eq(at(25, 250), "c@16", "nothing was there, so what is now must do");
	cr_expect_str_eq(at(40, 250), "-");
}

Test(modules, the_past_is_the_same_whatever_order_it_is_heard_in)
{
	map_at("c", 14, 30, 5, 300);
	map_at("a", 10, 20, 0, 100);
	map_at("b", 12, 15, 0, 200);
	expect_map("a:10-12@0 b:12-14@0 c:14-30@5");
	cr_expect_str_eq(at(12, 150), "a@2");
	cr_expect_str_eq(at(14, 150), "a@4");
	cr_expect_str_eq(at(14, 250), "b@2");
	cr_expect_str_eq(at(19, 250), "a@9");
}

Test(modules, the_same_again_has_no_past)
{
	map_at("[anon]", 10, 20, 0, 100);
	map_at("[anon]", 12, 15, 7, 200);
	map_at("/a", 40, 50, 0, 100);
	map_at("/a", 42, 44, 2, 200);
	cr_expect_eq(map.past_cnt, 0);
	map_at("/a", 42, 44, 3, 300);
	cr_expect_eq(map.past_cnt, 1);
}

Test(modules, a_copy_has_the_past_too)
{
	struct modules copy = { 0 };

	map_at("a", 10, 20, 0, 100);
	map_at("b", 10, 20, 0, 200);
	cr_assert_eq(modules_copy(&copy, &map), 0);
	cr_expect_str_eq(modules_find_at(&copy, 10 << 12, 150)->module->id.path, "a");
	modules_fini(&copy);
}
