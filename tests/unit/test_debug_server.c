// SPDX-License-Identifier: MIT
/* Debug files from a server: one of our own on the loopback, one that never answers, and none. */
#include "symbol_stage.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "capture/debug_server.h"

static pid_t server_pid;
static int server_socket = -1, hits[2] = { -1, -1 };

static void set_up(void)
{
	char cache[160];

	setup();
	snprintf(cache, sizeof(cache), "%s/cache", dir);
	setenv("DEBUGINFOD_CACHE_PATH", cache, 1);
	unsetenv("DEBUGINFOD_TIMEOUT");
	unsetenv("DEBUGINFOD_MAXTIME");
	unsetenv("DEBUGINFOD_VERBOSE");
	unsetenv("http_proxy");
	unsetenv("HTTP_PROXY");
	setenv("no_proxy", "127.0.0.1", 1);
}

static void tear_down(void)
{
	if (server_pid) {
		kill(server_pid, SIGKILL);
		waitpid(server_pid, NULL, 0);
	}
	teardown();
}

/* What waits for the library's own patience, 90 s, has failed. */
TestSuite(debug_server, .init = set_up, .fini = tear_down, .timeout = 60);

static void need_library(void)
{
	if (!dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL))
		SKIP("no libdebuginfod.so.1\n");
}

