/* SPDX-License-Identifier: MIT */
/* vdso.h - the code the kernel maps into every process: an ELF file that is in no directory. */
#ifndef CAPTURE_VDSO_H
#define CAPTURE_VDSO_H

/* A copy of this process's, which is the same in all processes of this machine: an fd, or -errno;
 * -ENOENT when the kernel maps none. */
int vdso_open(void);

#endif
