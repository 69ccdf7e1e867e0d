// SPDX-License-Identifier: MIT
#include "capture/debug_server.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIBRARY "libdebuginfod.so.1"
#define STALL_S 10
#define WAIT_S 60
#define SECONDS_MAX 86400
#define ID_MAX 64

/* The part of libdebuginfod that is used; its header is not needed to build. */
struct client_library {
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find_debuginfo)(void *client, const unsigned char *build_id, int len, char **path);
	void (*set_progressfn)(void *client, int (*progress)(void *client, long a, long b));
	void (*set_user_data)(void *client, void *data);
	void *(*get_user_data)(void *client);
};

enum state { ASKED, BEING_FETCHED, ANSWERED };

struct question {
	struct question *next; /* in the order of asking */
	uint8_t build_id[ID_MAX];
	size_t len;
	enum state state;
	int fd; /* of the file, once ANSWERED; or -ENOENT */
};

/* Shared by the session and the thread; the last of them frees it. */
struct debug_server {
	struct client_library library;
	void (*log)(void *ctx, const char *line);
	void *ctx;
	unsigned int stall_s;
	uint64_t wait_left_ns;

	pthread_mutex_t lock; /* all of the following */
	pthread_cond_t changed;
	unsigned int users;
	bool has_thread, ending, given_up, said;
	int error; /* of asking a server, positive; 0: none */
	struct question *questions;

	/* the thread's own: */
	uint64_t last_progress_ns;
	long progress;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static unsigned int env_seconds(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);
	long seconds = text ? strtol(text, NULL, 10) : 0;

	return seconds > 0 && seconds <= SECONDS_MAX ? (unsigned int)seconds : otherwise;
}

static bool load(struct client_library *library)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return false;
	/* never closed again: the library keeps state of libcurl's that must not be set up twice */
	library->begin = dlsym(handle, "debuginfod_begin");
	library->end = dlsym(handle, "debuginfod_end");
	library->find_debuginfo = dlsym(handle, "debuginfod_find_debuginfo");
	library->set_progressfn = dlsym(handle, "debuginfod_set_progressfn");
	library->set_user_data = dlsym(handle, "debuginfod_set_user_data");
	library->get_user_data = dlsym(handle, "debuginfod_get_user_data");
	return library->begin && library->end && library->find_debuginfo &&
	       library->set_progressfn && library->set_user_data && library->get_user_data;
}

int debug_server_new(struct debug_server **server, void (*log)(void *ctx, const char *line),
		     void *ctx, struct message *why)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debug_server *d;
	pthread_condattr_t attr;

	if (!urls || !urls[strspn(urls, " ")])
		return message_set(why, -ENOENT,
				   "debuginfod: DEBUGINFOD_URLS names no server (set it, "
				   "for example to https://debuginfod.debian.net; sudo needs "
				   "--preserve-env=DEBUGINFOD_URLS)");
	d = calloc(1, sizeof(*d));
	if (!d)
		return message_set(why, -ENOMEM, "out of memory");
	if (!load(&d->library)) {
		free(d);
		return message_set(why, -ENOSYS,
				   "debuginfod: " LIBRARY " cannot be loaded (install "
				   "libdebuginfod1, or elfutils-debuginfod-client)");
	}
	d->log = log;
	d->ctx = ctx;
	d->users = 1;
	d->stall_s = env_seconds("DEBUGINFOD_TIMEOUT", STALL_S);
	d->wait_left_ns = env_seconds("DEBUGINFOD_MAXTIME", WAIT_S) * 1000000000ULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
	*server = d;
	return 0;
}

/* Called with the lock, which is gone afterwards. */
static void leave(struct debug_server *d)
{
	bool last = !--d->users;

	pthread_mutex_unlock(&d->lock);
	if (!last)
		return;
	while (d->questions) {
		struct question *q = d->questions;

		d->questions = q->next;
		if (q->state == ANSWERED && q->fd >= 0)
			close(q->fd);
		free(q);
	}
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void debug_server_free(struct debug_server *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_broadcast(&d->changed);
	leave(d);
}

/* ---- the thread ------------------------------------------------------------------------------ */

#define PROGRESS_MIN 1024 /* bytes; while no server answers the library counts its own rounds */

/* Called about once a second while a file is fetched; other than 0 ends that. */
static int on_progress(void *client, long done, long all)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_NOLOAD);
	void *(*get_user_data)(void *) = handle ? dlsym(handle, "debuginfod_get_user_data") : NULL;
	struct debug_server *d = get_user_data ? get_user_data(client) : NULL;
	uint64_t now = now_ns();
	bool end;

	if (handle)
		dlclose(handle); /* the count of users is back at what it was */
	if (!d)
		return 0;
	if (done - d->progress >= (all > 0 ? 1 : PROGRESS_MIN)) {
		d->progress = done;
		d->last_progress_ns = now;
	}
	pthread_mutex_lock(&d->lock);
	if (now - d->last_progress_ns >= d->stall_s * 1000000000ULL)
		d->given_up = true;
	end = d->ending || d->given_up;
	pthread_mutex_unlock(&d->lock);
	return end;
}