/* Listens on a port of its own, which DEBUGINFOD_URLS then names. */
static void open_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	char url[64];

	server_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(server_socket, 0);
	cr_assert_eq(bind(server_socket, (void *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(server_socket, 16), 0);
	cr_assert_eq(getsockname(server_socket, (void *)&address, &len), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	setenv("DEBUGINFOD_URLS", url, 1);
}

static void answer(int fd, const char *wanted, const char *path)
{
	char request[4096], head[256];
	ssize_t len = read(fd, request, sizeof(request) - 1);
	FILE *f = NULL;
	size_t got;

	request[len > 0 ? len : 0] = 0;
	if (!strncmp(request, "GET ", 4) && !strncmp(request + 4, wanted, strlen(wanted)) &&
	    request[4 + strlen(wanted)] == ' ')
		f = fopen(path, "r");
	if (write(hits[1], f ? "y" : "n", 1) != 1)
		_exit(1);
	if (!f) {
		len = snprintf(head, sizeof(head),
			       "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
			       "Connection: close\r\n\r\n");
		(void)!write(fd, head, len);
		return;
	}
	fseek(f, 0, SEEK_END);
	len = snprintf(head, sizeof(head),
		       "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n"
		       "Connection: close\r\n\r\n",
		       ftell(f));
	rewind(f);
	(void)!write(fd, head, len);
	while ((got = fread(request, 1, sizeof(request), f)))
		if (write(fd, request, got) != (ssize_t)got)
			break;
	fclose(f);
}

/* Serves one file for one build id; each request is a byte on hits. */
static void serve(const struct module_id *id, const char *file)
{
	char wanted[128] = "/buildid/", path[160];

	for (uint32_t i = 0; i < id->build_id_len; i++)
		sprintf(wanted + strlen(wanted), "%02x", id->build_id[i]);
	strcat(wanted, "/debuginfo");
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	open_port();
	cr_assert_eq(pipe(hits), 0);
	server_pid = fork();
	if (server_pid) {
		close(server_socket);
		return;
	}
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept(server_socket, NULL, NULL);

		if (fd < 0)
			_exit(1);
		answer(fd, wanted, path);
		close(fd);
	}
}

static char said[512];

static void hear(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(said, sizeof(said), "%s", line);
}

static struct debug_server *new_server(void)
{
	struct debug_server *server = NULL;
	struct message why;

	cr_assert_eq(debug_server_new(&server, hear, NULL, &why), 0, "%s", why.text);
	return server;
}

/* A stripped program, whose debug file is "debug". Where its inlined function is. */
static uint64_t build_stripped(struct module_id *id)
{
	uint64_t offset;

	build("gcc -g -O1 -Wl,--build-id", "in.c", INLINES);
	offset = offset_of(out, address_of(out, "inside"));
	run("objcopy --only-keep-debug out debug && strip out");
	*id = identify(out);
	return offset;
}

static void expect_debug_names(const struct module_id *id, uint64_t offset)
{
	const struct symbol_frame *frames;

	cr_assert_eq(symbols_resolve(symbols, id, 0, offset, &frames), 3);
	cr_expect_str_eq(frames[0].symbol, "leaf");
	cr_expect_eq(frames[0].line, 5);
	cr_expect_str_eq(frames[2].symbol, "outer");
}

static void expect_no_names(const struct module_id *id, uint64_t offset)
{
	const struct symbol_frame *frames;

	cr_assert_eq(symbols_resolve(symbols, id, 0, offset, &frames), 1);
	cr_expect_null(frames[0].symbol);
	cr_expect_null(frames[0].file);
}

Test(debug_server, names_come_from_the_debug_file_it_has)
{
	struct debug_server *server;
	struct module_id id;
	uint64_t offset;

	need_library();
	offset = build_stripped(&id);
	serve(&id, "debug");
	expect_no_names(&id, offset);
	server = new_server();
	symbols_free(symbols);
	symbols = symbols_new();
	symbols_use_server(symbols, server);
	symbols_wait(symbols, true);
	expect_debug_names(&id, offset);
	symbols_free(symbols);
	symbols = NULL;
	debug_server_free(server);
	cr_expect_str_empty(said);
}

Test(debug_server, who_does_not_wait_has_the_names_next_time)
{
	struct pollfd fetched;
	struct debug_server *server;
	struct module_id id;
	uint64_t offset;

	need_library();
	offset = build_stripped(&id);
	serve(&id, "debug");
	server = new_server();
	symbols_use_server(symbols, server);
	expect_no_names(&id, offset);
	fetched = (struct pollfd){ .fd = hits[0], .events = POLLIN };
	cr_assert_eq(poll(&fetched, 1, 60000), 1);
	symbols_wait(symbols, true);
	expect_debug_names(&id, offset);
	symbols_free(symbols);
	symbols = NULL;
	debug_server_free(server);
}

Test(debug_server, a_file_of_another_build_is_not_taken)
{
	struct debug_server *server;
	struct module_id id;
	uint64_t offset;

	need_library();
	build("gcc -g -O1 -Wl,--build-id -DX", "in.c", "int more;\n" INLINES);
	run("cp out other");
	offset = build_stripped(&id);
	serve(&id, "other");
	server = new_server();
	symbols_use_server(symbols, server);
	symbols_wait(symbols, true);
	expect_no_names(&id, offset);
	symbols_free(symbols);
	symbols = NULL;
	debug_server_free(server);
}

Test(debug_server, what_it_has_not_is_unknown_and_no_trouble)
{
	struct debug_server *server;
	struct module_id id;
	uint64_t offset;

	need_library();
	offset = build_stripped(&id);
	serve(&id, "missing");
	server = new_server();
	symbols_use_server(symbols, server);
	symbols_wait(symbols, true);
	expect_no_names(&id, offset);
	symbols_free(symbols);
	symbols = NULL;
	debug_server_free(server);
	cr_expect_str_empty(said, "%s", said);
}

Test(debug_server, one_that_never_answers_is_given_up)
{
	struct debug_server *server;
	static const uint8_t other[20] = { 7 };
	struct module_id id;
	uint64_t offset;

	need_library();
	offset = build_stripped(&id);
	open_port(); /* takes connections, and says nothing */
	setenv("DEBUGINFOD_TIMEOUT", "1", 1);
	server = new_server();
	symbols_use_server(symbols, server);
	expect_no_names(&id, offset);
	symbols_wait(symbols, true);
	expect_no_names(&id, offset);
	cr_expect_eq(debug_server_find(server, other, sizeof(other), true), -ENOENT);
	symbols_free(symbols);
	symbols = NULL;
	debug_server_free(server);
	cr_expect(strstr(said, "no answer"), "%s", said);
	close(server_socket);
}

Test(debug_server, all_waiting_together_has_an_end)
{
	static const uint8_t id[20] = { 9 };
	struct debug_server *server;

	need_library();
	open_port();
	setenv("DEBUGINFOD_TIMEOUT", "1000", 1);
	setenv("DEBUGINFOD_MAXTIME", "1", 1);
	server = new_server();
	cr_expect_eq(debug_server_find(server, id, sizeof(id), false), -EAGAIN);
	cr_expect_not(debug_server_has_answer(server, id, sizeof(id)));
	cr_expect_eq(debug_server_find(server, id, sizeof(id), true), -ENOENT);
	cr_expect(debug_server_has_answer(server, id, sizeof(id)));
	debug_server_free(server); /* while the thread is at it */
	close(server_socket);
}

Test(debug_server, nobody_at_the_port_is_said)
{
	static const uint8_t id[20] = { 8 };
	struct debug_server *server;

	need_library();
	open_port();
	close(server_socket);
	server = new_server();
	cr_expect_eq(debug_server_find(server, id, sizeof(id), true), -ENOENT);
	cr_expect(strstr(said, "debuginfod: "), "%s", said);
	debug_server_free(server);
}

Test(debug_server, without_a_name_of_one_there_is_an_error_with_a_remedy)
{
	static const char *const urls[] = { NULL, "", "  " };
	struct debug_server *server = NULL;
	struct message why;

	for (size_t i = 0; i < 3; i++) {
		if (urls[i])
			setenv("DEBUGINFOD_URLS", urls[i], 1);
		else
			unsetenv("DEBUGINFOD_URLS");
		cr_expect_eq(debug_server_new(&server, NULL, NULL, &why), -ENOENT);
		cr_expect(strstr(why.text, "DEBUGINFOD_URLS"), "%s", why.text);
		cr_expect(strstr(why.text, "("), "%s", why.text);
	}
	cr_expect_null(server);
	debug_server_free(NULL);
}
