// SPDX-License-Identifier: MIT
#include "capture/records.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/message.h"

#define RING_TOTAL_BYTES (4u << 20)
#define RING_MIN_PAGES 16
#define RING_MAX_PAGES 64
#define SETTLE_NS 2000000ULL
#define MISC_COMM_EXEC (1 << 13)
#define MISC_MMAP_BUILD_ID (1 << 14)
#define PROT_EXEC_BIT 4

struct ring {
	int fd;
	struct perf_event_mmap_page *page;
};

/* A record copied out of a ring, waiting for its turn. */
struct held {
	uint64_t time_ns;
	uint64_t order; /* of arrival: keeps records of one time in ring order */
	struct perf_event_header *raw;
};

struct records {
	struct ring *rings;
	int ring_cnt;
	size_t ring_bytes; /* of one ring's data */
	int epoll_fd;
	struct held *held;
	size_t held_cnt, held_cap;
	uint64_t arrivals;
	uint64_t lost;
};

/* sample_id_all with TID and TIME puts this at the end of every record. */
struct sample_id {
	uint32_t pid, tid;
	uint64_t time;
};

struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	union {
		struct {
			uint32_t maj, min;
			uint64_t ino, ino_generation;
		};
		struct {
			uint8_t build_id_size;
			uint8_t reserved[3];
			uint8_t build_id[20];
		};
	};
	uint32_t prot, flags;
	char filename[];
};

struct task_record { /* FORK and EXIT */
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time;
};

struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
};

static int ring_open(struct records *r, struct ring *ring, int cpu, bool build_id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.exclude_kernel = 1,
		.build_id = build_id,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = r->ring_bytes / 4,
	};
	size_t page = sysconf(_SC_PAGESIZE);
	struct epoll_event event = { .events = EPOLLIN };

	ring->fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (ring->fd < 0)
		return -errno;
	ring->page = mmap(NULL, page + r->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (ring->page == MAP_FAILED) {
		ring->page = NULL;
		return -errno;
	}
	if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, ring->fd, &event))
		return -errno;
	return 0;
}

static void ring_close(struct records *r, struct ring *ring)
{
	if (ring->page)
		munmap(ring->page, sysconf(_SC_PAGESIZE) + r->ring_bytes);
	if (ring->fd >= 0)
		close(ring->fd);
	ring->page = NULL;
	ring->fd = -1;
}

int records_open(struct records **out, int *ready_fd, struct message *why)
{
	int cpus = sysconf(_SC_NPROCESSORS_CONF), err = 0;
	size_t pages = RING_MAX_PAGES, page = sysconf(_SC_PAGESIZE);
	struct records *r = calloc(1, sizeof(*r));
	bool build_id = true;

	if (!r)
		return message_set(why, -ENOMEM, "out of memory");
	while (pages > RING_MIN_PAGES && pages * page * cpus > RING_TOTAL_BYTES)
		pages /= 2;
	r->ring_bytes = pages * page;
	r->rings = calloc(cpus, sizeof(*r->rings));
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!r->rings || r->epoll_fd < 0) {
		err = -ENOMEM;
		goto fail;
	}
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct ring *ring = &r->rings[r->ring_cnt];

		err = ring_open(r, ring, cpu, build_id);
		if (err == -EINVAL && build_id && !r->ring_cnt) { /* before 5.12 */
			ring_close(r, ring);
			build_id = false;
			err = ring_open(r, ring, cpu, build_id);
		}
		if (err == -ENODEV) { /* an offline CPU */
			ring_close(r, ring);
			err = 0;
			continue;
		}
		r->ring_cnt++;
		if (err)
			goto fail;
	}
	*ready_fd = r->epoll_fd;
	*out = r;
	return 0;
fail:
	records_close(r);
	return message_set(why, err, "cannot record module maps: perf_event_open: %s (run with sudo; "
			   "ulimit -n and kernel.perf_event_paranoid may stand in the way)",
			   strerror(-err));
}

void records_close(struct records *r)
{
	if (!r)
		return;
	for (int i = 0; i < r->ring_cnt; i++)
		ring_close(r, &r->rings[i]);
	for (size_t i = 0; i < r->held_cnt; i++)
		free(r->held[i].raw);
	if (r->epoll_fd >= 0)
		close(r->epoll_fd);
	free(r->held);
	free(r->rings);
	free(r);
}

static const struct sample_id *trailer(const struct perf_event_header *h)
{
	return (const void *)((const char *)h + h->size - sizeof(struct sample_id));
}