static int fetch(struct debug_server *d, void *client, const struct question *q)
{
	char *path = NULL;
	int fd;

	d->progress = 0;
	d->last_progress_ns = now_ns();
	fd = d->library.find_debuginfo(client, q->build_id, (int)q->len, &path);
	free(path);
	return fd;
}

static struct question *next_question(const struct debug_server *d)
{
	for (struct question *q = d->questions; q; q = q->next)
		if (q->state == ASKED)
			return q;
	return NULL;
}

static void *serve(void *arg)
{
	struct debug_server *d = arg;
	void *client = d->library.begin();
	struct question *q;
	int fd;

	if (client) {
		d->library.set_user_data(client, d);
		d->library.set_progressfn(client, on_progress);
	}
	pthread_mutex_lock(&d->lock);
	d->given_up |= !client;
	while (!d->ending) {
		q = next_question(d);
		if (!q) {
			pthread_cond_wait(&d->changed, &d->lock);
			continue;
		}
		fd = -ENOENT;
		if (!d->given_up) {
			q->state = BEING_FETCHED;
			pthread_mutex_unlock(&d->lock);
			fd = fetch(d, client, q);
			pthread_mutex_lock(&d->lock);
		}
		if (fd == -ETIME || fd == -ETIMEDOUT) /* newer libraries give up by themselves */
			d->given_up = true;
		else if (fd < 0 && fd != -ENOENT && !d->error)
			d->error = -fd;
		q->fd = fd < 0 ? -ENOENT : fd;
		q->state = ANSWERED;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	if (client)
		d->library.end(client);
	pthread_mutex_lock(&d->lock);
	leave(d);
	return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct debug_server *d)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	d->users++;
	err = pthread_create(&thread, &attr, serve, d);
	if (err)
		d->users--;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct question *find_question(const struct debug_server *d, const void *build_id,
				      size_t len)
{
	for (struct question *q = d->questions; q; q = q->next)
		if (q->len == len && !memcmp(q->build_id, build_id, len))
			return q;
	return NULL;
}

static struct question *ask(struct debug_server *d, const void *build_id, size_t len)
{
	struct question *q = find_question(d, build_id, len), **last = &d->questions;

	if (q || d->given_up || len > ID_MAX)
		return q;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	memcpy(q->build_id, build_id, len);
	q->len = len;
	while (*last)
		last = &(*last)->next;
	*last = q;
	if (!d->has_thread)
		d->given_up = start_thread(d) != 0;
	d->has_thread = true;
	pthread_cond_broadcast(&d->changed);
	return q;
}

static void wait_for(struct debug_server *d, const struct question *q)
{
	uint64_t start = now_ns(), end = start + d->wait_left_ns, now = start;

	while (q->state != ANSWERED && !d->given_up && now < end) {
		struct timespec until = { end / 1000000000, end % 1000000000 };

		pthread_cond_timedwait(&d->changed, &d->lock, &until);
		now = now_ns();
	}
	if (q->state != ANSWERED && now >= end)
		d->given_up = true;
	d->wait_left_ns = now < end ? end - now : 0;
}

/* What went wrong with the servers, once. */
static void tell(struct debug_server *d)
{
	char line[256];

	if (d->said || !d->log || (!d->given_up && !d->error))
		return;
	d->said = true;
	if (d->given_up)
		snprintf(line, sizeof(line),
			 "debuginfod: no answer for %u s; names go without it from here on "
			 "(see DEBUGINFOD_URLS, DEBUGINFOD_TIMEOUT)",
			 d->stall_s);
	else
		snprintf(line, sizeof(line), "debuginfod: %s (see DEBUGINFOD_URLS)",
			 strerror(d->error));
	d->log(d->ctx, line);
}

int debug_server_find(struct debug_server *d, const void *build_id, size_t len, bool wait)
{
	struct question *q;
	int fd = -ENOENT;

	pthread_mutex_lock(&d->lock);
	q = ask(d, build_id, len);
	if (q && wait)
		wait_for(d, q);
	if (q && q->state == ANSWERED && q->fd >= 0)
		fd = fcntl(q->fd, F_DUPFD_CLOEXEC, 0);
	else if (q && q->state != ANSWERED && !d->given_up)
		fd = -EAGAIN;
	tell(d);
	pthread_mutex_unlock(&d->lock);
	return fd;
}

bool debug_server_has_answer(struct debug_server *d, const void *build_id, size_t len)
{
	const struct question *q;
	bool has;

	pthread_mutex_lock(&d->lock);
	q = find_question(d, build_id, len);
	has = d->given_up || (q && q->state == ANSWERED);
	pthread_mutex_unlock(&d->lock);
	return has;
}
