// SPDX-License-Identifier: (MIT OR GPL-2.0-only)
/* floor.bpf.c - what a probe costs before it does anything: the floor that bench compares with. */
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
