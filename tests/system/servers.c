// SPDX-License-Identifier: MIT
#include "servers.h"

#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *need(const char *program)
{
	const char *path = find_program(program);

	if (!path)
		skip("%s is not installed", program);
	return path;
}

int stage_watch(void)
{
	int watch = inotify_init1(IN_CLOEXEC);

	if (inotify_add_watch(watch, stage_path(""), IN_CLOSE_WRITE) < 0)
		fatal("cannot watch %s", stage_path(""));
	return watch;
}

void wait_for_file(int watch, const char *name)
{
	char room[4096] __attribute__((aligned(8)));
	ssize_t len;

	for (;;) {
		struct pollfd poll_fd = { .fd = watch, .events = POLLIN };

		if (poll(&poll_fd, 1, TIMEOUT_MS) != 1)
			fatal("%s was not written", name);
		len = read(watch, room, sizeof(room));
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event = (const void *)(room + at);

			if (event->len && !strcmp(event->name, name)) {
				close(watch);
				return;
			}
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

const char *nginx_config(const char *socket)
{
	const char *config = stage_path("nginx.conf"), *dir = stage_path("");

	file_write(
		config,
		text_of("daemon off; master_process off; pid %snginx.pid; error_log stderr;\n"
			"events { worker_connections 64; }\n"
			"http { access_log off; client_body_temp_path %sa; proxy_temp_path %sb;\n"
			"fastcgi_temp_path %sc; uwsgi_temp_path %sd; scgi_temp_path %se;\n"
			"server { listen unix:%s; location / { return 200 hello; } } }\n",
			dir, dir, dir, dir, dir, dir, socket));
	return config;
}

void http_request(const char *socket_path)
{
	static const char text[] = "GET /page HTTP/1.0\r\n\r\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[4096] = "";
	ssize_t got, len = 0;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
		fatal("nginx does not answer");
	while ((got = read(fd, answer + len, sizeof(answer) - 1 - (size_t)len)) > 0)
		len += got;
	close(fd);
	answer[len] = '\0';
	cr_assert(strstr(answer, "200 OK"), "nginx says: %s", answer);
}
