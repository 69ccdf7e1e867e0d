// SPDX-License-Identifier: MIT
/* test_names.c - what frames are called: code made at run time, files that are gone or elsewhere.
 */
#include "expect.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

SUITE(names);

static const char *symbol_of(const json_t *stack, size_t i)
{
	return json_string_value(member(json_array_get(stack, i), "symbol"));
}

static const char *module_of(const json_t *stack, size_t i)
{
	return json_string_value(member(json_array_get(stack, i), "module"));
}

/* The stack of the site with the one block of 1000 bytes. */
static json_t *stack_of_1000(const json_t *report)
{
	json_t *site;
	size_t i;

	json_array_foreach(member(report, "sites"), i, site)
	{
		if (figure(site, "alloc_blocks") == 1 && figure(site, "alloc_bytes") == 1000)
			return member(site, "stack");
	}
	fatal("no site has one block of 1000 bytes");
	return NULL;
}

/* ---- code made at run time ------------------------------------------------------------------- */

static void expect_generated(enum way way, const char *how, const char *name)
{
	struct trace trace;
	json_t *stack;
	const char *map;
	pid_t pid;

	/* a child of an attached process is otherwise followed a moment after it began */
	trace_run(&trace, &(struct trace_request){
				  .way = way,
				  .argv = LIST("jit", how),
				  .options = way == LAUNCHED ? NULL : LIST("--follow", "exact"),
			  });
	pid = figure(json_array_get(member(trace.report, "processes"), 0), "pid");
	map = text_of("/tmp/perf-%d.map", (int)pid);
	unlink(map);
	unlink(text_of("%s.real", map));
	expect_consistent(trace.report);
	stack = stack_of_1000(trace.report);
	cr_assert_geq(json_array_size(stack), 3, "%zu frames", json_array_size(stack));
	if (name)
		cr_expect(symbol_of(stack, 0) && !strcmp(symbol_of(stack, 0), name), "%s: %s", how,
			  symbol_of(stack, 0));
	else
		cr_expect_null(symbol_of(stack, 0), "%s: %s", how, symbol_of(stack, 0));
	cr_expect(module_of(stack, 0) && !strcmp(module_of(stack, 0), "[jit]"), "%s: module %s",
		  how, module_of(stack, 0));
	cr_expect(symbol_of(stack, 1) && !strcmp(symbol_of(stack, 1), "call_generated"),
		  "%s: caller %s", how, symbol_of(stack, 1));
	cr_expect(json_is_null(member(json_array_get(stack, 0), "file")));
}

#define NAME "generated (app.js:1)"

Test(names, generated_code_has_the_name_the_program_lists_launched)
{
	expect_generated(LAUNCHED, "named", NAME);
}

Test(names, generated_code_has_the_name_the_program_lists_attached)
{
	expect_generated(ATTACHED, "named", NAME);
}

Test(names, generated_code_has_the_name_the_program_lists_while_it_runs)
{
	expect_generated(ATTACHED_HELD, "named", NAME);
}

Test(names, a_list_that_was_seen_may_be_gone)
{
	expect_generated(ATTACHED, "removed", NAME);
}

Test(names, a_child_that_runs_its_parents_code_has_its_names)
{
	expect_generated(LAUNCHED, "forked", NAME);
	expect_generated(ATTACHED, "forked", NAME);
}

Test(names, generated_code_without_a_frame_pointer_hides_no_caller)
{
#if defined(__x86_64__)
	expect_generated(LAUNCHED, "frameless", NAME);
	expect_generated(LAUNCHED, "pushing", NAME);
	expect_generated(ATTACHED, "roomy", NAME);
#endif
}

Test(names, generated_code_may_be_in_a_file_without_a_name)
{
	expect_generated(LAUNCHED, "memfd", NAME);
	expect_generated(ATTACHED, "memfd", NAME);
}

Test(names, without_a_list_the_stack_goes_on_past_an_unknown_frame)
{
	expect_generated(LAUNCHED, "none", NULL);
	expect_generated(ATTACHED, "none", NULL);
}

Test(names, bad_lines_are_passed_over)
{
	expect_generated(LAUNCHED, "garbage", NAME);
}

Test(names, a_sparse_list_is_not_read_whole)
{
	expect_generated(LAUNCHED, "sparse", NAME);
}

Test(names, no_list_is_read_that_may_be_somebody_elses)
{
	static const char *const hows[] = { "foreign", "fifo", "link", "stale" };

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		expect_generated(LAUNCHED, hows[i], NULL);
		expect_generated(ATTACHED_HELD, hows[i], NULL);
	}
}

/* ---- files that are gone or elsewhere -------------------------------------------------------- */

static json_t *site_with(const json_t *report, const char *symbol)
{
	json_t *site;
	size_t i, n;

	json_array_foreach(member(report, "sites"), i, site)
	{
		for (n = 0; n < json_array_size(member(site, "stack")); n++) {
			const char *got = symbol_of(member(site, "stack"), n);

			if (got && !strcmp(got, symbol))
				return site;
		}
	}
	return NULL;
}

/* The program is copied, the copy runs, is deleted and something else takes its place. */
static void expect_names_of_deleted(const char *replacement, bool ended)
{
	const char *path = target_renamed("deep", "vanishing");
	struct tracer tracer;
	struct target target;
	json_t *report;

	target_start(&target, LIST(path, "5"), NULL);
	tracer_start(&tracer, &(struct tracer_start){
				      .options = LIST("-p", text_of("%d", target.child->pid)) });
	tracer_wait_ready(&tracer);
	cr_assert_eq(unlink(path), 0);
	if (replacement)
		cr_assert_eq(
			run(&(struct start){ .argv = LIST("cp", target_path(replacement), path) },
			    NULL),
			0);
	target_go(&target);
	target_wait_done(&target);
	if (ended) {
		target_release(&target);
		child_wait(target.child);
	} else {
		child_signal(tracer.child, SIGINT);
	}
	report = tracer_finish(&tracer);
	cr_assert(report);
	cr_expect(site_with(report, "leaf_call"), "no leaf_call");
	cr_expect(site_with(report, "main"), "no main");
	target_release(&target);
}