static bool record_is_wanted(const struct perf_event_header *h)
{
	switch (h->type) {
	case PERF_RECORD_MMAP2:
		return ((const struct mmap2_record *)h)->prot & PROT_EXEC_BIT;
	case PERF_RECORD_COMM:
		return h->misc & MISC_COMM_EXEC;
	case PERF_RECORD_FORK:
		return ((const struct task_record *)h)->pid != ((const struct task_record *)h)->ppid;
	case PERF_RECORD_EXIT:
		return ((const struct task_record *)h)->pid == ((const struct task_record *)h)->tid;
	}
	return false;
}

static int hold(struct records *r, struct perf_event_header *raw)
{
	struct held *grown = r->held;

	if (r->held_cnt == r->held_cap) {
		size_t cap = r->held_cap ? 2 * r->held_cap : 256;

		grown = realloc(r->held, cap * sizeof(*grown));
		if (!grown) {
			free(raw);
			r->lost++;
			return -ENOMEM;
		}
		r->held = grown;
		r->held_cap = cap;
	}
	grown[r->held_cnt++] = (struct held){ trailer(raw)->time, r->arrivals++, raw };
	return 0;
}

static int ring_collect(struct records *r, struct ring *ring)
{
	const char *data = (const char *)ring->page + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->page->data_tail;
	int err = 0;

	while (tail < head) {
		size_t at = tail % r->ring_bytes, first = r->ring_bytes - at;
		struct perf_event_header header, *raw;

		memcpy(&header, data + at, sizeof(header)); /* records are 8-aligned: never torn */
		if (header.size < sizeof(header) + sizeof(struct sample_id))
			break;
		raw = malloc(header.size);
		if (raw) {
			memcpy(raw, data + at, header.size < first ? header.size : first);
			if (header.size > first)
				memcpy((char *)raw + first, data, header.size - first);
			if (raw->type == PERF_RECORD_LOST)
				r->lost += ((uint64_t *)(raw + 1))[1];
			if (record_is_wanted(raw))
				err = hold(r, raw) ? -ENOMEM : err;
			else
				free(raw);
		} else {
			r->lost++;
			err = -ENOMEM;
		}
		tail += header.size;
	}
	__atomic_store_n(&ring->page->data_tail, head, __ATOMIC_RELEASE);
	return err;
}

static int by_time(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void tell_map(const struct mmap2_record *m, struct record *out)
{
	out->kind = RECORD_MAP;
	out->tgid = m->pid;
	out->start = m->addr;
	out->end = m->addr + m->len;
	out->pgoff = m->pgoff;
	out->path = m->filename;
	if (m->header.misc & MISC_MMAP_BUILD_ID) {
		out->build_id_len = m->build_id_size <= 20 ? m->build_id_size : 20;
		memcpy(out->build_id, m->build_id, out->build_id_len);
	} else {
		out->dev_major = m->maj;
		out->dev_minor = m->min;
		out->ino = m->ino;
		out->generation = m->ino_generation;
	}
}

static void tell(const struct held *held, record_fn see, void *ctx)
{
	struct record out = { .time_ns = held->time_ns };
	const struct task_record *task = (const void *)held->raw;

	switch (held->raw->type) {
	case PERF_RECORD_MMAP2:
		tell_map((const void *)held->raw, &out);
		break;
	case PERF_RECORD_COMM:
		out.kind = RECORD_EXEC;
		out.tgid = ((const struct comm_record *)held->raw)->pid;
		break;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		out.kind = held->raw->type == PERF_RECORD_FORK ? RECORD_FORK : RECORD_EXIT;
		out.tgid = task->pid;
		out.ppid = task->ppid;
		break;
	}
	see(ctx, &out);
}

int records_drain(struct records *r, bool settled_only, record_fn see, void *ctx)
{
	struct timespec now;
	uint64_t until;
	size_t n = 0;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	until = now.tv_sec * 1000000000ULL + now.tv_nsec - SETTLE_NS;
	for (int i = 0; i < r->ring_cnt; i++)
		err = ring_collect(r, &r->rings[i]) ? -ENOMEM : err;
	qsort(r->held, r->held_cnt, sizeof(*r->held), by_time);
	for (; n < r->held_cnt && (!settled_only || r->held[n].time_ns <= until); n++) {
		tell(&r->held[n], see, ctx);
		free(r->held[n].raw);
	}
	memmove(r->held, r->held + n, (r->held_cnt - n) * sizeof(*r->held));
	r->held_cnt -= n;
	return err;
}

uint64_t records_lost(const struct records *r)
{
	return r->lost;
}

uint64_t records_bytes(const struct records *r)
{
	return r->ring_cnt * (uint64_t)r->ring_bytes;
}
