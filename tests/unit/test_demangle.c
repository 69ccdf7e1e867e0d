// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "capture/demangle.h"

static void expect(const char *mangled, const char *plain)
{
	char *got = demangle(mangled);

	if (plain)
		cr_expect(got && !strcmp(got, plain), "%s is %s, not %s", mangled, got, plain);
	else
		cr_expect_null(got, "%s is %s", mangled, got);
	free(got);
}

Test(demangle, cxx)
{
	expect("_ZN3foo3barEi", "foo::bar(int)");
	expect("_Znwm", "operator new(unsigned long)");
	expect("_ZNSt6vectorIiSaIiEE9push_backERKi",
	       "std::vector<int, std::allocator<int> >::push_back(int const&)");
	expect("_ZN3foo3barEi.part.0", "foo::bar(int) [clone .part.0]");
}

Test(demangle, rust_without_its_hash)
{
	expect("_ZN5alloc5alloc8box_free17h0123456789abcdefE", "alloc::alloc::box_free");
	expect("_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str"
	       "17h5c5e0a1d2b3c4d5eE",
	       "<alloc::string::String as core::fmt::Write>::write_str");
	expect("_RNvCs1234_7mycrate3foo", "mycrate::foo");
	expect("_RNvNtCs1234_7mycrate4heap4grow", "mycrate::heap::grow");
}

Test(demangle, versions_of_symbols_are_no_part_of_the_name)
{
	expect("malloc@@GLIBC_2.2.5", "malloc");
	expect("_ZNSs4swapERSs@@GLIBCXX_3.4", "std::string::swap(std::string&)");
	expect("@@", NULL);
}

Test(demangle, d)
{
	expect("_D4core6memory2GC6mallocFmkxC8TypeInfoZPv",
	       "core.memory.GC.malloc(ulong, uint, const(TypeInfo))");
	expect("_Dmain", "D main");
}

Test(demangle, other_names_are_left_alone)
{
	expect("malloc", NULL);
	expect("_start", NULL);
	expect("_Zork", NULL);
	expect("_Dangerous", NULL);
	expect("_Rubbish", NULL);
	expect("", NULL);
	expect("_", NULL);
	expect("_ZN3fo", NULL);
}

Test(demangle, a_name_without_end_is_left_alone)
{
	char *name = malloc(1 << 20);

	memset(name, 'P', 1 << 20);
	memcpy(name, "_Z1f", 4);
	name[(1 << 20) - 1] = 0;
	expect(name, NULL);
	free(name);
}
