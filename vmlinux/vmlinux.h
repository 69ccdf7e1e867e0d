/* SPDX-License-Identifier: (MIT OR GPL-2.0-only) */
/*
 * vmlinux.h - the kernel types the probes read, and of those only the fields they read.
 *
 * Every struct is relocated at load time against the running kernel's BTF (CO-RE), so order and
 * size here do not matter; names and types do. A field that some kernels lack is guarded with
 * bpf_core_field_exists() where it is read.
 */
#ifndef MEMTRACE_VMLINUX_H
#define MEMTRACE_VMLINUX_H
#define __VMLINUX_H__ /* bpf_tracing.h: use the kernel's register names */

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#ifndef bool
#define bool _Bool
#define true 1
#define false 0
#endif

/* Saved user registers are an ABI of their own: laid out exactly. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct xol_area {
	unsigned long vaddr; /* where the return trampoline is */
};

struct uprobes_state {
	struct xol_area *xol_area;
};

struct mm_struct {
	unsigned long exec_vm;
	struct uprobes_state uprobes_state;
};

struct return_instance {
	unsigned long stack;
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
};

struct ns_common {
	unsigned int inum;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned int flags;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct nsproxy *nsproxy;
	struct uprobe_task *utask;
	char comm[16];
};

struct super_block {
	unsigned int s_dev;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	struct timespec64 i_ctime; /* to 6.5 */
};

struct file {
	struct inode *f_inode;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_pgoff;
	unsigned long vm_flags;
	struct file *vm_file;
};

struct linux_binprm {
	struct file *file;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq __attribute__((aligned(8)));
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta __attribute__((aligned(8)));
	struct task_struct *task __attribute__((aligned(8)));
	struct vm_area_struct *vma __attribute__((aligned(8)));
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta __attribute__((aligned(8)));
	struct task_struct *task __attribute__((aligned(8)));
};

#pragma clang attribute pop

#endif