Test(names, a_program_deleted_while_it_runs_has_its_names)
{
	expect_names_of_deleted(NULL, false);
	expect_names_of_deleted(NULL, true);
}

Test(names, a_program_replaced_while_it_runs_has_its_own_names)
{
	expect_names_of_deleted("leaky", false);
	expect_names_of_deleted("leaky", true);
}

Test(names, a_program_in_memory_has_names)
{
	const char *script = text_of(
		"import os\nfd = os.memfd_create('deep')\n"
		"os.write(fd, open('%s', 'rb').read())\nos.execve(fd, ['deep', '5'], os.environ)",
		target_path("deep"));
	struct trace trace;

	if (access("/usr/bin/python3", X_OK))
		skip("no python3");
	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST("/usr/bin/python3", "-c", script),
			  });
	cr_expect(site_with(trace.report, "leaf_call"), "no leaf_call");
}

/* The program is in a file system that only its own mount namespace has, and which is gone with it.
 */
Test(names, a_program_of_another_mount_namespace_has_names_when_it_has_ended)
{
	const char *dir = stage_path("mount"), *script;
	struct trace trace;

	if (!find_program("unshare") || !find_program("mount"))
		skip("no unshare");
	script = text_of(
		"mkdir -p %s && mount -t tmpfs none %s && cp %s %s/inside && exec %s/inside 5", dir,
		dir, target_path("deep"), dir, dir);
	trace_run(&trace, &(struct trace_request){
				  .way = LAUNCHED,
				  .argv = LIST(find_program("unshare"), "-m", "sh", "-c", script),
			  });
	cr_expect(site_with(trace.report, "leaf_call"), "no leaf_call");
	cr_assert_neq(access(text_of("%s/inside", dir), F_OK), 0);
}

/* ---- debug files from servers ---------------------------------------------------------------- */

/* A stripped copy of a target; its debug file is where a server of stage_path("www") has it. */
static const char *strip_target(const char *name)
{
	const char *path = target_renamed(name, "stripped_one"), *script;

	if (!find_program("objcopy") || !find_program("readelf") || !find_program("python3"))
		skip("no objcopy, readelf or python3");
	script = text_of("id=$(readelf -n %s | sed -n 's/.*Build ID: //p') && d=%s/buildid/$id && "
			 "mkdir -p $d && objcopy --only-keep-debug %s $d/debuginfo && strip %s",
			 path, stage_path("www"), path, path);
	cr_assert_eq(run(&(struct start){ .argv = LIST("sh", "-c", script) }, NULL), 0);
	return path;
}

static json_t *trace_with_server(const char *program, const char *url, struct child **memtrace)
{
	struct tracer tracer;
	json_t *report;

	tracer_start(&tracer,
		     &(struct tracer_start){
			     .options = LIST("--debuginfod"),
			     .command = LIST(program, "5"),
			     .env = LIST(text_of("DEBUGINFOD_URLS=%s", url), "DEBUGINFOD_TIMEOUT=1",
					 text_of("DEBUGINFOD_CACHE_PATH=%s", stage_path("cache")),
					 "no_proxy=127.0.0.1"),
		     });
	tracer_wait_ready(&tracer);
	report = tracer_finish(&tracer);
	cr_assert(report);
	expect_consistent(report);
	*memtrace = tracer.child;
	return report;
}

Test(names, debug_files_come_from_a_server_when_that_is_wanted)
{
	const char *program = strip_target("deep"), *line;
	struct pipe_pair said = pipe_new();
	struct child *server, *memtrace;
	json_t *report;
	int port;

	server = child_start(&(struct start){
		.argv = LIST("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"),
		.cwd = stage_path("www"),
		.out_fd = said.out,
	});
	pipe_close(&said.out);
	line = pipe_wait_line(said.in, "port");
	cr_assert_eq(sscanf(strstr(line, "port"), "port %d", &port), 1, "%s", line);
	report = trace_with_server(program, text_of("http://127.0.0.1:%d", port), &memtrace);
	cr_expect(site_with(report, "leaf_call"), "no leaf_call");
	child_signal(server, SIGKILL);
}

Test(names, a_server_that_never_answers_does_not_keep_the_report)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *program = strip_target("deep");
	socklen_t len = sizeof(address);
	struct child *memtrace;
	json_t *report;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(!bind(fd, (void *)&address, sizeof(address)) && !listen(fd, 4) &&
		  !getsockname(fd, (void *)&address, &len));
	report = trace_with_server(program, text_of("http://127.0.0.1:%d", ntohs(address.sin_port)),
				   &memtrace);
	cr_expect_not(site_with(report, "leaf_call"));
	expect_stderr_has(memtrace, "no answer");
	close(fd);
}

Test(names, asking_servers_that_nobody_named_is_an_error)
{
	struct child *memtrace;

	run(&(struct start){ .argv = LIST("env", "-u", "DEBUGINFOD_URLS", memtrace_path(),
					  "--debuginfod", "--", "true") },
	    &memtrace);
	expect_exit(memtrace, 1);
	expect_one_line(memtrace, LIST("DEBUGINFOD_URLS", "(set it"));
}
