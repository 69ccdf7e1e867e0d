#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes the corpus of fuzz_cfi anew: one small x86-64 ELF file for each way to say where a caller is.
set -eu
out=$(cd "$(dirname "$0")" && pwd)/corpus/cfi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# link NAME [ld options]: the assembly on stdin as a shared object without anything else
link() {
	local name=$1
	shift
	as --64 -o "$work/o.o" -
	ld -shared -z noseparate-code -z max-page-size=4096 --hash-style=gnu --build-id=none \
		--eh-frame-hdr "$@" -o "$work/$name" "$work/o.o"
	objcopy -w -R '.comment' -R '.note*' -N '_*' "$work/$name"
	mv "$work/$name" "$out/$name"
	chmod 644 "$out/$name"
}

frame_pointer='.globl f
.type f, @function
f:	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset 6, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register 6
	call g
	.cfi_remember_state
	pop %rbp
	.cfi_def_cfa 7, 8
	ret
	.cfi_restore_state
	ud2
	.cfi_endproc
g:	.cfi_startproc
	sub $0x1000, %rsp
	.cfi_adjust_cfa_offset 0x1000
	add $0x1000, %rsp
	.cfi_adjust_cfa_offset -0x1000
	ret
	.cfi_endproc'

link frame_pointer <<< "$frame_pointer"
link debug_frame <<< ".cfi_sections .debug_frame
$frame_pointer"
# enough of the same that packing it pays
{ echo '.cfi_sections .debug_frame'; echo "$frame_pointer"
  for i in $(seq 30); do printf '.cfi_startproc\npush %%rbp\n.cfi_adjust_cfa_offset 8\nret\n.cfi_endproc\n'; done
} | link packed_debug_frame --compress-debug-sections=zlib

link plt << 'END'
	.globl f
f:	.cfi_startproc
	call outside@PLT
	ret
	.cfi_endproc
END

link signal_frame << 'END'
	.globl restore
	.cfi_startproc
	.cfi_signal_frame
	# CFA = *(rsp + 160); rbp at rsp + 120, rip at rsp + 168
	.cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 6
	.cfi_escape 0x10, 6, 3, 0x77, 0xf8, 0
	.cfi_escape 0x10, 16, 3, 0x77, 0xa8, 1
	nop
restore: mov $15, %rax
	syscall
	.cfi_endproc
END

link realigned << 'END'
	.globl f
f:	.cfi_startproc
	lea 8(%rsp), %r10
	.cfi_def_cfa 10, 0
	and $-64, %rsp
	push -8(%r10)
	push %rbp
	.cfi_escape 0x10, 6, 2, 0x76, 0
	mov %rsp, %rbp
	push %r10
	.cfi_escape 0x0f, 3, 0x76, 0x78, 6
	call f
	pop %r10
	.cfi_def_cfa 10, 0
	pop %rbp
	lea -8(%r10), %rsp
	.cfi_def_cfa 7, 8
	ret
	.cfi_endproc
END

link all_instructions << 'END'
	.globl f
f:	.cfi_startproc
	nop				# what comes before is the CIE's
	.cfi_undefined 16
	nop
	.cfi_restore 16
	.cfi_same_value 6
	nop
	.cfi_register 6, 3
	nop
	.cfi_val_offset 7, 0
	.cfi_restore 6
	nop
	.cfi_escape 0x2e, 0x10		# args_size
	.cfi_escape 0x05, 6, 2		# offset_extended
	.cfi_escape 0x11, 6, 0x7e	# offset_extended_sf
	.cfi_escape 0x12, 7, 0x7f	# def_cfa_sf
	.cfi_escape 0x13, 0x7e		# def_cfa_offset_sf
	.cfi_escape 0x15, 7, 0		# val_offset_sf
	.cfi_escape 0x16, 3, 2, 0x77, 8	# val_expression
	.cfi_escape 0x2f, 6, 2		# negative offset
	.zero 300
	.cfi_escape 0x06, 6		# restore_extended
	nop
	.cfi_escape 0x03, 1, 0		# advance2
	.cfi_def_cfa_offset 32
	nop
	.cfi_escape 0x04, 1, 0, 0, 0	# advance4
	.cfi_def_cfa_offset 40
	.zero 8
	.cfi_endproc
END

link personality << 'END'
	.globl f
	.hidden f
f:	.cfi_startproc
	.cfi_personality 0x1b, f
	.cfi_lsda 0x1b, .Ldata
	push %rbx
	.cfi_def_cfa_offset 16
	ret
	.cfi_endproc
	.section .gcc_except_table, "a"
.Ldata:	.byte 0xff, 0xff, 1, 0
END

# without section headers: found through the header for exception handling
cp "$out/frame_pointer" "$out/no_sections"
printf '\0\0\0\0\0\0\0\0' | dd of="$out/no_sections" bs=1 seek=40 conv=notrunc status=none
printf '\0\0\0\0' | dd of="$out/no_sections" bs=1 seek=60 conv=notrunc status=none
