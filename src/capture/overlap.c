// SPDX-License-Identifier: MIT
#include "capture/overlap.h"

#include <errno.h>
#include <stdlib.h>

/* Goes through all ranges by address; those that hold where it is are in a heap, the last one of
 * the array on top. */
struct sweep {
	const struct overlap_range *ranges;
	uint32_t *heap;
	size_t heap_cnt;
	struct overlap_range *out;
	size_t out_cnt;
};

static void push(struct sweep *s, uint32_t range)
{
	size_t at = s->heap_cnt++;

	for (; at && s->heap[(at - 1) / 2] < range; at = (at - 1) / 2)
		s->heap[at] = s->heap[(at - 1) / 2];
	s->heap[at] = range;
}

static void pop(struct sweep *s)
{
	uint32_t last = s->heap[--s->heap_cnt];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < s->heap_cnt) {
		child += child + 1 < s->heap_cnt && s->heap[child + 1] > s->heap[child];
		if (s->heap[child] < last)
			break;
		s->heap[at] = s->heap[child];
		at = child;
	}
	s->heap[at] = last;
}

static void emit(struct sweep *s, uint64_t start, uint64_t end, uint32_t id)
{
	struct overlap_range *last = s->out_cnt ? &s->out[s->out_cnt - 1] : NULL;

	if (last && last->end == start && last->id == id)
		last->end = end;
	else
		s->out[s->out_cnt++] = (struct overlap_range){ start, end, id };
}

/* Each step ends where a range begins or the topmost one ends: at most two an input range. */
static void sweep(struct sweep *s, const uint32_t *order, size_t cnt)
{
	uint64_t at = 0;

	for (size_t next = 0; next < cnt || s->heap_cnt;) {
		const struct overlap_range *top;
		uint64_t end;

		if (!s->heap_cnt)
			at = s->ranges[order[next]].start;
		while (next < cnt && s->ranges[order[next]].start <= at)
			push(s, order[next++]);
		top = &s->ranges[s->heap[0]];
		if (top->end <= at) {
			pop(s);
			continue;
		}
		end = top->end;
		if (next < cnt && s->ranges[order[next]].start < end)
			end = s->ranges[order[next]].start;
		emit(s, at, end, top->id);
		at = end;
	}
}

static int by_start(const void *a, const void *b, void *ranges)
{
	const struct overlap_range *x = (const struct overlap_range *)ranges + *(const uint32_t *)a;
	const struct overlap_range *y = (const struct overlap_range *)ranges + *(const uint32_t *)b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int overlap_resolve(const struct overlap_range *ranges, size_t cnt, struct overlap_range **out,
		    size_t *out_cnt)
{
	struct sweep s = { .ranges = ranges };
	uint32_t *order = calloc(cnt + 1, sizeof(*order));
	struct overlap_range *fitting;
	int err = -ENOMEM;

	s.heap = calloc(cnt + 1, sizeof(*s.heap));
	s.out = calloc(2 * cnt + 1, sizeof(*s.out));
	if (order && s.heap && s.out) {
		for (size_t i = 0; i < cnt; i++)
			order[i] = i;
		qsort_r(order, cnt, sizeof(*order), by_start, (void *)ranges);
		sweep(&s, order, cnt);
		fitting = reallocarray(s.out, s.out_cnt + 1, sizeof(*fitting));
		*out = fitting ? fitting : s.out;
		*out_cnt = s.out_cnt;
		s.out = NULL;
		err = 0;
	}
	free(order);
	free(s.heap);
	free(s.out);
	return err;
}

const struct overlap_range *overlap_find(const struct overlap_range *ranges, size_t cnt,
					 uint64_t address)
{
	size_t low = 0, high = cnt;

	while (low < high) { /* the first that ends behind address */
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low < cnt && ranges[low].start <= address ? &ranges[low] : NULL;
}
