// SPDX-License-Identifier: MIT
/* test_lib_search.c - the places where a library is looked for, in their order. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/strbuf.h"
#include "capture/lib_search.h"

/* The candidates in directories of the test, which are below /t; takes none unless it is taken. */
struct seen {
	struct strbuf paths; /* each behind a blank */
	const char *taken;
};

static bool see(void *ctx, const char *path)
{
	struct seen *seen = ctx;

	if (!strncmp(path, "/t/", 3) && !strstr(path, "/glibc-hwcaps/"))
		strbuf_printf(&seen->paths, " %s", path);
	return seen->taken && !strcmp(path, seen->taken);
}

static void expect(const struct lib_search *search, const struct lib_loader *loader,
		   const char *name, const char *paths)
{
	struct seen seen = { .paths = STRBUF_INIT };

	cr_expect_not(lib_search(search, name, loader, see, &seen));
	cr_expect_str_eq(strbuf_text(&seen.paths), paths);
	strbuf_fini(&seen.paths);
}

Test(lib_search, glibc_asks_rpath_environment_runpath)
{
	struct lib_loader program = { .dynamic.rpath = "/t/program", .origin = "/t/bin" };
	struct lib_loader old = { .dynamic.rpath = "$ORIGIN/own:relative",
				  .origin = "/t/old",
				  .loader = &program };
	struct lib_loader new = { .dynamic.runpath = "${ORIGIN}/own",
				  .origin = "/t/new",
				  .loader = &program };
	struct lib_search search = { .executable = &program, .ld_library_path = "/t/env" };

	expect(&search, &program, "x", " /t/program/x /t/env/x");
	expect(&search, &old, "x", " /t/old/own/x /t/program/x /t/env/x");
	expect(&search, &new, "x", " /t/env/x /t/new/own/x");
}

Test(lib_search, musl_is_libc_itself_and_asks_the_environment_first)
{
	struct lib_loader program = { .dynamic.runpath = "/t/program" };
	struct lib_loader lib = { .dynamic.rpath = "/t/lib", .loader = &program };
	struct lib_search search = { .is_musl = true,
				     .executable = &program,
				     .ld_library_path = "/t/env",
				     .interp = "/t/ld-musl.so",
				     .musl_path = "/t/a\n/t/b" };

	expect(&search, &lib, "x", " /t/env/x /t/lib/x /t/program/x /t/a/x /t/b/x");
	expect(&search, &program, "libc.so",
	       " /t/ld-musl.so /t/env/libc.so /t/program/libc.so "
	       "/t/a/libc.so /t/b/libc.so");
}

Test(lib_search, ends_where_it_is_found)
{
	struct lib_search search = { .ld_library_path = "/t/a:/t/b:/t/c" };
	struct seen seen = { .paths = STRBUF_INIT, .taken = "/t/b/x" };

	cr_expect(lib_search(&search, "x", NULL, see, &seen));
	cr_expect_str_eq(strbuf_text(&seen.paths), " /t/a/x /t/b/x");
	strbuf_fini(&seen.paths);
}
