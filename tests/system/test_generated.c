// SPDX-License-Identifier: MIT
/*
 * test_generated.c - programs whose functions are compiled while they run: each script below calls
 * first, second, third, which allocates; the stack must go through all of them to the true root.
 */
#include "expect.h"
#include "servers.h"

#include <string.h>

SUITE(generated);

#define STACKS "--stack-depth", "127"

/* Are the words found in the names of the stack's frames, in this order? */
static bool goes_through(const json_t *stack, const char *const *words)
{
	json_t *frame;
	size_t i;

	json_array_foreach(stack, i, frame)
	{
		const char *symbol = json_string_value(member(frame, "symbol"));

		if (*words && symbol && strstr(symbol, *words))
			words++;
	}
	return !*words;
}

static void expect_through(const char *const *command, const char *const *words)
{
	long long whole, cut = 0;
	struct tracer tracer;
	json_t *report, *site, *figure_of;
	const char *end;
	size_t i, found = 0;

	tracer_start(&tracer, &(struct tracer_start){ .command = command, .options = LIST(STACKS) });
	report = tracer_finish(&tracer);
	expect_exit(tracer.child, 0);
	cr_assert_not_null(report);
	expect_consistent(report);
	json_array_foreach(member(report, "sites"), i, site)
		found += goes_through(member(site, "stack"), words);
	cr_expect_gt(found, 0, "no stack goes through %s ... of %zu", words[0],
		     json_array_size(member(report, "sites")));
	whole = figure(report, "stack_quality.complete");
	json_object_foreach(member(report, "stack_quality"), end, figure_of)
	{
		if (strcmp(end, "complete"))
			cut += json_integer_value(figure_of);
	}
	cr_expect_geq(whole * 1000, (whole + cut) * 995, "%lld whole, %lld cut", whole, cut);
}

static const char *script_file(const char *name, const char *text)
{
	const char *path = stage_path(name);
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fatal("cannot write %s", path);
	return path;
}

Test(generated, javascript_in_node)
{
	const char *node = need("node");
	const char *script = script_file(
		"calls.js", "function third(n) { return Buffer.allocUnsafeSlow(n); }\n"
			    "function second(n) { return third(n); }\n"
			    "function first(n) { return second(n); }\n"
			    "for (let i = 0; i < 3000; i++) first(5000);\n");

	expect_through(LIST(node, "--perf-basic-prof", "--interpreted-frames-native-stack",
			    "--no-logfile-per-isolate", "--logfile=/dev/null", script),
		       LIST("third ", "second ", "first ", "JSEntry", "_start"));
}

/* Compiled, and interpreted: what the interpreter runs has the interpreter's name. */
Test(generated, java)
{
	const char *java = need("java");
	const char *script = script_file(
		"Calls.java",
		"public class Calls {\n"
		"static void third() { new java.util.zip.Deflater().end(); }\n"
		"static void second() { third(); }\n"
		"static void first() { second(); }\n"
		"public static void main(String[] a) { for (int i = 0; i < 3000; i++) first(); }\n"
		"}\n");

	expect_through(LIST(java, "-Xmx256m", "-XX:+PreserveFramePointer", "-XX:-Inline",
			    "-XX:+UnlockDiagnosticVMOptions", "-XX:+DumpPerfMapAtExit", script),
		       LIST("Deflater", "third", "second", "first", "JavaMain"));
}

Test(generated, python_with_trampolines)
{
	const char *python = need("python3");
	struct start version = {
		.argv = LIST(python, "-X", "perf", "-c",
			     "import sys; sys.exit(not sys.is_stack_trampoline_active())"),
	};
	const char *script = script_file("calls.py", "def third(n): return bytearray(n)\n"
						     "def second(n): return third(n)\n"
						     "def first(n): return second(n)\n"
						     "for i in range(100): first(5000)\n");
	struct child *probe;

	run(&version, &probe);
	if (probe->wait_status)
		skip("this python3 has no perf trampolines");
	expect_through(LIST(python, "-X", "perf", script),
		       LIST("py::third", "py::second", "py::first", "py::<module>", "_start"));
}
