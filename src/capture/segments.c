// SPDX-License-Identifier: MIT
#include "capture/segments.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

static size_t page_round(size_t bytes)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

void *table_map(struct table_memory *memory, int fd, size_t bytes, void *at)
{
	int flags = MAP_SHARED | (at ? MAP_FIXED : 0);

	at = mmap(at, page_round(bytes), PROT_READ | PROT_WRITE, flags, fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	__atomic_add_fetch(&memory->bytes, page_round(bytes), __ATOMIC_RELAXED);
	return at;
}

void table_unmap(void *at, size_t bytes)
{
	if (at)
		munmap(at, page_round(bytes));
}

static void *reserve(void *at, size_t bytes, int flags)
{
	flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	at = mmap(at, page_round(bytes), PROT_NONE, flags, -1, 0);
	return at == MAP_FAILED ? NULL : at;
}

void *table_reserve(size_t bytes)
{
	return reserve(NULL, bytes, 0);
}

size_t segment_bytes(const struct segment_kind *kind)
{
	return kind->item * kind->items;
}

bool segments_fit(const struct table_memory *memory, const struct segment_kind *kind, uint32_t cnt)
{
	return __atomic_load_n(&memory->bytes, __ATOMIC_RELAXED) +
		       (uint64_t)cnt * segment_bytes(kind) <=
	       memory->budget;
}

int segment_make(struct table_memory *memory, const struct segment_kind *kind, void *at, void **out)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	void *mapped;
	int fd;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mt_segment", sizeof(uint32_t), kind->item,
			    kind->items, &opts);
	if (fd < 0)
		return -errno;
	mapped = table_map(memory, fd, segment_bytes(kind), at);
	if (!mapped) {
		close(fd);
		return -ENOMEM;
	}
	*out = mapped;
	return fd;
}

void segment_drop(struct table_memory *memory, const struct segment_kind *kind, void *at,
		  bool stay_reserved)
{
	if (stay_reserved)
		reserve(at, segment_bytes(kind), MAP_FIXED);
	else
		table_unmap(at, segment_bytes(kind));
	__atomic_sub_fetch(&memory->bytes, page_round(segment_bytes(kind)), __ATOMIC_RELAXED);
}

/* The kernel waits after every update, but only once for a batch. What is left of a call that
 * failed would be taken for the next one's. */
int segments_publish(const struct segment_kind *kind, uint32_t first, const int *fds, uint32_t cnt)
{
	uint32_t *keys = calloc(cnt, sizeof(*keys)), done = cnt;
	int err = 0;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < cnt; i++)
		keys[i] = first + i;
	if (bpf_map_update_batch(kind->outer_fd, keys, fds, &done, NULL))
		for (uint32_t i = 0; i < cnt && !err; i++)
			if (bpf_map_update_elem(kind->outer_fd, &keys[i], &fds[i], BPF_ANY))
				err = -errno;
	for (uint32_t i = 0; err && i < cnt; i++)
		bpf_map_delete_elem(kind->outer_fd, &keys[i]);
	free(keys);
	return err;
}

int segments_add(struct table_memory *memory, const struct segment_kind *kind, void **segments,
		 uint32_t first, uint32_t cnt)
{
	int *fds = calloc(cnt, sizeof(*fds));
	uint32_t made = 0;
	bool in = false;

	if (!fds || !segments_fit(memory, kind, cnt))
		goto out;
	for (; made < cnt; made++) {
		fds[made] = segment_make(memory, kind, NULL, &segments[first + made]);
		if (fds[made] < 0)
			break;
	}
	in = made == cnt && !segments_publish(kind, first, fds, cnt);
	for (uint32_t i = 0; i < made; i++) {
		close(fds[i]); /* the outer map and the mapping keep it */
		if (in)
			continue;
		segment_drop(memory, kind, segments[first + i], false);
		segments[first + i] = NULL;
	}
out:
	free(fds);
	return in ? 0 : -ENOSPC;
}
