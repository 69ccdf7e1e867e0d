// SPDX-License-Identifier: MIT
/* test_layers.c - includes go down the picture of docs/architecture.md, never up. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#ifndef TESTS_DIR
#define TESTS_DIR "tests"
#endif

struct layer {
	const char *name;
	const char *may_use; /* space before and after each */
};

static const struct layer layers[] = {
	{ "base", " base " },
	{ "model", " base model memtrace " },
	{ "capture", " base model capture memtrace memtrace.skel.h " },
	{ "analyze", " base model analyze memtrace " },
	{ "output", " base model analyze output memtrace " },
	{ "preload", " preload memtrace " },
	{ "cli", " base model analyze output cli memtrace " },
};

/* The first part of an include's path, or NULL for a line that is no include of ours. */
static const char *included(char *line)
{
	char *start = strstr(line, "#include \""), *end;

	if (!start)
		return NULL;
	start += strlen("#include \"");
	end = strpbrk(start, "/\"");
	if (end)
		*end = 0;
	return start;
}

static int check_file(const struct layer *layer, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512], wanted[128];
	const char *other;
	int cnt = 0;

	cr_assert(f, "cannot read %s", path);
	while (fgets(line, sizeof(line), f)) {
		other = included(line);
		if (!other)
			continue;
		snprintf(wanted, sizeof(wanted), " %s ", other);
		cr_expect(strstr(layer->may_use, wanted), "%s includes %s/: %s may use only%s", path,
			  other, layer->name, layer->may_use);
		cnt++;
	}
	fclose(f);
	return cnt;
}

Test(layers, use_only_what_is_below_them)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		char pattern[512];
		glob_t found;
		int cnt = 0;

		snprintf(pattern, sizeof(pattern), "%s/../src/%s/*.[ch]", TESTS_DIR, layers[i].name);
		cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no files match %s", pattern);
		for (size_t n = 0; n < found.gl_pathc; n++)
			cnt += check_file(&layers[i], found.gl_pathv[n]);
		globfree(&found);
		cr_expect(cnt > 0, "no includes found in src/%s", layers[i].name);
	}
}

Test(layers, are_all_named)
{
	glob_t found;

	cr_assert_eq(glob(TESTS_DIR "/../src/*", GLOB_ONLYDIR, NULL, &found), 0);
	cr_expect_eq(found.gl_pathc, sizeof(layers) / sizeof(layers[0]),
		     "src/ has %zu folders, the table %zu", found.gl_pathc,
		     sizeof(layers) / sizeof(layers[0]));
	globfree(&found);
}
