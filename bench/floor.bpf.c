// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/* floor.bpf.c - what a probe costs before it does anything: the floor that bench compares with; and the
 * floor with the kernel's own walk along frame pointers. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("uprobe")
int floor_malloc(void *ctx)
{
	return 0;
}

SEC("uprobe")
int floor_free(void *ctx)
{
	return 0;
}

SEC("uprobe")
int floor_enter(void *ctx)
{
	return 0;
}

SEC("uprobe")
int floor_return(void *ctx)
{
	return 0;
}

#define DEPTH 127

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[DEPTH]);
} stacks SEC(".maps");

SEC("uprobe")
int floor_stack(void *ctx)
{
	__u32 zero = 0;
	__u64 *stack = bpf_map_lookup_elem(&stacks, &zero);

	if (stack)
		bpf_get_stack(ctx, stack, DEPTH * sizeof(*stack), BPF_F_USER_STACK);
	return 0;
}
